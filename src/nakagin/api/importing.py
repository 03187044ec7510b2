"""Root file systems becoming images: the importing half of POST /images/create."""

from __future__ import annotations

import asyncio
from typing import IO, TYPE_CHECKING, cast

from yarl import URL

from nakagin.api.answers import begin, encode
from nakagin.api.body import BodyFile, sent_file
from nakagin.api.progress import ProgressStream
from nakagin.errors import Exhausted
from nakagin.images.progress import State, message
from nakagin.images.teller import Teller
from nakagin.registry.download import opened

if TYPE_CHECKING:
    from aiohttp import web

    from nakagin.api.call import Call
    from nakagin.images.model import Image
    from nakagin.images.progress import Tell

_MOST_BYTES = 64 << 30


async def import_(call: Call, source: str) -> web.StreamResponse:
    """POST /images/create?fromSrc=…: "-" is the body, anything else a URL (without a scheme, of http)."""
    if source == "-":
        return await call.unbroken(_from_body(call))
    stream = ProgressStream(call)
    url = source if "://" in source else f"http://{source}"
    return await stream.run(_from_url(call, url, stream.tell))


async def _from_body(call: Call) -> web.StreamResponse:
    with sent_file(call) as file:
        image = await _imported(call, file, "-")
    response = await begin(call)
    await response.write_eof(encode({"status": image.id}) + b"\r\n")
    return response


async def _from_url(call: Call, url: str, tell: Tell) -> None:
    """The file becomes the image while it arrives; a server that stalls or breaks off leaves nothing."""
    async with opened(call.engine.registries.wire, url) as answer:
        shown = str(URL(url).with_user(None))
        tell({"status": f"Downloading from {shown}"})
        length = answer.headers.get("Content-Length", "")
        total, teller = int(length) if length.isdecimal() else 0, Teller(tell, "")

        def listen(came: int) -> None:
            if came > _MOST_BYTES:
                raise Exhausted(f"{shown} has more than {_MOST_BYTES} bytes")
            teller(State("Importing", came, total))

        with BodyFile(answer.content, shown, listen) as file:
            image = await _imported(call, file, shown)
        tell(message("", State("Importing", file.came, file.came)))
    tell({"status": image.id})


async def _imported(call: Call, file: IO[bytes] | BodyFile, source: str) -> Image:
    repository, tag = call.text("repo"), call.text("tag")
    reference = f"{repository}:{tag}" if repository and tag else repository or None
    image = await asyncio.to_thread(
        call.engine.images.import_,
        cast(IO[bytes], file),
        reference,
        changes=call.texts("changes"),
        message=call.text("message") or f"Imported from {source}",
        platform=call.text("platform"),
    )
    call.engine.events.publish("image", "import", image.id, {"name": reference or image.id})
    return image
