"""The engine itself: ping, version, info, events, disk usage, and registry logins."""

from __future__ import annotations

from aiohttp import web

from nakagin.api import editions
from nakagin.api.answers import Answer, answer, begin, encode
from nakagin.api.call import Call
from nakagin.api.versions import MAXIMUM, MINIMUM, show

_PING = {
    "Builder-Version": "1",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
    "Swarm": "inactive",
}


async def ping(call: Call) -> web.StreamResponse:
    """GET and HEAD /_ping."""
    body = b"" if call.request.method == "HEAD" else b"OK"
    return Answer(200, body, kind="text/plain; charset=utf-8", headers=_PING)


async def version(call: Call) -> web.StreamResponse:
    """GET /version."""
    document = {"ApiVersion": show(MAXIMUM), "MinAPIVersion": show(MINIMUM), **call.engine.version()}
    return answer(document)


async def info(call: Call) -> web.StreamResponse:
    """GET /info."""
    return answer(editions.info(await call.engine.info(), call.version))


async def events(call: Call) -> web.StreamResponse:
    """GET /events: the remembered ones from `since`, then live until `until` or until the client goes."""
    found = call.engine.events.subscribe(
        since_ns=call.moment("since"), until_ns=call.moment("until"), filters=call.filters()
    )
    kind = editions.event_stream_type(call.request.headers.get("Accept", ""), call.version)
    response = await begin(call, kind)
    mark = b"\x1e" if kind == "application/json-seq" else b""  # RFC 7464
    async for event in found:
        await response.write(mark + encode(editions.event(event.document(), call.version)) + b"\n")
    await response.write_eof()
    return response


async def disk_usage(call: Call) -> web.StreamResponse:
    """GET /system/df; `type` chooses among container, image, volume and build-cache."""
    kinds = set(call.texts("type"))
    shown = await call.engine.disk_usage()
    return answer(editions.disk_usage(shown, call.version, kinds, verbose=call.flag("verbose")))


async def resources(call: Call) -> web.StreamResponse:
    """GET /nakagin/system/resources."""
    return answer(call.engine.resources())


READS = {
    "GET /_ping": ping,
    "HEAD /_ping": ping,
    "GET /version": version,
    "GET /info": info,
    "GET /events": events,
    "GET /system/df": disk_usage,
    "GET /nakagin/system/resources": resources,
}
