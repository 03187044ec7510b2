"""Networks, and who is on them."""

from __future__ import annotations

import msgspec
from aiohttp import web

from nakagin.api import editions
from nakagin.api.answers import Answer, answer, no_content
from nakagin.api.call import Call
from nakagin.containers.selection import parse_moment
from nakagin.errors import Invalid
from nakagin.monitor.logfile import timestamp
from nakagin.spec.networking import NetworkConnect, NetworkCreate, NetworkDisconnect


async def list_all(call: Call) -> web.StreamResponse:
    """GET /networks."""
    return answer(call.engine.networks.list(call.filters()))


async def inspect(call: Call) -> web.StreamResponse:
    """GET /networks/{id}."""
    shown = call.engine.networks.inspect(call.name, verbose=call.flag("verbose"), scope=call.text("scope"))
    return answer(editions.network(shown, call.version))


async def create(call: Call) -> web.StreamResponse:
    """POST /networks/create."""
    body = await call.body(NetworkCreate)
    if call.version < (1, 47) and not body.enable_ipv6:  # older clients cannot leave it out
        body = msgspec.structs.replace(body, enable_ipv6=None)
    identity, warning = call.engine.networks.create(body)
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
    filters = call.filters()
    for key in filters:
        if key not in {"label", "label!", "until"}:
            raise Invalid(f"invalid filter '{key}'", hint="known filters: label, label!, until")
    moments = filters.get("until", ())
    if len(moments) > 1:
        raise Invalid("more than one until filter specified")
    until = timestamp(parse_moment(moments[0])) if moments else ""
    return answer(call.engine.networks.prune(filters, until))


async def explain(call: Call) -> web.StreamResponse:
    """GET /nakagin/networks/{id}/explain: the way of a packet, from the living kernel."""
    return answer(await call.engine.networks.explain(call.name))


DEEDS = {
    "POST /networks/create": create,
    "POST /networks/prune": prune,
    "POST /networks/*/connect": connect,
    "POST /networks/*/disconnect": disconnect,
    "DELETE /networks/*": remove,
}
READS = {
    "GET /networks": list_all,
    "GET /networks/*": inspect,
    "GET /nakagin/networks/*/explain": explain,
}
