"""Images coming from registries: the pulling half of POST /images/create."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.api.platforms import platform_of
from nakagin.api.progress import ProgressStream
from nakagin.errors import Invalid
from nakagin.registry.credentials import from_header
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from aiohttp import web

    from nakagin.api.call import Call
    from nakagin.images.progress import Tell
    from nakagin.registry.credentials import Credentials
    from nakagin.spec.platform import Platform


async def pull(call: Call) -> web.StreamResponse:
    """POST /images/create?fromImage=…: without tag and digest, all tags of the repository."""
    reference = requested(call.text("fromImage"), call.text("tag"))
    platform = platform_of(call.text("platform"))
    credentials = from_header(call.request.headers.get("X-Registry-Auth", ""))
    stream = ProgressStream(call)
    return await stream.run(_pull(call, reference, credentials, platform, stream.tell))


def requested(name: str, tag: str) -> Reference:
    """The reference that the query's `fromImage` and `tag` (a tag or a digest) make. Raises Invalid."""
    reference = Reference.parse(name)
    if not tag:
        return reference
    if reference.tag or reference.digest:
        raise Invalid(f"invalid reference format: {name!r} has a tag, and so has the query")
    return Reference.parse(f"{name}@{tag}" if ":" in tag else f"{name}:{tag}")


async def _pull(
    call: Call, reference: Reference, credentials: Credentials, platform: Platform | None, tell: Tell
) -> None:
    pulls = call.engine.pulls
    all_tags = not (reference.tag or reference.digest)
    references = await pulls.lookup.tags(reference, credentials) if all_tags else [reference]
    fresh = False
    for each in references:
        pulled = await pulls.pull(each, credentials, tell, platform=platform)
        fresh = fresh or pulled.fresh
        for warning in pulled.warnings:
            tell({"status": f"Warning: {warning}"})
        tell({"status": f"Digest: {pulled.digest}"})
        name = each.familiar()
        call.engine.events.publish("image", "pull", name, {**pulled.image.labels, "name": each.familiar_name})
    words = "Downloaded newer image" if fresh else "Image is up to date"
    tell({"status": f"Status: {words} for {reference.familiar()}"})
