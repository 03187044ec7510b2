"""Images: what is here, their names, and getting rid of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiohttp import web

from nakagin.api.answers import Answer, answer
from nakagin.api.call import Call
from nakagin.api.versions import Version
from nakagin.errors import Invalid, Unsupported

if TYPE_CHECKING:
    from nakagin.images.model import Image


async def list_all(call: Call) -> web.StreamResponse:
    """GET /images/json."""
    filters = call.filters()
    if pattern := call.text("filter"):  # before 1.25
        filters.setdefault("reference", []).append(pattern)
    found = call.engine.images.list(filters)
    return answer([summary(image, call.version) for image in found])


def summary(image: Image, version: Version) -> dict[str, Any]:
    """One line of `docker images`; -1 stands for "not counted"."""
    document: dict[str, Any] = {
        "Id": image.id,
        "ParentId": image.record.parent,
        "RepoTags": list(image.repo_tags),
        "RepoDigests": list(image.repo_digests),
        "Created": int(image.created_at.timestamp()),
        "Size": image.size,
        "SharedSize": -1,
        "Labels": dict(image.labels) or None,
        "Containers": -1,
    }
    if version < (1, 43) and image.dangling:
        document["RepoTags"], document["RepoDigests"] = ["<none>:<none>"], ["<none>@<none>"]
    if version < (1, 44):
        document["VirtualSize"] = image.size
    return document


async def inspect(call: Call) -> web.StreamResponse:
    """GET /images/{name}/json."""
    document = dict(call.engine.images.inspect(call.name))
    if call.version < (1, 44):
        document["VirtualSize"] = document.get("Size", 0)
    return answer(document)


async def history(call: Call) -> web.StreamResponse:
    """GET /images/{name}/history."""
    return answer(call.engine.images.history(call.name))


async def tag(call: Call) -> web.StreamResponse:
    """POST /images/{name}/tag."""
    repository, name = call.text("repo"), call.text("tag")
    if not repository:
        raise Invalid("invalid reference format: the query parameter repo is missing")
    target = f"{repository}:{name}" if name else repository
    image = call.engine.images.tag(call.name, target)
    call.engine.events.publish("image", "tag", image.id, {"name": target})
    return Answer(201)


async def remove(call: Call) -> web.StreamResponse:
    """DELETE /images/{name}."""
    before = call.engine.images.list()
    gone = await asyncio.to_thread(
        call.engine.images.remove, call.name, force=call.flag("force"), prune=not call.flag("noprune")
    )
    _tell(call, before, gone)
    return answer(gone)


async def prune(call: Call) -> web.StreamResponse:
    """POST /images/prune: only nameless ones, unless the filter dangling says false."""
    filters = call.filters()
    dangling = filters.pop("dangling", ["true"])
    only_dangling = not any(value.lower() in ("false", "0") for value in dangling)
    before = call.engine.images.list()
    gone, freed = await asyncio.to_thread(call.engine.images.prune, dangling=only_dangling, filters=filters)
    _tell(call, before, gone)
    return answer({"ImagesDeleted": list(gone) or None, "SpaceReclaimed": freed})


def _tell(call: Call, before: Sequence[Image], gone: Sequence[Mapping[str, str]]) -> None:
    """Publish what a removal did, as Docker's events untag and delete; layers are deleted silently."""
    ids = {name: image.id for image in before for name in (*image.repo_tags, *image.repo_digests)}
    images = {image.id for image in before}
    for item in gone:
        if name := item.get("Untagged"):
            call.engine.events.publish("image", "untag", ids.get(name, name), {"name": name})
        elif (identity := item.get("Deleted")) in images and identity:
            call.engine.events.publish("image", "delete", identity, {"name": identity})


async def search(call: Call) -> web.StreamResponse:
    """GET /images/search."""
    raise Unsupported("searching registries is not possible yet")


async def push(call: Call) -> web.StreamResponse:
    """POST /images/{name}/push."""
    call.engine.images.resolve(call.name)
    raise Unsupported(
        f"pushing {call.name} to a registry is not possible yet", hint="`save` writes an archive"
    )


async def distribution(call: Call) -> web.StreamResponse:
    """GET /distribution/{name}/json."""
    raise Unsupported(f"asking a registry for {call.name} is not possible yet")


async def attestations(call: Call) -> web.StreamResponse:
    """GET /images/{name}/attestations: none are kept."""
    call.engine.images.resolve(call.name)
    return answer([])


DEEDS = {
    "POST /images/prune": prune,
    "POST /images/*/tag": tag,
    "POST /images/*/push": push,
    "DELETE /images/*": remove,
}
READS = {
    "GET /images/json": list_all,
    "GET /images/search": search,
    "GET /images/*/json": inspect,
    "GET /images/*/history": history,
    "GET /images/*/attestations": attestations,
    "GET /distribution/*/json": distribution,
}
