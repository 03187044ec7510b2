"""/nakagin/handover/…: images straight from one engine to another, without a registry; see images.handover."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from aiohttp import web

from nakagin.api.answers import answer, begin
from nakagin.api.call import CHUNK, Call
from nakagin.api.progress import ProgressStream
from nakagin.errors import Damaged, Invalid
from nakagin.images.handover import Offer, missing, offer, take_in
from nakagin.spec.digest import parse_digest
from nakagin.spec.docker import Document, Strings
from nakagin.spec.gojson import document
from nakagin.tasks import to_the_end

if TYPE_CHECKING:
    from nakagin.storage.partial import Partial


class OfferRequest(Document, frozen=True, kw_only=True):
    """Which images to hand over; `platform` as "linux/arm64"."""

    names: Strings = ()
    platform: str = ""


async def make_offer(call: Call) -> web.StreamResponse:
    """POST /nakagin/handover/offer: what the images consist of."""
    body = await call.body(OfferRequest)
    if not body.names:
        raise Invalid("no image is named")
    return answer(document(await asyncio.to_thread(offer, call.engine.images, body.names, body.platform)))


async def tell_missing(call: Call) -> web.StreamResponse:
    """POST /nakagin/handover/missing: which blobs of an offer are not here, and from where on."""
    body = await call.body(Offer)
    return answer(document(await asyncio.to_thread(missing, call.engine.images, call.engine.partials, body)))


async def send(call: Call) -> web.StreamResponse:
    """GET /nakagin/handover/blob?digest=…&offset=…: the rest of a blob."""
    digest, offset = parse_digest(call.text("digest")), call.number("offset", 0) or 0
    with call.engine.blobs.open(digest) as stream:
        stream.seek(max(0, offset))
        response = await begin(call, "application/octet-stream")
        while piece := await asyncio.to_thread(stream.read, 4 * CHUNK):
            await response.write(piece)
        await response.write_eof()
    return response


async def receive(call: Call) -> web.StreamResponse:
    """POST /nakagin/handover/blob?digest=…&size=…&offset=…[&encoding=zstd]: the rest of a blob.

    What of it arrives stays, whatever happens.
    """
    digest, size = parse_digest(call.text("digest")), call.required_number("size")
    offset = call.number("offset", 0) or 0
    encoding = call.text("encoding")
    if encoding not in ("", "zstd"):
        raise Invalid(f"unknown encoding {encoding!r}", hint="zstd, or none")
    partial = await asyncio.to_thread(call.engine.partials.open, digest, size)
    try:
        if partial.offset != offset:
            raise Invalid(
                f"the blob {digest} is here up to {partial.offset}, not {offset}",
                hint="ask again what is missing",
            )
        pieces = _expanded(call.chunks()) if encoding else call.chunks()
        async for piece in pieces:
            await to_the_end(asyncio.to_thread(partial.write, piece))
        await to_the_end(asyncio.to_thread(_commit, partial))
    finally:
        await to_the_end(asyncio.to_thread(partial.close))
    return answer({"Digest": digest})


def _commit(partial: Partial) -> None:
    if partial.offset < partial.size:
        raise Damaged(
            f"of the {partial.size} bytes of {partial.digest} only {partial.offset} came",
            hint="send the rest",
        )
    partial.commit()


async def _expanded(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The plain bytes; what they expand to is bounded by the blob's size, piece by piece."""
    import zstandard

    expander = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
    async for piece in pieces:
        for start in range(0, len(piece), _SLICE):
            try:
                plain = await asyncio.to_thread(expander.decompress, piece[start : start + _SLICE])
            except zstandard.ZstdError as error:
                raise Damaged(f"what arrived is no zstd: {error}") from None
            if plain:
                yield plain


#: Compressed bytes that are expanded at once: a bomb of them is a few hundred megabytes at most.
_SLICE = 1 << 14


async def finish(call: Call) -> web.StreamResponse:
    """POST /nakagin/handover/images: make images of an offer whose blobs are here; one line for each."""
    body = await call.body(Offer)
    stream = ProgressStream(call)

    async def work() -> None:
        for image in await asyncio.to_thread(take_in, call.engine.images, body):
            names = [name for each in body.images if each.id == image.id for name in each.names]
            for name in names or [image.id]:
                call.engine.events.publish("image", "load", image.id, {"name": name})
            stream.tell({"id": image.id, "names": names})

    return await stream.run(work())


DEEDS = {"POST /nakagin/handover/images": finish}
READS = {
    "POST /nakagin/handover/offer": make_offer,
    "POST /nakagin/handover/missing": tell_missing,
    "GET /nakagin/handover/blob": send,
    "POST /nakagin/handover/blob": receive,
}
