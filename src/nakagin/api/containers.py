"""Containers: from create to remove, and what they are like."""

from __future__ import annotations

import msgspec
from aiohttp import web

from nakagin.api.answers import answer, no_content
from nakagin.api.call import Call
from nakagin.errors import Invalid, NotFound, Unsupported
from nakagin.spec.docker import BindOptions, ContainerCreate, HostConfig, Mount, UpdateRequest
from nakagin.spec.reference import Reference


async def create(call: Call) -> web.StreamResponse:
    """POST /containers/create."""
    if not call.request.body_exists:
        raise Invalid("invalid JSON: got EOF while reading request body")
    body = await call.body(ContainerCreate)
    if call.version < (1, 44) and body.host_config.mounts:
        body = msgspec.structs.replace(body, host_config=_old_read_only(body.host_config))
    try:
        identity, warnings = await call.engine.containers.create(
            call.text("name") or None, body, platform=call.text("platform") or None
        )
    except NotFound as error:
        # To clients, 404 means here that the image must be pulled.
        if not str(error).startswith("No such image"):
            raise Invalid(error.message, hint=error.hint) from error
        Reference.parse(body.image)
        raise
    return answer({"Id": identity, "Warnings": warnings}, 201)


def _old_read_only(host: HostConfig) -> HostConfig:
    """Before 1.44 a read-only bind left the mounts below it writable."""
    return msgspec.structs.replace(host, mounts=tuple(_not_recursively(each) for each in host.mounts))


def _not_recursively(mount: Mount) -> Mount:
    if mount.type != "bind":
        return mount
    options = msgspec.structs.replace(mount.bind_options or BindOptions(), read_only_non_recursive=True)
    return msgspec.structs.replace(mount, bind_options=options)


async def list_all(call: Call) -> web.StreamResponse:
    """GET /containers/json."""
    limit = call.number("limit", -1)
    found = await call.engine.containers.list(
        all=call.flag("all"),
        limit=limit or -1,
        size=call.flag("size"),
        filters=call.filters(),
    )
    return answer(found)


async def inspect(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/json."""
    return answer(await call.engine.containers.inspect(call.name, size=call.flag("size")))


async def start(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/start."""
    if call.text("checkpoint"):
        raise Unsupported("starting from a checkpoint is not possible")
    await call.engine.containers.start(call.name)
    return no_content()


async def stop(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/stop: `t` seconds of grace, `signal` to send."""
    await call.engine.containers.stop(call.name, timeout=call.number("t"), signal=call.text("signal") or None)
    return no_content()


async def restart(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/restart."""
    await call.engine.containers.restart(
        call.name, timeout=call.number("t"), signal=call.text("signal") or None
    )
    return no_content()


async def kill(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/kill."""
    await call.engine.containers.kill(call.name, signal=call.text("signal", "SIGKILL"))
    return no_content()


async def pause(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/pause."""
    await call.engine.containers.pause(call.name)
    return no_content()


async def unpause(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/unpause."""
    await call.engine.containers.unpause(call.name)
    return no_content()


async def rename(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/rename."""
    await call.engine.containers.rename(call.name, call.text("name"))
    return no_content()


async def update(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/update."""
    warnings = await call.engine.containers.update(call.name, await call.body(UpdateRequest))
    return answer({"Warnings": warnings})


async def remove(call: Call) -> web.StreamResponse:
    """DELETE /containers/{id}."""
    await call.engine.containers.remove(
        call.name, force=call.flag("force"), volumes=call.flag("v"), link=call.flag("link")
    )
    return no_content()


async def resize(call: Call) -> web.StreamResponse:
    """POST /containers/{id}/resize."""
    await call.engine.containers.resize(call.name, call.required_number("h"), call.required_number("w"))
    return answer(None)


async def top(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/top."""
    return answer(await call.engine.containers.top(call.name, call.text("ps_args", "-ef")))


async def changes(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/changes: null where there are none, as in Docker."""
    return answer(await call.engine.containers.changes(call.name) or None)


async def prune(call: Call) -> web.StreamResponse:
    """POST /containers/prune."""
    return answer(await call.engine.containers.prune(call.filters()))


DEEDS = {
    "POST /containers/create": create,
    "POST /containers/prune": prune,
    "POST /containers/*/start": start,
    "POST /containers/*/stop": stop,
    "POST /containers/*/restart": restart,
    "POST /containers/*/kill": kill,
    "POST /containers/*/pause": pause,
    "POST /containers/*/unpause": unpause,
    "POST /containers/*/rename": rename,
    "POST /containers/*/update": update,
    "POST /containers/*/resize": resize,
    "DELETE /containers/*": remove,
}
READS = {
    "GET /containers/json": list_all,
    "GET /containers/*/json": inspect,
    "GET /containers/*/top": top,
    "GET /containers/*/changes": changes,
}
