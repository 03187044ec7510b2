"""TLS in front of the API: each connection is decrypted here and goes on, in the clear, over a socket pair.

    client ◄══ TLS over TCP ══► Tunnel ◄── socket pair ──► the API, as for its unix socket

asyncio's own TLS closes both directions when one ends. Docker's clients end their half when standard input
ends and go on reading (`docker run -i`), and TLS allows that: close_notify ends one direction (RFC 8446, 6.1).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import cast

Welcome = Callable[[socket.socket], Awaitable[object]]

#: Seconds that a handshake may take, and that a client has to read the last words.
_PATIENCE = 10.0
_CHUNK = 1 << 16


class Tunnel(asyncio.Protocol):
    """The TLS side of one connection. `welcome` takes the other end of the socket pair."""

    def __init__(self, context: ssl.SSLContext, welcome: Welcome) -> None:
        self._encrypted, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._encrypted, self._to_send, server_side=True)
        self._welcome = welcome
        self._loop = asyncio.get_running_loop()
        self._client: asyncio.Transport | None = None
        self._inside = _Inside(self)
        self._greeted = False
        self._opening: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = cast(asyncio.Transport, transport)
        self._deadline = self._loop.call_later(_PATIENCE, self._client.abort)

    def data_received(self, data: bytes) -> None:
        self._encrypted.write(data)
        if not self._greeted:
            self._greet()
        elif self._inside.transport is not None:
            self._pass_on()

    def eof_received(self) -> bool:
        self._encrypted.write_eof()
        if self._inside.transport is not None:
            self._pass_on()
        return self._greeted

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if self._opening is not None:
            self._opening.cancel()
        if self._inside.transport is not None:
            self._inside.transport.close()

    def pause_writing(self) -> None:
        if self._inside.transport is not None:
            self._inside.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._inside.transport is not None and not self._inside.transport.is_closing():
            self._inside.transport.resume_reading()

    @property
    def client(self) -> asyncio.Transport:
        """The encrypted connection."""
        assert self._client is not None
        return self._client

    def _greet(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError:
            self._flush()  # the alert that says why
            self.client.close()
            return
        self._greeted = True
        assert self._deadline is not None
        self._deadline.cancel()
        self._flush()
        self.client.pause_reading()
        self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        theirs.setblocking(False)
        await self._welcome(theirs)
        await self._loop.create_connection(lambda: self._inside, sock=ours)
        self._opening = None
        self.client.resume_reading()
        self._pass_on()  # what came with the handshake's last flight

    def _pass_on(self) -> None:
        """Decrypt what has come; the client's close_notify, or its hanging up, ends the inside's input."""
        inside = self._inside.transport
        assert inside is not None
        try:
            while data := self._tls.read(_CHUNK):
                if not inside.is_closing():
                    inside.write(data)
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLZeroReturnError:
            pass
        except ssl.SSLError:
            inside.abort()
            self.client.abort()
            return
        if not inside.is_closing():
            inside.write_eof()

    def send(self, data: bytes) -> None:
        """Encrypt and send."""
        if not self.client.is_closing():
            self._tls.write(data)
            self._flush()

    def end(self) -> None:
        """Nothing more will be sent: say so, and give the client time to read and close."""
        if self.client.is_closing():
            return
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()
        self.client.write_eof()
        self._deadline = self._loop.call_later(_PATIENCE, self.client.close)

    def _flush(self) -> None:
        if data := self._to_send.read():
            self.client.write(data)


class _Inside(asyncio.Protocol):
    """The clear side."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._tunnel.send(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._tunnel.end()

    def pause_writing(self) -> None:
        self._tunnel.client.pause_reading()

    def resume_writing(self) -> None:
        if not self._tunnel.client.is_closing():
            self._tunnel.client.resume_reading()


async def serve_tls(
    sock: socket.socket, context: ssl.SSLContext, protocol: Callable[[], asyncio.Protocol]
) -> asyncio.Server:
    """Listen on `sock`; each client that passes the handshake meets a `protocol` of the API."""
    loop = asyncio.get_running_loop()

    async def welcome(inside: socket.socket) -> None:
        await loop.connect_accepted_socket(protocol, inside)

    return await loop.create_server(lambda: Tunnel(context, welcome), sock=sock)
