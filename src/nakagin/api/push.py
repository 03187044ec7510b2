"""Images going to registries: POST /images/{name}/push."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.api.platforms import platform_of
from nakagin.api.progress import ProgressStream
from nakagin.errors import Invalid
from nakagin.registry.credentials import from_header
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from nakagin.api.call import Call
    from nakagin.images.progress import Tell
    from nakagin.registry.credentials import Credentials
    from nakagin.spec.platform import Platform


async def push(call: Call) -> web.StreamResponse:
    """POST /images/{name}/push: one tag, or without `tag` all of the repository."""
    reference = Reference.parse(call.name)
    if reference.digest:
        raise Invalid("cannot push a digest reference")
    if tag := call.text("tag"):
        reference = reference.with_tag(tag)
    platform = platform_of(call.text("platform"))
    credentials = from_header(call.request.headers.get("X-Registry-Auth", ""))
    references = call.engine.pushes.tags(reference)
    stream = ProgressStream(call)
    return await stream.run(_push(call, references, credentials, platform, stream.tell))


async def _push(
    call: Call,
    references: Sequence[Reference],
    credentials: Credentials,
    platform: Platform | None,
    tell: Tell,
) -> None:
    tell({"status": f"The push refers to repository [{references[0].name}]"})
    for each in references:
        pushed = await call.engine.pushes.push(each, credentials, tell, platform=platform)
        tell({"status": f"{pushed.tag}: digest: {pushed.digest} size: {pushed.size}"})
        aux = {"Tag": pushed.tag, "Digest": pushed.digest, "Size": pushed.size}
        tell({"progressDetail": {}, "aux": aux})
        call.engine.events.publish("image", "push", each.familiar(), {"name": each.familiar_name})


READS = {"POST /images/*/push": push}
