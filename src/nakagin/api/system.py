"""The engine itself: ping, version, info, events, disk usage, and registry logins."""

from __future__ import annotations

from aiohttp import web

from nakagin.api.answers import Answer, answer, begin, encode
from nakagin.api.call import Call
from nakagin.api.versions import MAXIMUM, MINIMUM, show
from nakagin.errors import Unsupported
from nakagin.spec.docker import AuthConfig

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
    return answer(await call.engine.info())


async def events(call: Call) -> web.StreamResponse:
    """GET /events: the remembered ones from `since`, then live until `until` or until the client goes."""
    found = call.engine.events.subscribe(
        since_ns=call.moment("since"), until_ns=call.moment("until"), filters=call.filters()
    )
    response = await begin(call)
    async for event in found:
        await response.write(encode(event.document()) + b"\n")
    await response.write_eof()
    return response


async def disk_usage(call: Call) -> web.StreamResponse:
    """GET /system/df; `type` chooses among container, image, volume and build-cache."""
    document = await call.engine.disk_usage()
    wanted = set(call.texts("type"))
    keys = {
        "image": ("LayersSize", "Images"),
        "container": ("Containers",),
        "volume": ("Volumes",),
        "build-cache": ("BuildCache", "BuilderSize"),
    }
    if wanted:
        chosen = {key for kind in wanted for key in keys.get(kind, ())}
        document = {key: value for key, value in document.items() if key in chosen}
    return answer(document)


async def auth(call: Call) -> web.StreamResponse:
    """POST /auth: no registry can be spoken to yet."""
    given = await call.body(AuthConfig)
    raise Unsupported(
        f"logging in to {given.serveraddress or 'a registry'} is not possible yet",
        hint="images come from `load`, `import` and `nakagin image bootstrap`",
    )


DEEDS = {"POST /auth": auth}
READS = {
    "GET /_ping": ping,
    "HEAD /_ping": ping,
    "GET /version": version,
    "GET /info": info,
    "GET /events": events,
    "GET /system/df": disk_usage,
}
