"""One request as the handlers see it, and the forms their answers take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import msgspec
from aiohttp import ClientError, http_exceptions, web

from nakagin.registry.server.refusals import pagination_invalid
from nakagin.registry.server.routes import Target

if TYPE_CHECKING:
    from nakagin.registry.server.access import Identity
    from nakagin.registry.server.registry import Registry
    from nakagin.registry.server.repositories import Repository
    from nakagin.registry.server.through import Through

P = ParamSpec("P")
R = TypeVar("R")

OCTETS = "application/octet-stream"
JSON = "application/json"
#: In every answer.
COMMON = {
    "Docker-Distribution-API-Version": "registry/2.0",
    "Server": "Nakagin",
    "X-Content-Type-Options": "nosniff",
}
#: Bytes that are gathered before they are written.
PIECE = 1 << 20
_LARGEST_NUMBER = 18  # digits
#: A client that has gone, however aiohttp says it.
GONE = (ConnectionError, ClientError, http_exceptions.HttpProcessingError, asyncio.IncompleteReadError)


class Call:
    """A request whose sender may do what it asks for."""

    __slots__ = ("identity", "pool", "registry", "request", "started", "target", "through")

    def __init__(
        self,
        registry: Registry,
        request: web.BaseRequest,
        target: Target,
        identity: Identity,
        pool: ThreadPoolExecutor,
        through: Through | None,
    ) -> None:
        self.registry = registry
        self.request = request
        self.target = target
        self.identity = identity
        self.pool = pool
        self.through = through
        self.started = False
        """The head of the answer is out."""

    @property
    def name(self) -> str:
        """The repository's name."""
        return self.target.name

    @property
    def repository(self) -> Repository:
        """The repository that the path names, whether it exists or not."""
        return self.registry.repositories.get(self.target.name)

    @property
    def head_only(self) -> bool:
        """The asker wants no body."""
        return self.request.method == "HEAD"

    def text(self, key: str) -> str:
        """A query value, or ""."""
        return self.request.query.get(key, "")

    def count(self) -> int | None:
        """`n`: how many results are wanted. Refusal PAGINATION_NUMBER_INVALID."""
        text = self.request.query.get("n")
        if text is None:
            return None
        if not (text.isascii() and text.isdigit()) or len(text) > _LARGEST_NUMBER:
            raise pagination_invalid(text)
        return int(text)

    async def threaded(self, deed: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do something that blocks for longer than a look at a file."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool, lambda: deed(*args, **kwargs))

    async def pieces(self) -> AsyncIterator[bytes]:
        """The request's body, gathered into pieces that are worth a system call."""
        await self.invite()
        gathered: list[bytes] = []
        size = 0
        content = self.request.content
        broken: Exception | None = None
        while broken is None:
            try:
                data = await content.readany()
            except GONE as error:
                broken, data = error, b""  # what did arrive counts
            gathered.append(data)
            size += len(data)
            if size >= PIECE or (size and not data):
                yield gathered[0] if len(gathered) == 1 else b"".join(gathered)
                gathered, size = [], 0
            if not data:
                break
        if broken is not None:
            raise broken

    async def invite(self) -> None:
        """Ask for the body where the client waits to be asked (RFC 9110, 10.1.1)."""
        transport = self.request.transport
        if self.request.headers.get("Expect", "").lower() == "100-continue" and transport is not None:
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    @property
    def length(self) -> int | None:
        """The body's length where the client says it."""
        return self.request.content_length


def done(status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer without a body."""
    return web.Response(status=status, headers={**COMMON, **(headers or {})})


def whole(body: bytes, headers: Mapping[str, str], status: int = 200) -> web.Response:
    """An answer with its body; `headers` say its type."""
    return web.Response(status=status, body=body, headers={**COMMON, **headers})


def document(value: object, *, kind: str = JSON, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return whole(msgspec.json.encode(value), {"Content-Type": kind, **(headers or {})})


def streamed(status: int, headers: Mapping[str, str], length: int) -> web.StreamResponse:
    """The head of an answer whose body follows."""
    answer = web.StreamResponse(status=status, headers={**COMMON, **headers})
    answer.content_length = length
    return answer
