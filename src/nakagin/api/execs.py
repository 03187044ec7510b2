"""Commands in running containers."""

from __future__ import annotations

from aiohttp import web

from nakagin.api.answers import Answer, answer, no_content
from nakagin.api.call import Call
from nakagin.api.output import stream_kind
from nakagin.api.streams import hijack
from nakagin.errors import Invalid
from nakagin.spec.docker import ExecCreate, ExecStart


async def create(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/exec."""
    body = await call.body(ExecCreate)
    if call.scope is not None:
        call.scope.executed(body)
    if not body.cmd:
        raise Invalid("No exec command specified")
    return answer({"Id": await call.engine.containers.exec_create(call.name, body)}, 201)


async def start(call: Call) -> web.StreamResponse:
    """POST /exec/{id}/start: detached, or with its streams on this connection.

    As in Docker, a command that cannot be run, or a user that is not there, is told in the stream (in Docker's on
    standard output); the exit code is in the exec's document.
    """
    body = await call.body(ExecStart)
    containers = call.engine.containers
    if body.detach:
        await call.unbroken(containers.exec_start(call.name, detach=True, console_size=body.console_size))
        return Answer(200)
    stream = await containers.exec_open(call.name, console_size=body.console_size)
    return await hijack(call, stream, stream_kind(call, tty=stream.tty, upgrade=call.upgrades))


async def resize(call: Call) -> web.StreamResponse:
    """POST /exec/{id}/resize."""
    await call.engine.containers.exec_resize(call.name, call.required_number("h"), call.required_number("w"))
    return answer(None)


async def inspect(call: Call) -> web.StreamResponse:
    """GET /exec/{id}/json."""
    return answer(await call.engine.containers.exec_inspect(call.name))


async def kill(call: Call) -> web.StreamResponse:
    """POST /nakagin/exec/{id}/kill?signal=: Docker has no way to end a command."""
    await call.engine.containers.execs.kill(call.name, call.text("signal", "SIGKILL"))
    return no_content()


DEEDS = {"POST /exec/*/resize": resize, "POST /nakagin/exec/*/kill": kill}
# `create` awaits nothing but its body.
READS = {"POST /containers/*/exec": create, "POST /exec/*/start": start, "GET /exec/*/json": inspect}
