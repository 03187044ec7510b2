"""`--cache-to`: what a build has found and made, for other engines: at a registry, in a folder, or inside the image."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nakagin.build import cache_document as wire
from nakagin.build import progress
from nakagin.build.cache_document import CachedMount, CacheDocument, CacheSpec
from nakagin.build.depots.choose import depot_of
from nakagin.build.layouts import blob_part, top_parts
from nakagin.errors import NakaginError
from nakagin.images.model import StoredLayer
from nakagin.images.recompress import compress
from nakagin.images.save import Part, packed
from nakagin.registry.model import Content, Descriptor
from nakagin.spec.digest import digest_of
from nakagin.spec.image import MEDIA_LAYER, MEDIA_LAYER_GZIP, MEDIA_MANIFEST
from nakagin.spec.reference import Reference
from nakagin.storage.merged import merged_tar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from nakagin.build.builder import Builder
    from nakagin.build.cache import Made
    from nakagin.build.depots.model import Depot
    from nakagin.build.underway import Build, Order

_PIECE = 1 << 20


def inline_of(build: Build, layers: Sequence[StoredLayer]) -> dict[str, object]:
    """The keys that an image's config gets for an inline cache; none where nobody asked for one."""
    request = build.request
    asked = request.given.get("BUILDKIT_INLINE_CACHE", "").lower() in ("1", "true")
    if not asked and not any(wire.cache_spec(text).type == "inline" for text in request.cache_to):
        return {}
    found = wire.document_of(build.made(everything=False), layers)
    return {wire.INLINE: {"steps": found.steps}}


class CacheExport:
    """The caches that one build writes."""

    def __init__(self, builder: Builder, order: Order) -> None:
        self._builder = builder
        self._order = order

    async def run(self, builds: Sequence[Build]) -> None:
        """Write all that were asked for. Raises what writing one failed with, unless it is to be ignored."""
        for number, text in enumerate(self._order.request.cache_to):
            spec = wire.cache_spec(text)
            if spec.type == "inline":
                continue
            self._say(f"exporting the cache to {spec.ref}")
            try:
                await self._write(number, spec, builds)
            except NakaginError as error:
                if not spec.forgiving:
                    raise
                self._say(f"the cache could not be written to {spec.ref}: {error}")

    def _say(self, text: str) -> None:
        self._order.tell(progress.Said({"status": text}))

    async def _write(self, number: int, spec: CacheSpec, builds: Sequence[Build]) -> None:
        made = [each for build in builds for each in build.made(everything=spec.everything)]
        folders = (
            {id: path for build in builds for id, path in build.mounts.caches.items()} if spec.mounts else {}
        )
        found = await asyncio.to_thread(self._document, made, folders)
        data = wire.encode(found)
        manifest = wire.manifest_of(data, found)
        wires = self._builder.elsewhere.registries.wire
        if (depot := depot_of(wires, self._order.supplies, spec)) is not None:
            await self._store(depot, data, found)
            return
        if spec.type == "local":
            parts = [*self._blobs(found), blob_part(data), blob_part(manifest)]
            whole = [*parts, *top_parts(MEDIA_MANIFEST, manifest, ())]
            await self._order.supplies.deliver(
                "cache-to", str(number), packed(whole, self._builder.images.blobs.open)
            )
            return
        await self._push(spec, data, manifest)

    def _document(self, made: Sequence[Made], folders: dict[str, str]) -> CacheDocument:
        """The document; its layers and mounts are compressed blobs then. Long."""
        layers = {each.layer.diff_id: each.layer for each in made if each.layer is not None}
        small = [self._small(layer) for layer in layers.values()]
        mounts = [self._mount(id, path) for id, path in folders.items()]
        return wire.document_of(made, small, mounts)

    def _small(self, layer: StoredLayer) -> StoredLayer:
        if layer.media_type != MEDIA_LAYER:
            return layer
        digest, size = compress(self._builder.images.blobs, layer.digest, self._order.workshop.keep)
        return StoredLayer(layer.diff_id, digest, size, MEDIA_LAYER_GZIP)

    def _mount(self, id: str, path: str) -> CachedMount:
        blobs, keep = self._builder.images.blobs, self._order.workshop.keep
        with blobs.writer() as writer:
            for piece in merged_tar([path]):
                writer.write(piece)
            keep(writer.digest())
            plain = writer.commit()
        return CachedMount(id, *compress(blobs, plain, keep))

    async def _store(self, depot: Depot, data: bytes, found: CacheDocument) -> None:
        """Bring what a depot lacks; the document last, so that it never names what is not there."""
        for part in self._blobs(found):
            if not await depot.has(part.blob):
                await depot.store(part.blob, part.size, self._pieces(part.blob))
        await depot.save(data)

    async def _pieces(self, digest: str) -> AsyncIterator[bytes]:
        with self._builder.images.blobs.open(digest) as stream:
            while piece := await asyncio.to_thread(stream.read, _PIECE):
                yield piece

    def _blobs(self, found: CacheDocument) -> Iterable[Part]:
        sizes = {each.digest: each.size for each in found.layers}
        sizes.update((each.digest, each.size) for each in found.mounts)
        return [
            Part("blobs/" + digest.replace(":", "/"), size, blob=digest) for digest, size in sizes.items()
        ]

    async def _push(self, spec: CacheSpec, data: bytes, manifest: bytes) -> None:
        elsewhere = self._builder.elsewhere
        reference = Reference.parse(spec.ref).tagged()
        credentials = await self._order.supplies.credentials(reference.domain)
        self._order.workshop.keep(digest_of(data))
        await asyncio.to_thread(self._builder.images.blobs.put, data)
        content = Content(Descriptor(MEDIA_MANIFEST, digest_of(manifest), len(manifest)), manifest)
        await elsewhere.pushes.push_document(reference, credentials, content)
