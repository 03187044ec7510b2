"""POST /nakagin/images/bootstrap: images from the distribution's packages, told line by line."""

from __future__ import annotations

import asyncio

from aiohttp import web

from nakagin.api.answers import begin, encode
from nakagin.api.call import Call
from nakagin.errors import Invalid, NakaginError
from nakagin.images.model import Image
from nakagin.spec.docker import Document, Strings


class BootstrapRequest(Document, frozen=True, kw_only=True):
    """What to make (`kind`: busybox or debian) and how; see `images.bootstrap`."""

    kind: str = ""
    reference: str = ""
    packages: Strings = ()
    suite: str = ""
    variant: str = "minbase"
    mirror: str = ""
    changes: Strings = ()
    source_date_epoch: int | None = None


async def bootstrap(call: Call) -> web.StreamResponse:
    """Progress as {"stream": "..."} lines, then {"aux": {"ID": "sha256:..."}}; failures as Docker"""
    from nakagin.images.bootstrap import KINDS  # rarely needed, and it needs much
    from nakagin.images.bootstrap import bootstrap as make_image

    body = await call.body(BootstrapRequest)
    if body.kind not in KINDS:
        raise Invalid(f"unknown kind of image {body.kind!r}", hint=f"known: {', '.join(KINDS)}")
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def tell(line: str | None) -> None:
        loop.call_soon_threadsafe(lines.put_nowait, line)

    def make() -> Image:
        try:
            return make_image(
                call.engine.images,
                body.kind,
                reference=body.reference or None,
                packages=body.packages,
                suite=body.suite,
                variant=body.variant,
                mirror=body.mirror,
                changes=body.changes,
                source_date_epoch=body.source_date_epoch,
                progress=tell,
            )
        finally:
            tell(None)

    work = asyncio.ensure_future(asyncio.to_thread(make))
    response = await begin(call)
    while (line := await lines.get()) is not None:
        await response.write(encode({"stream": line.rstrip("\n") + "\n"}) + b"\r\n")
    last: dict[str, object]
    try:
        image = await work
    except NakaginError as error:
        last = {"errorDetail": {"message": str(error)}, "error": str(error)}
    else:
        call.engine.events.publish(
            "image", "import", image.id, {"name": next(iter(image.repo_tags), image.id)}
        )
        last = {"aux": {"ID": image.id}}
    await response.write_eof(encode(last) + b"\r\n")
    return response


DEEDS = {"POST /nakagin/images/bootstrap": bootstrap}
