"""Below /nakagin: ports of living containers, from where they are reached, and what the name server answered."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web
from msgspec import field

from nakagin.api.answers import answer
from nakagin.api.call import Call
from nakagin.spec.docker import Document, PortBinding


class PortsRequest(Document, frozen=True, kw_only=True):
    """Which ports to publish and which to take back, both as PortBindings: {"80/tcp": [{"HostPort": "8080"}]}."""

    add: Mapping[str, tuple[PortBinding, ...]] = field(default_factory=dict)
    remove: Mapping[str, tuple[PortBinding, ...]] = field(default_factory=dict)


async def republish(call: Call) -> web.StreamResponse:
    """POST /nakagin/containers/{id}/ports: the container's Ports afterwards."""
    body = await call.body(PortsRequest)
    ports = await call.engine.containers.publishing.change(call.name, body.add, body.remove)
    return answer({"Ports": ports})


async def exposure(call: Call) -> web.StreamResponse:
    """GET /nakagin/containers/{id}/ports: from where each published port is reached."""
    return answer(await call.engine.containers.publishing.exposure(call.name))


async def all_names(call: Call) -> web.StreamResponse:
    """GET /nakagin/names: counters of the name server, of all containers."""
    return answer(await call.engine.naming.counters())


async def names(call: Call) -> web.StreamResponse:
    """GET /nakagin/networks/{id}/names: the same of one network's containers."""
    return answer(await call.engine.naming.counters(call.name))


DEEDS = {"POST /nakagin/containers/*/ports": republish}
READS = {
    "GET /nakagin/containers/*/ports": exposure,
    "GET /nakagin/names": all_names,
    "GET /nakagin/networks/*/names": names,
}
