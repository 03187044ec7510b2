"""What a build asks its client for, each over a request of its own: /nakagin/build/TOKEN/…

    client ── POST /nakagin/build (a form: the parameters of POST /build) ──────────► engine
           ◄── {"id": "nakagin.ask", "aux": {"Kind": …, "Name": …, "Token": …}} ────  in the stream of progress
    client ── POST /nakagin/build/TOKEN/give   body: a tar, a secret ──────────────►  context, layout, cache, secret…
           ── GET  /nakagin/build/TOKEN/take ◄═ a tar ════════════════════════════   output, cache
           ── POST /nakagin/build/TOKEN/talk   upgraded: bytes both ways ◄═══════►   ssh, shell
           ── POST /nakagin/build/TOKEN/refuse?message=…  ────────────────────────►  it can not

A token is good for one answer, and only while its build goes on. docs/building.md has the whole protocol.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager, contextmanager
from typing import IO, TYPE_CHECKING, Any

from nakagin.api.answers import no_content
from nakagin.api.archives import send_tar
from nakagin.api.body import body_file
from nakagin.api.streams import hijack
from nakagin.build.context import Context
from nakagin.build.kept import read_listing
from nakagin.containers.commit import in_threads
from nakagin.containers.streams import Stream
from nakagin.errors import Invalid, NotFound
from nakagin.registry.credentials import from_document

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from aiohttp import web

    from nakagin.api.call import Call
    from nakagin.build.depots.model import Depot
    from nakagin.build.kept import KeptContexts
    from nakagin.registry.credentials import Credentials
    from nakagin.storage.compression import Readable

_MOST_SECRET = 500 << 10


class _Ask:
    """One question; `given` is the body that came, `done` is set when the build needs the answer no more."""

    def __init__(
        self, *, pieces: Iterator[bytes] | None = None, connection: socket.socket | None = None
    ) -> None:
        self.pieces = pieces
        self.connection = connection
        self.given: asyncio.Future[IO[bytes] | None] = asyncio.get_running_loop().create_future()
        self.done = asyncio.Event()
        self.taken = False
        self.listed = False
        """Whether a folder was given as a list (`nakagin.build.kept`)."""


#: What builds wait for now, by token.
_asks: dict[str, _Ask] = {}


class Asking:
    """The client of one build (`nakagin.build.supplies.Supplies`). `say` sends it a message."""

    def __init__(
        self,
        say: Callable[[dict[str, Any]], None],
        temporary: str,
        ids: frozenset[str],
        agents: frozenset[str],
        kept: KeptContexts,
    ) -> None:
        """`ids` are the secrets that the client has, `agents` its ssh agents."""
        self._say = say
        self._temporary = temporary
        self._ids = ids
        self._agents = agents
        self._kept = kept

    @contextmanager
    def _asking(self, kind: str, name: str, ask: _Ask, **more: object) -> Iterator[_Ask]:
        token = secrets.token_urlsafe(18)
        _asks[token] = ask
        self._say({"id": "nakagin.ask", "aux": {"Kind": kind, "Name": name, "Token": token, **more}})
        try:
            yield ask
        finally:
            _asks.pop(token, None)
            ask.given.cancel()
            ask.done.set()

    async def context(self, name: str) -> Context:
        with self._asking("context", name, _Ask()) as ask:
            body = await ask.given
            assert body is not None
            if not ask.listed:
                return await asyncio.to_thread(Context.read, body, self._temporary)
            listing = await asyncio.to_thread(read_listing, body)
        async with self._kept.update(listing) as update:
            if update.wanted != []:
                with self._asking("files", name, _Ask(), Paths=update.wanted) as ask:
                    body = await ask.given
                    assert body is not None
                    await asyncio.to_thread(update.take, body)
            return await asyncio.to_thread(update.finish)

    def archive(self, kind: str, name: str) -> AbstractAsyncContextManager[Readable]:
        return self._archive(kind, name)

    @asynccontextmanager
    async def _archive(self, kind: str, name: str) -> AsyncIterator[Readable]:
        with self._asking(kind, name, _Ask()) as ask:
            body = await ask.given
            assert body is not None
            yield body

    async def secret(self, id: str) -> bytes | None:
        if id not in self._ids:
            return None
        with self._asking("secret", id, _Ask()) as ask:
            body = await ask.given
            assert body is not None
            value = await asyncio.to_thread(_all, body)
        if len(value) > _MOST_SECRET:
            raise Invalid(f"the secret {id} has more than {_MOST_SECRET >> 10} kB")
        return value

    async def credentials(self, domain: str) -> Credentials:
        with self._asking("credentials", domain, _Ask()) as ask:
            body = await ask.given
            assert body is not None
            return from_document(await asyncio.to_thread(_all, body))

    def depot(self, attributes: Mapping[str, str]) -> Depot | None:
        return None

    def has_agent(self, id: str) -> bool:
        return id in self._agents

    async def talk(self, kind: str, name: str, connection: socket.socket) -> None:
        with self._asking(kind, name, _Ask(connection=connection)) as ask:
            try:
                await ask.given
            finally:
                if not ask.taken:
                    connection.close()

    async def deliver(self, kind: str, name: str, pieces: Iterator[bytes]) -> None:
        with self._asking(kind, name, _Ask(pieces=pieces)) as ask:
            await ask.given


def _all(body: IO[bytes]) -> bytes:
    found = b""
    while len(found) <= _MOST_SECRET and (piece := body.read(_MOST_SECRET + 1 - len(found))):
        found += piece
    return found


def _take(call: Call) -> _Ask:
    ask = _asks.pop(call.name, None)
    if ask is None:
        raise NotFound(
            "no build waits for this", hint="a token is good for one answer, while its build goes on"
        )
    ask.taken = True
    return ask


async def give(call: Call) -> web.StreamResponse:
    """POST /nakagin/build/TOKEN/give: the bytes that a build has asked for."""
    ask = _take(call)
    ask.listed = call.flag("listed")
    with body_file(call) as body:
        ask.given.set_result(body)
        await ask.done.wait()
    return no_content()


async def refuse(call: Call) -> web.StreamResponse:
    """POST /nakagin/build/TOKEN/refuse: the client can not; `message` says why."""
    ask = _take(call)
    ask.taken = False
    ask.given.set_exception(NotFound(call.text("message") or "the client has it not"))
    return no_content()


async def take(call: Call) -> web.StreamResponse:
    """GET /nakagin/build/TOKEN/take: what a build gives to its client."""
    ask = _take(call)
    if ask.pieces is None:
        raise Invalid("this build gives nothing here", hint="see Kind of what it asked")
    try:
        response = await send_tar(call, in_threads(ask.pieces))
    except BaseException as error:
        if not ask.given.done():
            told = error if isinstance(error, Exception) else ConnectionResetError("the client has gone")
            ask.given.set_exception(told)
        raise
    if not ask.given.done():
        ask.given.set_result(None)
    return response


async def talk(call: Call) -> web.StreamResponse:
    """POST /nakagin/build/TOKEN/talk: the client's end of a two-way stream; answers 101 and goes raw."""
    ask = _take(call)
    if ask.connection is None:
        raise Invalid("this build does not talk here", hint="see Kind of what it asked")
    try:
        return await hijack(call, Stream(ask.connection, tty=True, detach_keys=b""))
    finally:
        if not ask.given.done():
            ask.given.set_result(None)


READS = {
    "POST /nakagin/build/*/give": give,
    "POST /nakagin/build/*/refuse": refuse,
    "GET /nakagin/build/*/take": take,
    "POST /nakagin/build/*/talk": talk,
}
