"""What handlers return: complete answers, written in one piece, and the head of streamed ones.

aiohttp's own Response costs a third of the whole request; these write the bytes directly.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from nakagin.api.call import Call
from nakagin.api.versions import MAXIMUM, show

JSON = "application/json"
RAW_STREAM = "application/vnd.docker.raw-stream"
MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream"
TAR = "application/x-tar"

SERVER = "Nakagin/0.1.0 (linux)"

#: In every answer, as dockerd has them.
COMMON = {
    "Api-Version": show(MAXIMUM),
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": SERVER,
}

_common = "".join(f"{name}: {value}\r\n" for name, value in COMMON.items())
_reasons = {status.value: status.phrase for status in HTTPStatus}
_BODILESS = frozenset({101, 204, 304})

_encoder = msgspec.json.Encoder()
encode = _encoder.encode


class _Clock:
    """The Date header, formatted once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def date(self) -> str:
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._text = f"Date: {formatdate(now, usegmt=True)}\r\n"
        return self._text


_clock = _Clock()


class Answer(web.StreamResponse):
    """A complete answer: status, body, and extra headers ("Name: value" pairs)."""

    def __init__(
        self, status: int, body: bytes = b"", *, kind: str = JSON, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status=status)
        self._content = body
        self._kind = kind
        self._extra = headers
        self._stays = False

    @property
    def keep_alive(self) -> bool | None:
        return self._stays

    def wire(self, *, head_only: bool, keep_alive: bool) -> bytes:
        """The bytes of the answer."""
        status = self.status
        lines = [f"HTTP/1.1 {status} {_reasons.get(status, 'Unknown')}\r\n", _common, _clock.date()]
        if self._extra:
            lines += [f"{name}: {value}\r\n" for name, value in self._extra.items()]
        if status not in _BODILESS:
            lines.append(f"Content-Type: {self._kind}\r\nContent-Length: {len(self._content)}\r\n")
        lines.append("\r\n" if keep_alive else "Connection: close\r\n\r\n")
        head = "".join(lines).encode("latin-1", "replace")
        return head if head_only or status in _BODILESS else head + self._content

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        self._stays = request.keep_alive
        transport.write(self.wire(head_only=request.method == "HEAD", keep_alive=self._stays))
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


def answer(document: Any, status: int = 200) -> Answer:
    """`document` as JSON."""
    return Answer(status, _encoder.encode(document) + b"\n")


def no_content() -> Answer:
    """204: done, nothing to say."""
    return Answer(204)


def failure(status: int, message: str) -> Answer:
    """Docker's error body."""
    return answer({"message": message}, status)


async def begin(
    call: Call, kind: str = JSON, *, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Send the head of a streamed answer now; the caller writes to what is returned."""
    response = web.StreamResponse(headers={**COMMON, "Content-Type": kind, **(headers or {})})
    if call.request.version >= (1, 1):
        response.enable_chunked_encoding()
    call.begun = True
    await response.prepare(call.request)
    return response
