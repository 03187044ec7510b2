"""The client's ssh agents inside a build: a socket here, each connection to it joined with the client's own agent.

No key ever comes here; an agent only signs.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from nakagin.errors import NakaginError
from nakagin.tasks import drop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nakagin.build.supplies import Supplies

_MOST_WAITING = 16


@asynccontextmanager
async def agent_socket(
    supplies: Supplies, id: str, folder: str, *, uid: int = 0, gid: int = 0, mode: int = 0o600
) -> AsyncIterator[str]:
    """The path of a socket in `folder` that leads to the client's agent, for the length of the context."""
    path = os.path.join(folder, f"agent-{os.urandom(4).hex()}")
    listener = _listen(folder, path, uid, gid, mode)
    serving = asyncio.create_task(_serve(listener, supplies, id), name=f"ssh agent {id}")
    try:
        yield path
    finally:
        try:
            await drop(serving)
        finally:
            listener.close()
            os.unlink(path)


def _listen(folder: str, path: str, uid: int, gid: int, mode: int) -> socket.socket:
    # By the folder's descriptor: a socket's path may have 107 bytes, and the data root's may be long.
    above = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        listener.bind(f"/proc/self/fd/{above}/{os.path.basename(path)}")
        os.chown(path, uid, gid)
        os.chmod(path, mode)
        listener.listen(_MOST_WAITING)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(above)
    return listener


async def _serve(listener: socket.socket, supplies: Supplies, id: str) -> None:
    loop = asyncio.get_running_loop()
    talks: set[asyncio.Task[None]] = set()
    try:
        while True:
            connection, _ = await loop.sock_accept(listener)
            talk = asyncio.create_task(_talk(supplies, id, connection))
            talks.add(talk)
            talk.add_done_callback(talks.discard)
    finally:
        await drop(*talks)


async def _talk(supplies: Supplies, id: str, connection: socket.socket) -> None:
    connection.setblocking(False)
    try:
        await supplies.talk("ssh", id, connection)
    except NakaginError:
        connection.close()  # the program sees an agent that hangs up, and says so itself
