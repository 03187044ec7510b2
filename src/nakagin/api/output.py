"""What comes out of containers while the client listens: attach, logs, stats, wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from nakagin.api import editions
from nakagin.api.answers import MULTIPLEXED_STREAM, RAW_STREAM, answer, begin, encode, no_content
from nakagin.api.call import Call
from nakagin.api.streams import Hijacked, hijack
from nakagin.api.websocket import over_websocket
from nakagin.containers.streams import message_frame
from nakagin.errors import Invalid, NakaginError

if TYPE_CHECKING:
    from nakagin.containers.streams import Stream


def stream_kind(call: Call, *, tty: bool, upgrade: bool = True) -> str:
    """The content type of a process's output: clients from 1.42 on learn by it whether it is in frames."""
    if call.version >= (1, 42) and not tty and upgrade:
        return MULTIPLEXED_STREAM
    return RAW_STREAM


async def attach(call: Call) -> Hijacked:
    """POST /containers/{id}/attach."""
    async with _attached(call) as (stream, heard):
        kind = stream_kind(call, tty=stream.tty, upgrade=call.upgrades)
        return await hijack(call, stream, kind, heard)


async def attach_websocket(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/attach/ws: the raw bytes of the streams in binary messages."""
    async with _attached(call) as (stream, _):
        return await over_websocket(call, stream)


@asynccontextmanager
async def _attached(call: Call) -> AsyncIterator[tuple[Stream, Callable[[], None]]]:
    """The stream, and what to call when the client has read all of it."""
    stream = await call.engine.containers.attach(
        call.name,
        stdin=call.flag("stdin"),
        stdout=call.flag("stdout"),
        stderr=call.flag("stderr"),
        stream=call.flag("stream"),
        logs=call.flag("logs"),
        detach_keys=call.text("detachKeys") or None,
    )
    heard = stream.listen()
    try:
        yield stream, heard
    finally:
        heard()


async def logs(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/logs."""
    stdout, stderr = call.flag("stdout"), call.flag("stderr")
    if not (stdout or stderr):
        raise Invalid("Bad parameters: you must choose at least one stream")
    output = await call.engine.containers.logs(
        call.name,
        stdout=stdout,
        stderr=stderr,
        since_ns=call.moment("since") or 0,
        until_ns=call.moment("until") or 0,
        timestamps=call.flag("timestamps"),
        tail=_tail(call),
        follow=call.flag("follow"),
        details=call.flag("details"),
    )
    response = await begin(call, stream_kind(call, tty=output.tty))
    try:
        async for chunk in output.chunks:
            await response.write(chunk)
    except NakaginError as error:
        # The head is out; Docker, too, tells of the failure in the stream.
        await response.write(message_frame(f"Error grabbing logs: {error}\n", tty=output.tty))
    await response.write_eof()
    return response


async def clear_logs(call: Call) -> web.StreamResponse:
    """DELETE /nakagin/containers/{id}/logs."""
    await call.engine.containers.clear_logs(call.name)
    return no_content()


def _tail(call: Call) -> int | None:
    """Lines from the end; None for all, which Docker also makes of negative and unreadable numbers."""
    value = call.text("tail", "all")
    return int(value) if value.isdigit() else None


async def stats(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/stats: one document, or one a second."""
    stream = call.flag("stream", default=True)
    one_shot = call.flag("one-shot")
    if stream and one_shot:
        raise Invalid("cannot have stream=true and one-shot=true")
    documents = await call.engine.containers.stats(call.name, stream=stream, one_shot=one_shot)
    if not stream:
        async for document in documents:
            return answer(editions.stats(document, call.version))
    response = await begin(call)
    async for document in documents:
        await response.write(encode(editions.stats(document, call.version)) + b"\n")
    await response.write_eof()
    return response


async def wait(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/wait.

    The head goes out as soon as the wait is registered: the docker CLI starts the container only after it.
    """
    ended = call.engine.containers.wait(call.name, call.text("condition", "not-running"))
    try:
        response = await begin(call)
    except BaseException:
        asyncio.ensure_future(ended).cancel()
        raise
    try:
        result = await ended
    except NakaginError as error:
        document: dict[str, object] = {"StatusCode": -1, "Error": {"Message": str(error)}}
    else:
        document = {"StatusCode": result.exit_code}
        if result.error:
            document["Error"] = {"Message": result.error}
    await response.write_eof(encode(document) + b"\n")
    return response


DEEDS = {"DELETE /nakagin/containers/*/logs": clear_logs}
READS = {
    "GET /containers/*/logs": logs,
    "GET /containers/*/stats": stats,
    "GET /containers/*/attach/ws": attach_websocket,
    "POST /containers/*/attach": attach,
    "POST /containers/*/wait": wait,
}
