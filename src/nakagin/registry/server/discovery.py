"""Content discovery: the version check, tags, repositories and referrers, in pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from nakagin.registry.server.call import Call, document
from nakagin.registry.server.names import check_digest
from nakagin.registry.server.pull import index_of
from nakagin.registry.server.refusals import name_unknown
from nakagin.registry.server.repositories import order_of
from nakagin.spec.image import MEDIA_INDEX

T = TypeVar("T")
#: The specification bounds an answer as it does manifests.
_LARGEST_INDEX = 4 << 20


async def base(call: Call) -> web.StreamResponse:
    """GET /v2/: this is a registry, and you may come in."""
    return document({})


async def tags(call: Call) -> web.StreamResponse:
    """GET …/tags/list."""
    repository = call.repository
    asked = await call.through.tags(call) if call.through is not None else None
    found = sorted(asked, key=order_of) if asked is not None else await call.threaded(repository.tags)
    if not found and not repository.exists():
        raise name_unknown(call.name)
    count = call.count()
    bound = None if count is None else min(count, call.registry.settings.page)
    part, more = page(found, bound, order_of(last) if (last := call.text("last")) else None, order_of)
    headers = _next(call, f"/v2/{call.name}/tags/list", part[-1] if part and more else "")
    return document({"name": call.name, "tags": part}, headers=headers)


async def catalog(call: Call) -> web.StreamResponse:
    """GET /v2/_catalog: the repositories that the asker may pull from."""
    names = await call.threaded(call.registry.repositories.names)
    mine = [name for name in names if call.identity.may("pull", name)]
    part, more = page(mine, _bound(call), order_of(last) if (last := call.text("last")) else None, order_of)
    headers = _next(call, "/v2/_catalog", part[-1] if part and more else "")
    return document({"repositories": part}, headers=headers)


async def referrers(call: Call) -> web.StreamResponse:
    """GET …/referrers/<digest>: an index of the manifests with that subject; empty where there are none."""
    subject = check_digest(call.target.reference)
    found: Sequence[dict[str, Any]] = await call.threaded(call.repository.referrers, subject)
    headers: dict[str, str] = {}
    if wanted := call.text("artifactType"):
        found = [each for each in found if each.get("artifactType") == wanted]
        headers["OCI-Filters-Applied"] = "artifactType"
    part, more = page(found, _bound(call), call.text("last") or None, lambda each: each["digest"])
    part, cut = _bounded(part)
    last = part[-1]["digest"] if part and (more or cut) else ""
    headers |= _next(call, f"/v2/{call.name}/referrers/{subject}", last)
    return document(index_of(part), kind=MEDIA_INDEX, headers=headers)


def _bound(call: Call) -> int:
    count, most = call.count(), call.registry.settings.page
    return most if count is None else min(count, most)


def _bounded(part: Sequence[dict[str, Any]]) -> tuple[Sequence[dict[str, Any]], bool]:
    """As many as one answer may have, and whether that is not all."""
    size = 0
    for number, each in enumerate(part):
        size += len(msgspec.json.encode(each)) + 1
        if size > _LARGEST_INDEX - 1024 and number:
            return part[:number], True
    return part, False


def page(
    found: Sequence[T], bound: int | None, after: object, key: Callable[[T], Any]
) -> tuple[Sequence[T], bool]:
    """What follows the key `after` (None: from the beginning), at most `bound` of it (None: all), and whether there
    is more. `found` is sorted by `key`."""
    if after is not None:
        found = [each for each in found if key(each) > after]
    if bound is None:
        return found, False
    return found[:bound], len(found) > bound


def _next(call: Call, path: str, last: str) -> dict[str, str]:
    """The Link header of a page that is not the last one (RFC 8288)."""
    if not last:
        return {}
    query = {key: value for key, value in call.request.query.items() if key in ("n", "artifactType")}
    return {"Link": f'<{path}?{urlencode({**query, "last": last})}>; rel="next"'}
