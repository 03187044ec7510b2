"""Volumes."""

from __future__ import annotations

import asyncio

from aiohttp import web

from nakagin.api.answers import answer, no_content
from nakagin.api.archives import send_tar
from nakagin.api.body import body_file
from nakagin.api.call import Call
from nakagin.containers.commit import in_threads
from nakagin.errors import Invalid, Unavailable
from nakagin.spec.docker import VolumeCreate
from nakagin.volumes import copies


async def list_all(call: Call) -> web.StreamResponse:
    """GET /volumes."""
    return answer({"Volumes": call.engine.volumes.list(call.filters()), "Warnings": None})


async def create(call: Call) -> web.StreamResponse:
    """POST /volumes/create."""
    body = await call.body(VolumeCreate)
    if body.cluster_volume_spec is not None:
        raise Unavailable(
            "volumes of a cluster need a swarm, and this engine is no part of one",
            hint="leave out what is about clusters",
        )
    if call.scope is not None:
        call.scope.volume(body)
    # A size may need a file system to be made.
    made = await asyncio.to_thread(
        call.engine.volumes.create,
        body.name or None,
        driver=body.driver or "local",
        options=body.driver_opts,
        labels=body.labels,
    )
    return answer(made, 201)


async def inspect(call: Call) -> web.StreamResponse:
    """GET /volumes/{name}."""
    return answer(call.engine.volumes.inspect(call.name))


async def remove(call: Call) -> web.StreamResponse:
    """DELETE /volumes/{name}."""
    await asyncio.to_thread(call.engine.volumes.remove, call.name, force=call.flag("force"))
    return no_content()


async def prune(call: Call) -> web.StreamResponse:
    """POST /volumes/prune: before 1.42 named volumes went, too."""
    filters = call.filters()
    if call.version < (1, 42):
        filters.setdefault("all", ["true"])
    return answer(await asyncio.to_thread(call.engine.volumes.prune, filters))


async def rename(call: Call) -> web.StreamResponse:
    """POST /nakagin/volumes/{name}/rename?name=: also for containers that have it and do not run."""
    call.engine.containers.volume_names.rename(call.name, call.text("name"))
    return no_content()


async def clone(call: Call) -> web.StreamResponse:
    """POST /nakagin/volumes/{name}/clone?name=[&snapshot=1]: the new volume's document."""
    volumes, wanted = call.engine.volumes, call.text("name")
    if call.flag("snapshot"):
        made = await asyncio.to_thread(copies.snapshot, volumes, call.name, wanted)
    elif not wanted:
        raise Invalid("the new volume has no name", hint="give it one with name=")
    else:
        made = await asyncio.to_thread(copies.clone, volumes, call.name, wanted)
    return answer(volumes.inspect(made), 201)


async def export(call: Call) -> web.StreamResponse:
    """GET /nakagin/volumes/{name}/export: a tar."""
    return await send_tar(call, in_threads(copies.exported(call.engine.volumes, call.name)))


async def import_(call: Call) -> web.StreamResponse:
    """POST /nakagin/volumes/{name}/import: the body is a tar; the volume is made where it is missing."""
    volumes = call.engine.volumes
    volumes.ensure(call.name)
    with body_file(call, patience=_PATIENCE) as file:
        await asyncio.to_thread(copies.import_, volumes, call.name, file)
    return answer(volumes.inspect(call.name))


async def changes(call: Call) -> web.StreamResponse:
    """GET /nakagin/volumes/{name}/changes?from=: as the changes of a container, against another volume."""
    kinds = {"C": 0, "A": 1, "D": 2}
    found = await asyncio.to_thread(copies.changes, call.engine.volumes, call.name, call.text("from"))
    return answer([{"Path": path, "Kind": kinds[kind]} for kind, path in found])


_PATIENCE = 60.0

DEEDS = {
    "POST /nakagin/volumes/*/rename": rename,
    "POST /nakagin/volumes/*/clone": clone,
    "POST /nakagin/volumes/*/import": import_,
    "POST /volumes/create": create,
    "POST /volumes/prune": prune,
    "DELETE /volumes/*": remove,
}
READS = {
    "GET /volumes": list_all,
    "GET /volumes/*": inspect,
    "GET /nakagin/volumes/*/export": export,
    "GET /nakagin/volumes/*/changes": changes,
}
