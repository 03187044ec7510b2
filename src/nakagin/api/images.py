"""Images: what is here, their names, and getting rid of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiohttp import web

from nakagin.api import editions
from nakagin.api.answers import Answer, answer
from nakagin.api.call import Call
from nakagin.api.platforms import platform_of, platforms_of
from nakagin.api.versions import Version
from nakagin.errors import Invalid
from nakagin.images import describe
from nakagin.images.explain import explained
from nakagin.images.retention import retention_of
from nakagin.registry.credentials import from_header

if TYPE_CHECKING:
    from nakagin.images.model import Image


async def list_all(call: Call) -> web.StreamResponse:
    """GET /images/json."""
    filters = call.filters()
    if pattern := call.text("filter"):  # before 1.25
        filters.setdefault("reference", []).append(pattern)
    images = call.engine.images
    found = images.list(filters, hidden=call.flag("all") or "dangling" in filters)
    documents = [summary(image, call.version) for image in found]
    for image, document in zip(found, documents, strict=True):
        if call.flag("shared-size"):
            document["SharedSize"] = images.shared_size(image)
        if call.flag("manifests") and call.version >= (1, 47):
            identity = call.version >= (1, 54) and call.flag("identity")
            document["Manifests"] = images.manifests(image, _identities(call) if identity else _none)
            document["Descriptor"] = images.descriptor(image)
    return answer(documents)


def _identities(call: Call) -> Callable[[Image], dict[str, Any]]:
    """What tells where an image comes from, as a field of its document; {} where that is not known."""

    def identified(image: Image) -> dict[str, Any]:
        builds = [(told.id, told.started) for told in call.engine.builder.chronicle.of_image(image.id)]
        found = describe.identity(image, builds)
        return {"Identity": found} if found else {}

    return identified


def _none(_image: Image) -> dict[str, Any]:
    return {}


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
    images = call.engine.images
    platform = platform_of(call.text("platform"))
    if platform and call.flag("manifests"):
        raise Invalid("conflicting options: manifests and platform options cannot both be set")
    document = dict(images.inspect(call.name, platform))
    if call.version >= (1, 48):
        image = images.resolve(call.name, platform)
        identified = _identities(call) if call.version >= (1, 53) else _none
        document["Descriptor"] = images.descriptor(image)
        document |= identified(image)
        if call.flag("manifests"):
            document["Manifests"] = images.manifests(image, identified)
    return answer(editions.image(document, call.version, call.request.headers.get("User-Agent", "")))


async def history(call: Call) -> web.StreamResponse:
    """GET /images/{name}/history."""
    return answer(call.engine.images.history(call.name, platform_of(call.text("platform"))))


async def explain(call: Call) -> web.StreamResponse:
    """GET /nakagin/images/{name}/explain."""
    images = call.engine.images
    image = images.resolve(call.name, platform_of(call.text("platform")))
    return answer(await asyncio.to_thread(explained, call.name, image, images.list(), images.layers))


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
        call.engine.images.remove,
        call.name,
        force=call.flag("force"),
        prune=not call.flag("noprune"),
        platforms=platforms_of(call.texts("platforms")),
    )
    _tell(call, before, gone)
    return answer(gone)


async def prune(call: Call) -> web.StreamResponse:
    """POST /images/prune: only nameless ones, unless the filter dangling says false, or those that are long unused
    (`unused-for`) or beyond the newest few of their repository (`keep`), which Docker has not."""
    filters = call.filters()
    retention = retention_of(filters.pop("unused-for", []), filters.pop("keep", []))
    dangling = filters.pop("dangling", ["true"])
    only_dangling = not any(value.lower() in ("false", "0") for value in dangling)
    before = call.engine.images.list()
    gone, freed = await asyncio.to_thread(
        call.engine.images.prune, dangling=only_dangling, filters=filters, retention=retention
    )
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


async def attestations(call: Call) -> web.StreamResponse:
    """GET /images/{name}/attestations: what its builder said of it."""
    wanted = platforms_of(call.texts("platform"))
    if len(wanted) > 1:
        raise Invalid("only one platform can be asked for", hint="ask for one after the other")
    image = call.engine.images.resolve(call.name, wanted[0] if wanted else None)
    credentials = from_header(call.request.headers.get("X-Registry-Auth", ""))
    found = await call.engine.attestations.of(
        image, credentials, types=call.texts("type"), whole=call.flag("statement")
    )
    return answer(found)


DEEDS = {
    "POST /images/prune": prune,
    "POST /images/*/tag": tag,
    "DELETE /images/*": remove,
}
READS = {
    "GET /images/json": list_all,
    "GET /images/*/json": inspect,
    "GET /images/*/history": history,
    "GET /images/*/attestations": attestations,
    "GET /nakagin/images/*/explain": explain,
}
