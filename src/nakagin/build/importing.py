"""`--cache-from`: what other engines have made, brought in step by step as the build asks for it."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING, TypeVar

import msgspec

from nakagin.build import cache_document as wire
from nakagin.build import progress
from nakagin.build.cache_document import CacheDocument, CachedStep, CacheSpec
from nakagin.build.depots.choose import depot_of
from nakagin.errors import Damaged, NakaginError, NotFound
from nakagin.images.model import StoredLayer
from nakagin.registry.model import LARGEST_CONFIG, Descriptor, Index, Manifest
from nakagin.spec.reference import Reference
from nakagin.storage.compression import decompressed, reading
from nakagin.storage.tarread import FILE, TarReader
from nakagin.storage.tree import clean
from nakagin.storage.unpack import Bounds, Unpacker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.build.builder import Builder
    from nakagin.build.cache import Made
    from nakagin.build.depots.model import Depot
    from nakagin.build.request import BuildRequest
    from nakagin.build.supplies import Supplies
    from nakagin.build.workshop import Workshop
    from nakagin.images.fetch import Origin
    from nakagin.storage.compression import Readable

T = TypeVar("T")


class _Cache:
    """One cache: its document, and where its layers are: at a registry, in a depot, or here."""

    def __init__(
        self, document: CacheDocument, origin: Origin | None = None, depot: Depot | None = None
    ) -> None:
        self.document = document
        self.origin = origin
        self.depot = depot
        self.steps: dict[str, CachedStep] = {step.key: step for step in document.steps}


class Imports:
    """The caches that one build may take from. `open` before use."""

    def __init__(
        self,
        builder: Builder,
        request: BuildRequest,
        supplies: Supplies,
        workshop: Workshop,
        tell: Callable[[progress.Event], None],
    ) -> None:
        self._builder = builder
        self._request = request
        self._supplies = supplies
        self._workshop = workshop
        self._tell = tell
        self._caches: list[_Cache] = []

    async def open(self) -> None:
        """Read what the caches have. One that can not be read is told and left out."""
        for number, text in enumerate(self._request.cache_from):
            spec = wire.cache_spec(text)
            try:
                cache = await self._open(number, spec)
            except (NakaginError, OSError) as error:
                self._say(f"the cache {spec.ref} can not be used: {error}")
                continue
            self._say(f"importing the cache {spec.ref}: {len(cache.steps)} steps")
            self._caches.append(cache)

    def _say(self, text: str) -> None:
        self._tell(progress.Said({"status": text}))

    async def _open(self, number: int, spec: CacheSpec) -> _Cache:
        wires = self._builder.elsewhere.registries.wire
        if (found := depot_of(wires, self._supplies, spec)) is not None:
            if (data := await found.load()) is None:
                raise NotFound("there is none yet")
            return _Cache(wire.decode(data), depot=found)
        if spec.type == "local":
            async with self._supplies.archive("cache-from", str(number)) as stream:
                return _Cache(await asyncio.to_thread(self._layout, stream))
        try:
            image = self._builder.images.resolve(spec.ref)
        except NotFound:
            return await self._registry(spec.ref)
        return _Cache(_inline(msgspec.json.encode(image.config), list(image.record.layers), spec.ref))

    def _layout(self, stream: Readable) -> CacheDocument:
        """A layout that the client sends: its blobs are stored, and kept while the build goes on."""
        blobs = self._builder.images.blobs
        index = b""
        with reading("the cache"):
            reader = TarReader(decompressed(stream)[1])
            for entry in reader:
                parts = clean(entry.name).split(b"/")
                if entry.type != FILE:
                    continue
                if parts == [b"index.json"]:
                    index = reader.read(LARGEST_CONFIG)
                elif len(parts) == 3 and parts[0] == b"blobs":
                    digest = b":".join(parts[1:]).decode(errors="replace")
                    self._workshop.keep(digest)
                    with blobs.writer(digest) as writer:
                        for piece in reader.chunks():
                            writer.write(piece)
                        writer.commit()
        top = _converted(index, Index).manifests[0]
        manifest = _converted(blobs.read(top.digest), Manifest)
        return wire.decode(blobs.read(manifest.config.digest))

    async def _registry(self, name: str) -> _Cache:
        elsewhere = self._builder.elsewhere
        reference = Reference.parse(name).tagged()
        credentials = await self._supplies.credentials(reference.domain)
        found, origin = await elsewhere.pulls.lookup.find(reference, credentials)
        source = origin.sources[0]
        content = await source.get_manifest(origin.repository, found.digest)
        manifest = content.decode()
        if isinstance(manifest, Index):
            wanted = await elsewhere.pulls.lookup.image(origin, found, None)
            return _Cache(_inline(wanted.config, _layers(wanted.manifest, wanted.diff_ids), name), origin)
        config = await source.read_blob(origin.repository, manifest.config.digest, manifest.config.size)
        if manifest.config.media_type == wire.MEDIA_CACHE:
            return _Cache(wire.decode(config), origin)
        diff_ids = _converted(config, _Outline).rootfs.diff_ids
        return _Cache(_inline(config, _layers(manifest, diff_ids), name), origin)

    # --- Taking

    async def find(self, key: str, below: str) -> Made | None:
        """The result of a step, its layer brought here and put on the chain `below`."""
        for cache in self._caches:
            step = cache.steps.get(key)
            if step is None:
                continue
            made = cache.document.made(step)
            try:
                chain = await self._stacked(cache, made.layer, below)
            except (NakaginError, OSError) as error:
                self._say(f"a cached layer can not be used: {error}")
                continue
            return msgspec.structs.replace(made, chain=chain)
        return None

    async def _stacked(self, cache: _Cache, layer: StoredLayer | None, below: str) -> str:
        if layer is None:
            return below
        await self._fetch(cache, Descriptor(layer.media_type, layer.digest, layer.size))
        return await asyncio.to_thread(self._workshop.stacked, layer, below)

    async def _fetch(self, cache: _Cache, blob: Descriptor) -> None:
        self._workshop.keep(blob.digest)
        if self._builder.images.blobs.exists(blob.digest):
            return
        if cache.depot is not None:
            await self._from_depot(cache.depot, blob.digest)
            return
        if cache.origin is None:
            raise NotFound(f"the cache lacks the blob {blob.digest}")
        await self._builder.elsewhere.arrivals.blob(cache.origin, blob, lambda state: None)

    async def _from_depot(self, depot: Depot, digest: str) -> None:
        with self._builder.images.blobs.writer(digest) as writer:
            async for piece in depot.fetch(digest):
                await asyncio.to_thread(writer.write, piece)
            await asyncio.to_thread(writer.commit)

    async def mount(self, id: str, path: str) -> bool:
        """Fill a cache mount that is not here, where a cache has its files."""
        for cache in self._caches:
            for mount in cache.document.mounts:
                if mount.id == id:
                    blob = Descriptor(wire.MEDIA_MOUNT, mount.digest, mount.size)
                    try:
                        await self._fetch(cache, blob)
                        await asyncio.to_thread(self._unpack, blob.digest, path)
                    except (NakaginError, OSError) as error:
                        self._say(f"the cache mount {id} can not be used: {error}")
                        continue
                    return True
        return False

    def _unpack(self, digest: str, path: str) -> None:
        """The files appear whole."""
        fresh = f"{path}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        os.mkdir(fresh, 0o755)
        root = os.open(fresh, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with self._builder.images.blobs.open(digest) as stream, reading("the cache mount"):
                Unpacker(root, lambda: (), Bounds()).run(TarReader(decompressed(stream)[1]))
            os.rename(fresh, path)
        finally:
            os.close(root)
            shutil.rmtree(fresh, ignore_errors=True)


class _Roots(msgspec.Struct):
    diff_ids: list[str] = []


class _Outline(msgspec.Struct):
    rootfs: _Roots


class _WithInline(msgspec.Struct, rename={"inline": wire.INLINE}):
    inline: CacheDocument | None = None


def _inline(config: bytes, layers: list[StoredLayer], name: str) -> CacheDocument:
    """The cache in an image's config; it points at the image's own layers."""
    found = _converted(config, _WithInline).inline
    if found is None:
        raise NotFound(
            f"the image {name} has no build cache in it", hint="build it with --cache-to type=inline"
        )
    document = CacheDocument(found.steps, tuple(layers))
    return wire.decode(wire.encode(document))


def _layers(manifest: Manifest, diff_ids: Sequence[str]) -> list[StoredLayer]:
    if len(manifest.layers) != len(diff_ids):
        raise Damaged(f"an image has {len(manifest.layers)} layers, and its config names {len(diff_ids)}")
    return [
        StoredLayer(diff_id, layer.digest, layer.size, layer.media_type)
        for diff_id, layer in zip(diff_ids, manifest.layers, strict=True)
    ]


def _converted(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"the cache is not as it should be: {error}") from None
