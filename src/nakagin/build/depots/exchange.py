"""One exchange with a depot, and what its failures mean."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from nakagin.errors import Denied, Invalid, Unavailable
from nakagin.registry.wire import FAILURES, explain

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from aiohttp import ClientResponse

    from nakagin.build.depots.model import Signed
    from nakagin.registry.wire import Wire

_LARGEST = 64 << 20
_WORDS = 300


class Answered(NamedTuple):
    """A status that is no failure (404 is none), and the body."""

    status: int
    data: bytes


async def exchanged(
    wire: Wire, method: str, signed: Signed, data: bytes | AsyncIterable[bytes] | None = None
) -> Answered:
    """Send, and read the answer. Raises Denied, Unavailable, Invalid."""
    who = signed.url.authority
    try:
        answer = await wire.exchange(method, signed.url, headers=signed.headers, data=data)
        try:
            body = await answer.content.read(_LARGEST)
            while len(body) < _LARGEST and (piece := await answer.content.read(_LARGEST - len(body))):
                body += piece
        finally:
            answer.close()
    except FAILURES as error:
        raise explain(error, who) from error
    check(answer, who, body)
    return Answered(answer.status, body)


@asynccontextmanager
async def stream(wire: Wire, signed: Signed) -> AsyncIterator[AsyncIterator[bytes] | None]:
    """The body of a GET as it comes; None where there is nothing (404)."""
    who = signed.url.authority
    try:
        answer = await wire.exchange("GET", signed.url, headers=signed.headers)
        try:
            if answer.status != 200:
                check(answer, who, await answer.content.read(_WORDS))
            yield answer.content.iter_any() if answer.status == 200 else None
        finally:
            answer.close()
    except FAILURES as error:
        raise explain(error, who) from error


def check(answer: ClientResponse, who: str, body: bytes) -> None:
    """Raise what a status means, unless it is a success or 404."""
    if answer.status < 300 or answer.status == 404:
        return
    words = body[:_WORDS].decode(errors="replace").strip()
    told = f"{who} answers with status {answer.status}{f': {words}' if words else ''}"
    if answer.status in (401, 403):
        raise Denied(told, hint="check the keys, and that they may read and write there")
    if answer.status >= 500 or answer.status in (408, 429):
        raise Unavailable(told, hint="try again later")
    raise Invalid(told)
