"""Containers: from create to remove, and what they are like."""

from __future__ import annotations

import msgspec
from aiohttp import web

from nakagin.api import editions
from nakagin.api.answers import answer, no_content
from nakagin.api.call import Call
from nakagin.api.platforms import platform_of
from nakagin.api.versions import Version
from nakagin.errors import Invalid, NotFound, Unsupported
from nakagin.spec.docker import BindOptions, ContainerCreate, HostConfig, Mount, UpdateRequest
from nakagin.spec.reference import Reference


async def create(call: Call) -> web.StreamResponse:
    """POST /containers/create."""
    if not call.request.body_exists:
        raise Invalid("invalid JSON: got EOF while reading request body")
    body = await call.body(ContainerCreate)
    if call.scope is not None:
        body = call.scope.created(body)
    body = msgspec.structs.replace(body, host_config=_of_old(body.host_config, call.version))
    try:
        identity, warnings = await call.engine.containers.create(
            call.text("name") or None, body, platform=platform_of(call.text("platform"))
        )
    except NotFound as error:
        # To clients, 404 means here that the image must be pulled.
        if not error.message.startswith(("No such image", "image with reference")):
            raise Invalid(error.message, hint=error.hint) from error
        Reference.parse(body.image)
        raise
    return answer({"Id": identity, "Warnings": warnings}, 201)


def _of_old(host: HostConfig, version: Version) -> HostConfig:
    """What older clients mean by what they leave out."""
    changes: dict[str, object] = {}
    if version < (1, 40) and not host.ipc_mode:
        changes["ipc_mode"] = "shareable"
    if version < (1, 41) and not host.cgroupns_mode:
        changes["cgroupns_mode"] = "host"
    if version < (1, 44) and host.mounts:  # a read-only bind left the mounts below it writable
        changes["mounts"] = tuple(_not_recursively(each) for each in host.mounts)
    return msgspec.structs.replace(host, **changes) if changes else host


def _not_recursively(mount: Mount) -> Mount:
    if mount.type != "bind" or not mount.read_only:
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
    return answer([editions.container_summary(each, call.version) for each in found])


async def inspect(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/json."""
    shown = await call.engine.containers.inspect(call.name, size=call.flag("size"))
    return answer(editions.container(shown, call.version))


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


async def explain(call: Call) -> web.StreamResponse:
    """GET /nakagin/containers/{id}/explain."""
    return answer(await call.engine.containers.explanations.living(call.name))


async def rehearse(call: Call) -> web.StreamResponse:
    """POST /nakagin/containers/rehearse: the body of a create request."""
    body = await call.body(ContainerCreate)
    return answer(call.engine.containers.explanations.rehearsed(call.text("name") or None, body))


async def overhead(call: Call) -> web.StreamResponse:
    """GET /nakagin/containers/{id}/overhead."""
    return answer(await call.engine.containers.explanations.overhead(call.name))


async def prune(call: Call) -> web.StreamResponse:
    """POST /containers/prune."""
    return answer(await call.engine.containers.prune(call.filters()))


async def recreate(call: Call) -> web.StreamResponse:
    """POST /nakagin/containers/{id}/recreate: the body of create; the container in its place, or all as it was."""
    identity, warnings = await call.engine.containers.recreation.recreate(
        call.name, await call.body(ContainerCreate)
    )
    return answer({"Id": identity, "Warnings": warnings})


DEEDS = {
    "POST /nakagin/containers/*/recreate": recreate,
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
    "DELETE /containers/*/*": remove,  # a link: /container/alias
}
READS = {
    "GET /containers/json": list_all,
    "GET /containers/*/json": inspect,
    "GET /containers/*/top": top,
    "GET /containers/*/changes": changes,
    "GET /nakagin/containers/*/overhead": overhead,
    "GET /nakagin/containers/*/explain": explain,
    "POST /nakagin/containers/rehearse": rehearse,
}
