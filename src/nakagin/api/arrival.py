"""Waiting until a client has read what was sent to it, before anything else is sent, or said elsewhere.

Several clients (docker-py) read a response head through a buffer and the stream behind it from the bare socket: what
arrives together with the head they lose. dockerd is slow enough never to show it.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import termios

#: Seconds between looks, and the longest wait; a client that has not read by then gets everything at once.
_PAUSE = 0.0002
_PATIENCE = 0.05
#: TCP does not tell what its peer has read; this is what a waiting client needs to wake up.
_TCP_PAUSE = 0.001


async def was_read(transport: asyncio.Transport) -> None:
    """Return when the peer has read all that was written, as far as this can be known."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX:
        await asyncio.sleep(_TCP_PAUSE)
        return
    loop = asyncio.get_running_loop()
    end = loop.time() + _PATIENCE
    while (  # noqa: ASYNC110 - the kernel has no event for it
        not transport.is_closing()
        and (transport.get_write_buffer_size() or _unread(sock.fileno()))
        and loop.time() < end
    ):
        await asyncio.sleep(_PAUSE)


def _unread(fd: int) -> bool:
    """Whether the peer of a unix socket has bytes to read (SIOCOUTQ, which has TIOCOUTQ's number; unix(7))."""
    return any(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)))
