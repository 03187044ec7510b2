"""The protocol in front of aiohttp's: keeps from its parser what is not HTTP.

    client ──► Porch ──► aiohttp's RequestHandler          every request
                 └─ bytes behind an attach or exec request: early standard input, kept for the relay

Clients may send input together with such a request, or end it, before they have read the answer; an HTTP
parser would take that for a broken next request (and aiohttp's drops it for upgrades other than WebSocket's).
"""

from __future__ import annotations

import asyncio
import re
import socket
from typing import NamedTuple, cast

from aiohttp import web
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from nakagin.api.hangups import hangups

_POST = b"POST "
_HIJACKING = re.compile(rb"POST [^ ]*/(?:attach|exec/[^/ ]+/start)(?:\?[^ ]*)? HTTP/1\.")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)

#: The longest head that is waited for here; aiohttp judges longer ones.
HEAD_LIMIT = 1 << 16
#: Seconds that a request may take whose client has ended its half of a TCP connection, and may have gone.
HALF_OPEN = 10.0
#: Early input beyond this stays in the kernel until the relay stands.
EARLY_LIMIT = 1 << 18


class Taken(NamedTuple):
    """What a hijacked connection had beside its request: early input, its end, and aiohttp's protocol."""

    early: bytes
    ended: bool
    former: RequestHandler


class PorchServer(web.Server):
    """aiohttp's server with a porch before every connection."""

    def __call__(self) -> Porch:  # type: ignore[override]  # sites only need a protocol
        return Porch(super().__call__())


class Porch(asyncio.Protocol):
    """One connection, until it is hijacked."""

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler
        self._transport: asyncio.Transport | None = None
        self._busy = False  # aiohttp has bytes of a request that is not answered yet
        self._body: StreamReader | None = None  # of that request
        self._head = b""  # the incomplete head of what may become a hijack
        self._body_left = 0  # of the hijacking request, not yet here
        self._early: bytes | None = None  # behind the hijacking request; None: no such request is under way
        self._ended = False

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._handler.connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._handler.connection_lost(exc)

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def eof_received(self) -> bool:
        """A hijacking client may end its input at once, and any other one that has asked for something whole.

        Whether it is still there to hear the answer is then known of a unix socket only; others get a little time.
        """
        self._ended = True
        if self._early is not None:
            return True
        transport = self._transport
        if transport is None or not self._busy or not (self._body is None or self._body.is_eof()):
            return False
        self._handler.close()  # after the answer
        sock = transport.get_extra_info("socket")
        if sock.family == socket.AF_UNIX and sock.getsockname():  # no tunnel's
            hangups().watch(transport)
        else:
            asyncio.get_running_loop().call_later(HALF_OPEN, transport.close)
        return True

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._keep(data)
        elif self._head or (not self._busy and data[:5] == _POST[: len(data)]):
            self._examine(self._head + data)
        else:
            self._pass(data)

    # Telling hijacks from other requests

    def _pass(self, data: bytes) -> None:
        self._busy = True
        self._head = b""
        self._handler.data_received(data)

    def _examine(self, data: bytes) -> None:
        """Pass `data` on, but for what follows a complete hijacking request."""
        if not _HIJACKING.match(data):
            if b"\r\n" in data or len(data) > HEAD_LIMIT:
                self._pass(data)
            else:
                self._head = data
            return
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > HEAD_LIMIT:
                self._pass(data)
            else:
                self._head = data
            return
        head = data[:end]
        if _CHUNKED.search(head):
            self._pass(data)
            return
        length = _LENGTH.search(head)
        whole = end + 4 + (int(length[1]) if length else 0)
        self._early = b""
        self._body_left = max(0, whole - len(data))
        self._pass(data[:whole])
        self._keep(data[whole:])

    def _keep(self, data: bytes) -> None:
        if self._body_left and data:
            body, data = data[: self._body_left], data[self._body_left :]
            self._body_left -= len(body)
            self._handler.data_received(body)
        assert self._early is not None
        self._early += data
        if len(self._early) > EARLY_LIMIT and self._transport is not None:
            self._transport.pause_reading()

    # What the door calls

    def begun(self, body: StreamReader) -> None:
        """A request has its head."""
        self._body = body

    def take(self) -> Taken:
        """Give up the connection to a relay."""
        return Taken(self._early or b"", self._ended, self._handler)

    def answered(self) -> None:
        """A request has its answer: what was kept behind it is the next request after all."""
        self._busy, self._body = False, None
        early, self._early = self._early, None
        if early is None:
            return
        if early:
            self.data_received(early)
        if self._transport is not None:
            if self._ended:
                self._transport.close()
            else:
                self._transport.resume_reading()
