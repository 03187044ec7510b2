"""Commands in running containers."""

from __future__ import annotations

from aiohttp import web

from nakagin.api.answers import Answer, answer
from nakagin.api.call import Call
from nakagin.api.output import lines, message_frame, stream_kind
from nakagin.api.streams import hijack, hijack_text
from nakagin.errors import Invalid, StepFailed
from nakagin.spec.docker import ExecCreate, ExecStart


async def create(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/exec."""
    body = await call.body(ExecCreate)
    if not body.cmd:
        raise Invalid("No exec command specified")
    return answer({"Id": await call.engine.containers.exec_create(call.name, body)}, 201)


async def start(call: Call) -> web.StreamResponse:
    """POST /exec/{id}/start: detached, or with its streams on this connection.

    As in Docker, a command that cannot be run is told in the stream (in Docker's on standard output); its exit
    code is in the exec's document.
    """
    body = await call.body(ExecStart)
    containers = call.engine.containers
    try:
        stream = await call.unbroken(
            containers.exec_start(call.name, detach=body.detach, tty=body.tty, console_size=body.console_size)
        )
    except StepFailed as error:
        if body.detach:
            raise
        text = message_frame(f"{error}\r\n", tty=body.tty)
        return await hijack_text(call, lines(text), stream_kind(call, tty=body.tty, upgrade=call.upgrades))
    if stream is None:
        return Answer(200)
    return await hijack(call, stream, stream_kind(call, tty=stream.tty, upgrade=call.upgrades))


async def resize(call: Call) -> web.StreamResponse:
    """POST /exec/{id}/resize."""
    await call.engine.containers.exec_resize(call.name, call.required_number("h"), call.required_number("w"))
    return answer(None)


async def inspect(call: Call) -> web.StreamResponse:
    """GET /exec/{id}/json."""
    return answer(await call.engine.containers.exec_inspect(call.name))


DEEDS = {"POST /containers/*/exec": create, "POST /exec/*/resize": resize}
READS = {"POST /exec/*/start": start, "GET /exec/*/json": inspect}
