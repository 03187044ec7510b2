"""Pulling: a name becomes a manifest, the manifest blobs, the blobs layers, and all of it an image.

    head ─► manifest ─► (index: choose) ─► config ─┬─► blob ─┐ fetched, verified, decompressed and unpacked
                                                   ├─► blob ─┤ at once: the unpacker follows the bytes as they
                                                   └─► blob ─┘ arrive, bottom layer first ─► image, names

Each blob is fetched once however many pulls want it. What a failed pull brought in stays for the next one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from nakagin.errors import NakaginError, NotFound
from nakagin.images import progress
from nakagin.images.arrival import Place
from nakagin.images.fetch import Origin
from nakagin.images.lookup import Lookup, Wanted
from nakagin.images.model import StoredLayer
from nakagin.images.progress import State
from nakagin.images.teller import LayerTeller
from nakagin.spec.digest import Digest, chain_ids, digest_of
from nakagin.spec.platform import Platform
from nakagin.spec.reference import Reference
from nakagin.tasks import drop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.images.arrival import Arrivals
    from nakagin.images.library import Images
    from nakagin.images.model import Image
    from nakagin.images.progress import Tell
    from nakagin.registry.credentials import Credentials
    from nakagin.registry.model import Descriptor
    from nakagin.registry.registries import Registries
    from nakagin.spec.digest import ChainID


class Pulled(NamedTuple):
    """What came of one name."""

    image: Image
    digest: str
    """Of what the name stands for at the registry: a manifest, or an index."""
    fresh: bool
    """Whether the image was not here under this name before."""
    warnings: Sequence[str] = ()
    """What the registry wants people to know."""


class Pulls:
    """All pulling of one engine."""

    def __init__(self, images: Images, arrivals: Arrivals, registries: Registries) -> None:
        self._images = images
        self._arrivals = arrivals
        self._registries = registries
        self.lookup = Lookup(images, registries)

    async def pull(
        self, reference: Reference, credentials: Credentials, tell: Tell, *, platform: Platform | None = None
    ) -> Pulled:
        """Bring in the image of a name. Raises NotFound, Denied, Unavailable, Damaged, Exhausted, Unsupported."""
        reference = reference.tagged()
        descriptor, origin = await self.lookup.find(reference, credentials)
        tell({"status": f"Pulling from {reference.path}", "id": reference.tag or str(reference.digest)})
        at_digest = reference.with_digest(Digest(descriptor.digest))
        # Of an index, the platform is part of the question even where nobody asked for one.
        meant = platform or (self._images.platform if descriptor.is_index else None)
        image = self._present(at_digest, meant)
        if image is not None:
            fresh = self._present(reference, meant) is not image
            if fresh:
                image = self._images.name(image.id, *_names(reference, at_digest))
            return Pulled(image, descriptor.digest, fresh)
        wanted = await self.lookup.image(origin, descriptor, platform)
        image = await self._whole(wanted, reference, at_digest, tell)
        warnings = [text for source in origin.sources for text in source.take_warnings()]
        return Pulled(image, descriptor.digest, fresh=True, warnings=warnings)

    def _present(self, reference: Reference, platform: Platform | None) -> Image | None:
        """The image of a name, if it is here for just this platform."""
        image = self._images.known(reference)
        if image is None or platform is None:
            return image
        try:
            image = self._images.resolve(str(reference), platform)
        except NotFound:
            return None
        same = (image.platform.os, image.platform.architecture) == (platform.os, platform.architecture)
        return image if same and image.platform.variant in ("", platform.variant) else None

    # --- All of it

    async def _whole(self, wanted: Wanted, reference: Reference, at_digest: Reference, tell: Tell) -> Image:
        chains = chain_ids(wanted.diff_ids)
        layers = wanted.manifest.layers
        contents = {each.descriptor.digest: each for each in (wanted.top, wanted.content)}
        pull = wanted.content.descriptor.digest
        needed = (*contents, wanted.manifest.config.digest, *chains, *(layer.digest for layer in layers))
        self._images.unfinished.begin(pull, needed)
        await asyncio.to_thread(self._keep, [wanted.config, *(each.data for each in contents.values())])
        await self._layers(wanted, chains, tell)
        stored = [
            StoredLayer(diff_id, layer.digest, layer.size, layer.media_type)
            for diff_id, layer in zip(wanted.diff_ids, layers, strict=True)
        ]
        kinds = {digest: each.descriptor.media_type for digest, each in contents.items()}

        def add() -> Image:
            names = _names(reference, at_digest)
            image = self._images.add(wanted.config, stored, names, manifests=kinds)
            self._images.keep_manifest(image.id, pull, kinds[pull], reference)
            return image

        image = await asyncio.to_thread(add)
        self._images.unfinished.finish(pull)
        return image

    def _keep(self, documents: Sequence[bytes]) -> None:
        for data in documents:
            if not self._images.blobs.exists(digest_of(data)):
                self._images.blobs.put(data)

    async def _layers(self, wanted: Wanted, chains: Sequence[ChainID], tell: Tell) -> None:
        """All layers at once; the first failure ends the others."""
        layers = wanted.manifest.layers
        missing = [not self._is_here(layer, chain) for layer, chain in zip(layers, chains, strict=True)]
        tellers = [LayerTeller(tell, progress.short(layer.digest)) for layer in layers]
        for teller, absent in zip(tellers, missing, strict=True):
            teller(State(progress.FS_LAYER if absent else progress.EXISTS))
        try:
            async with asyncio.TaskGroup() as group:
                for number, layer in enumerate(layers):  # bottom first: each finds the one below under way
                    if missing[number]:
                        parent = chains[number - 1] if number else None
                        place = Place(parent, chains[number], wanted.diff_ids[number])
                        origin = self._origin(wanted.origin, layer)
                        group.create_task(self._layer(origin, layer, place, tellers[number]))
        except BaseExceptionGroup as errors:
            raise _first(errors) from None

    def _origin(self, origin: Origin, layer: Descriptor) -> Origin:
        return Origin(origin.sources, origin.repository, self._registries.elsewhere(layer.urls or ()))

    def _is_here(self, layer: Descriptor, chain: ChainID) -> bool:
        return self._images.layers.exists(chain) and self._arrivals.has_blob(layer.digest)

    async def _layer(self, origin: Origin, layer: Descriptor, place: Place, tell: LayerTeller) -> None:
        """One layer: its blob fetched, and unpacked meanwhile."""
        unpacked = asyncio.ensure_future(self._arrivals.layer(origin, layer, place, tell))
        try:
            await self._arrivals.blob(origin, layer, tell)
            await unpacked
        finally:
            await drop(unpacked)
        tell(State(progress.COMPLETE))

    async def close(self) -> None:
        """Let the threads end; nothing may be under way any more."""
        self._arrivals.close()


def _names(reference: Reference, at_digest: Reference) -> list[Reference]:
    """What the image is called afterwards: by the tag, unless a digest was asked for, and always by the digest."""
    return [at_digest] if reference.digest else [reference, at_digest]


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error that is worth telling of several that came at once."""
    flat = [_first(each) if isinstance(each, BaseExceptionGroup) else each for each in errors.exceptions]
    return next((each for each in flat if isinstance(each, NakaginError)), flat[0])
