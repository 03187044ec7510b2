"""Volumes."""

from __future__ import annotations

import asyncio

from aiohttp import web

from nakagin.api.answers import answer, no_content
from nakagin.api.call import Call
from nakagin.spec.docker import VolumeCreate


async def list_all(call: Call) -> web.StreamResponse:
    """GET /volumes."""
    return answer({"Volumes": call.engine.volumes.list(call.filters()), "Warnings": None})


async def create(call: Call) -> web.StreamResponse:
    """POST /volumes/create."""
    body = await call.body(VolumeCreate)
    made = call.engine.volumes.create(
        body.name or None, driver=body.driver or "local", options=body.driver_opts, labels=body.labels
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


DEEDS = {
    "POST /volumes/create": create,
    "POST /volumes/prune": prune,
    "DELETE /volumes/*": remove,
}
READS = {"GET /volumes": list_all, "GET /volumes/*": inspect}
