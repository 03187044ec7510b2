"""POST /grpc and POST /session: where connections become HTTP/2."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from nakagin.api.streams import hijack
from nakagin.containers.streams import Stream
from nakagin.errors import Invalid
from nakagin.tasks import drop

if TYPE_CHECKING:
    from aiohttp import web

    from nakagin.api.buildkit.control import Control
    from nakagin.api.buildkit.http2 import Handler
    from nakagin.api.call import Call
    from nakagin.engine import Engine

_controls: WeakKeyDictionary[Engine, Control] = WeakKeyDictionary()


def _control(engine: Engine) -> Control:
    # Imported here: HTTP/2 and what goes with it is only for those who speak BuildKit's protocol.
    from nakagin.api.buildkit.control import Control

    found = _controls.get(engine)
    if found is None:
        found = _controls[engine] = Control(engine)
    return found


async def grpc(call: Call) -> web.StreamResponse:
    """POST /grpc: the engine serves."""
    _check(call)
    ours, theirs = _pair()
    serving = asyncio.create_task(_serve(ours, _control(call.engine).handle))
    try:
        return await hijack(call, Stream(theirs, tty=True, detach_keys=b""))
    finally:
        await drop(serving)


async def _serve(sock: socket.socket, handler: Handler) -> None:
    from nakagin.api.buildkit.http2 import Connection

    reader, writer = await asyncio.open_connection(sock=sock)
    await Connection(reader, writer, handler).run()


async def session(call: Call) -> web.StreamResponse:
    """POST /session: the client serves what builds of this session need."""
    from nakagin.api.buildkit.http2 import Connection
    from nakagin.api.buildkit.session import Session

    _check(call)
    headers = call.request.headers
    id = headers.get("X-Docker-Expose-Session-Uuid", "")
    if not id:
        raise Invalid("the header X-Docker-Expose-Session-Uuid is missing")
    control = _control(call.engine)
    ours, theirs = _pair()
    reader, writer = await asyncio.open_connection(sock=ours)
    connection = Connection(reader, writer)
    methods = frozenset(headers.getall("X-Docker-Expose-Session-Grpc-Method", ()))
    builder = call.engine.builder
    key = headers.get("X-Docker-Expose-Session-Sharedkey", "")
    made = Session(connection, methods, builder.temporary, builder.contexts, key)
    serving = asyncio.create_task(connection.run())
    waiting = control.session(id)
    if not waiting.done():
        waiting.set_result(made)
    try:
        return await hijack(call, Stream(theirs, tty=True, detach_keys=b""))
    finally:
        control.session_ended(id)
        await drop(serving)


def _check(call: Call) -> None:
    if "h2c" not in call.request.headers.get("Upgrade", ""):
        raise Invalid("this door speaks HTTP/2 only", hint="Upgrade: h2c")


def _pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


READS = {"POST /grpc": grpc, "POST /session": session}
