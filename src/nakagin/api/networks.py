"""Networks, and who is on them."""

from __future__ import annotations

from aiohttp import web

from nakagin.api.answers import Answer, answer, no_content
from nakagin.api.call import Call
from nakagin.spec.docker import NetworkConnect, NetworkCreate, NetworkDisconnect


async def list_all(call: Call) -> web.StreamResponse:
    """GET /networks."""
    return answer(call.engine.networks.list(call.filters()))


async def inspect(call: Call) -> web.StreamResponse:
    """GET /networks/{id}."""
    return answer(call.engine.networks.inspect(call.name))


async def create(call: Call) -> web.StreamResponse:
    """POST /networks/create."""
    identity, warning = call.engine.networks.create(await call.body(NetworkCreate))
    return answer({"Id": identity, "Warning": warning}, 201)


async def remove(call: Call) -> web.StreamResponse:
    """DELETE /networks/{id}."""
    call.engine.networks.remove(call.name)
    return no_content()


async def connect(call: Call) -> web.StreamResponse:
    """POST /networks/{id}/connect."""
    body = await call.body(NetworkConnect)
    await call.engine.containers.connect(call.name, body.container, body.endpoint_config)
    return Answer(200)


async def disconnect(call: Call) -> web.StreamResponse:
    """POST /networks/{id}/disconnect."""
    body = await call.body(NetworkDisconnect)
    await call.engine.containers.disconnect(call.name, body.container, force=body.force)
    return Answer(200)


async def prune(call: Call) -> web.StreamResponse:
    """POST /networks/prune."""
    return answer(call.engine.networks.prune(call.filters()))


DEEDS = {
    "POST /networks/create": create,
    "POST /networks/prune": prune,
    "POST /networks/*/connect": connect,
    "POST /networks/*/disconnect": disconnect,
    "DELETE /networks/*": remove,
}
READS = {"GET /networks": list_all, "GET /networks/*": inspect}
