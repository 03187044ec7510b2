"""Pushing: what the registry lacks goes there, blobs first, then the manifest that names them.

A manifest that an image came with goes back byte for byte. Where there is none (built, imported or loaded here),
plain layers are compressed first, and an OCI manifest is made.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from nakagin.errors import Invalid, NotFound, Unsupported
from nakagin.images import progress
from nakagin.images.model import StoredLayer
from nakagin.images.outgoing import Outgoing
from nakagin.images.platforms import gather, platform_word
from nakagin.images.progress import State
from nakagin.images.recompress import compress
from nakagin.images.save import manifest_of
from nakagin.images.sharing import Sharing
from nakagin.images.teller import Teller
from nakagin.registry.model import Content, Descriptor, Manifest, decode
from nakagin.spec import image as media
from nakagin.spec.digest import Digest, digest_of
from nakagin.tasks import to_the_end

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.images.library import Images
    from nakagin.images.model import Image
    from nakagin.images.progress import Tell
    from nakagin.images.sharing import Work
    from nakagin.registry.client import Registry
    from nakagin.registry.credentials import Credentials
    from nakagin.registry.registries import Registries
    from nakagin.spec.platform import Platform
    from nakagin.spec.reference import Reference

_log = logging.getLogger(__name__)

_DOCKER = {
    media.MEDIA_CONFIG: media.MEDIA_DOCKER_CONFIG,
    media.MEDIA_LAYER: media.MEDIA_DOCKER_LAYER,
    media.MEDIA_LAYER_GZIP: media.MEDIA_DOCKER_LAYER_GZIP,
}


class Pushed(NamedTuple):
    """What a tag stands for at the registry now."""

    tag: str
    digest: str
    size: int


class Pushes:
    """All pushing of one engine."""

    def __init__(self, images: Images, registries: Registries, *, uploads: int = 5) -> None:
        """`uploads` blobs go out at once."""
        self._images = images
        self._registries = registries
        self._outgoing = Outgoing(images, uploads)
        self._sharing = Sharing()

    def tags(self, reference: Reference) -> Sequence[Reference]:
        """The tags that a name without one stands for. Raises NotFound where there are none."""
        if reference.tag:
            found = [reference] if self._images.known(reference) else []
        else:
            found = list(self._images.tags_of(reference))
        if not found:
            words = f"with the tag: {reference.familiar_name}"
            raise NotFound(
                f"An image does not exist locally {words}", hint="see `images`; give it the name with `tag`"
            )
        return found

    async def push(
        self, reference: Reference, credentials: Credentials, tell: Tell, *, platform: Platform | None = None
    ) -> Pushed:
        """Bring the image of a tag to the registry that the tag names.

        Raises NotFound, Denied, Unavailable, Invalid (the registry does not take it).
        """
        image = self._images.known(reference)
        if image is None:
            raise NotFound(f"An image does not exist locally with the tag: {reference.familiar_name}")
        index = self._images.index_of(str(reference))
        if platform is not None:
            image, index = self._images.resolve(str(reference), platform), None
        registry = self._registries.registry(reference.domain, credentials)
        keeping = self._images.keeping()
        keep = keeping.__enter__()
        try:
            if index and (whole := await self._push_index(registry, reference, image, index, keep, tell)):
                return whole
            return await self._push(registry, reference, image, keep, tell)
        finally:
            await to_the_end(asyncio.to_thread(keeping.__exit__))

    # --- Several platforms

    async def _push_index(
        self,
        registry: Registry,
        reference: Reference,
        image: Image,
        top: Descriptor,
        keep: Callable[[str], None],
        tell: Tell,
    ) -> Pushed | None:
        """An index with all that it names; None where only one platform is here, which then goes alone.

        Raises NotFound where some platforms are here and others neither here nor there.
        """
        gathered = await asyncio.to_thread(gather, self._images.blobs, top)
        for content, document in gathered.contents:
            keep(content.descriptor.digest)
            for blob in document.blobs if isinstance(document, Manifest) else ():
                keep(blob.digest)
        missing = [each for each in gathered.missing if not await _has(registry, reference.path, each)]
        if missing:
            words = ", ".join(map(platform_word, missing))
            if len(self._images.platforms(image)) > 1:
                raise NotFound(
                    f"{reference.familiar()} is for several platforms, and neither this engine nor the repository "
                    f"has {words}", hint="pull those with --platform, or push one platform with --platform",
                )  # fmt: skip
            tell(_only_one(image, top, words))
            return None
        names = {each.digest: diff for each, diff in self._layer_names(image)}
        for content, document in gathered.contents:
            if isinstance(document, Manifest):
                ids = [progress.short(names.get(each.digest, each.digest)) for each in document.layers]
                await self._outgoing.blobs(registry, reference, document, _preparing(tell, ids))
            if content.descriptor.digest != top.digest:
                await registry.put_manifest(reference.path, content.descriptor.digest, content)
        content = gathered.contents[-1][0]
        await registry.put_manifest(reference.path, str(reference.tag), content)
        at_digest = reference.with_digest(Digest(top.digest))
        await asyncio.to_thread(self._images.name, image.id, reference, at_digest)
        return Pushed(reference.tag or "", top.digest, top.size)

    def _layer_names(self, image: Image) -> list[tuple[StoredLayer, str]]:
        """The layers of all platforms with their diff IDs, by which progress is told."""
        images = self._images.platforms(image)
        return [pair for each in images for pair in zip(each.record.layers, each.diff_ids, strict=True)]

    async def _push(
        self, registry: Registry, reference: Reference, image: Image, keep: Callable[[str], None], tell: Tell
    ) -> Pushed:
        for name in (image.id, *(layer.digest for layer in image.record.layers), *image.record.manifests):
            keep(name)
        tellers = _preparing(tell, [progress.short(diff_id) for diff_id in image.diff_ids])
        content = await asyncio.to_thread(self._kept, image, reference)
        if content is None:
            image = await self._compressed(image, keep)
            data = manifest_of(image, self._images.blobs.size(image.id))
            content = Content(Descriptor(media.MEDIA_MANIFEST, digest_of(data), len(data)), data)
        manifest = decode(content.data, content.descriptor.media_type)
        assert isinstance(manifest, Manifest)
        await self._outgoing.blobs(registry, reference, manifest, tellers)
        content = await self._put(registry, reference, content)
        await asyncio.to_thread(self._record, image, reference, content, keep)
        return Pushed(reference.tag or "", content.descriptor.digest, content.descriptor.size)

    async def push_document(self, reference: Reference, credentials: Credentials, content: Content) -> None:
        """Bring a manifest that is no image's (a build cache), and the blobs here that it names, to a registry."""
        registry = self._registries.registry(reference.domain, credentials)
        manifest = decode(content.data, content.descriptor.media_type)
        assert isinstance(manifest, Manifest)
        tellers = [Teller(lambda message: None, "") for _ in manifest.layers]
        await self._outgoing.blobs(registry, reference, manifest, tellers)
        await registry.put_manifest(reference.path, str(reference.tag), content)

    # --- Which manifest

    def _kept(self, image: Image, reference: Reference) -> Content | None:
        """A manifest that the image came with: best the one that the tag came by, then the one that the repository
        has, then the one of the layers as they came first."""
        origin = self._images.origin(reference)
        found: list[tuple[int, Content]] = []
        for digest, kind in image.record.manifests.items():
            if kind not in media.MANIFESTS or not self._images.blobs.exists(digest):
                continue
            data = self._images.blobs.read(digest)
            content = Content(Descriptor(kind, digest, len(data)), data)
            document = content.decode()
            if not isinstance(document, Manifest) or document.config.digest != image.id:
                continue
            if all(self._images.blobs.exists(each.digest) for each in document.blobs):
                layers = [layer.digest for layer in document.layers]
                first = layers == [layer.digest for layer in image.record.layers]
                there = self._images.known(reference.with_digest(Digest(digest))) is not None
                found.append((4 * (digest == origin) + 2 * there + first, content))
        return max(found, key=lambda each: each[0])[1] if found else None

    async def _compressed(self, image: Image, keep: Callable[[str], None]) -> Image:
        """The image with plain layers made small; it keeps them so."""
        for layer in image.record.layers:
            if layer.media_type == media.MEDIA_LAYER:
                work = self._sharing.work(f"compress {layer.digest}", partial(self._smaller, layer))
                keep(await work.join(lambda state: None))
        return self._images.resolve(image.id)

    async def _smaller(self, layer: StoredLayer, _: Work[str]) -> str:
        return await asyncio.to_thread(self._replace, layer)

    def _replace(self, layer: StoredLayer) -> str:
        with self._images.keeping() as keep:
            digest, size = compress(self._images.blobs, layer.digest, keep)
            small = StoredLayer(layer.diff_id, digest, size, media.MEDIA_LAYER_GZIP)
            self._images.replace_layer(layer.digest, small)
            return digest

    # --- The manifest

    async def _put(self, registry: Registry, reference: Reference, content: Content) -> Content:
        """Store the manifest under the tag; where a registry of old knows only Docker's form, in that."""
        try:
            await registry.put_manifest(reference.path, str(reference.tag), content)
        except (Invalid, Unsupported) as error:
            other = _docker_form(content) if content.descriptor.digest not in self._all_kept() else None
            if other is None:
                raise
            _log.info("%s takes no OCI manifest (%s); in Docker's form", registry.endpoint, error)
            await registry.put_manifest(reference.path, str(reference.tag), other)
            return other
        return content

    def _all_kept(self) -> set[str]:
        return {digest for image in self._images.list() for digest in image.record.manifests}

    def _record(
        self, image: Image, reference: Reference, content: Content, keep: Callable[[str], None]
    ) -> None:
        """The image is known by the manifest's digest from now on, as if it had been pulled."""
        descriptor = content.descriptor
        keep(descriptor.digest)
        if not self._images.blobs.exists(descriptor.digest):
            self._images.blobs.put(content.data)
        self._images.keep_manifest(image.id, descriptor.digest, descriptor.media_type, reference)
        self._images.name(image.id, reference.with_digest(Digest(descriptor.digest)))


def _preparing(tell: Tell, ids: Sequence[str]) -> list[Teller]:
    """Who tells of each layer."""
    tellers = [Teller(tell, id) for id in ids]
    for teller in tellers:
        teller(State(progress.PREPARING))
    return tellers


async def _has(registry: Registry, repository: str, descriptor: Descriptor) -> bool:
    """Whether the repository has a manifest already."""
    try:
        await registry.head_manifest(repository, descriptor.digest)
    except NotFound:
        return False
    return True


def _only_one(image: Image, top: Descriptor, missing: str) -> dict[str, Any]:
    """What is told where one platform goes without the others; docker's command line knows the `aux`."""
    selected = next(
        (digest for digest, kind in image.record.manifests.items() if kind in media.MANIFESTS), ""
    )
    return {
        "status": f"Only {image.platform} is pushed: {missing} of the index {progress.short(top.digest)} is not here",
        "aux": {
            "manifestPushedInsteadOfIndex": True,
            "originalIndex": {"mediaType": top.media_type, "digest": top.digest, "size": top.size},
            "selectedManifest": {
                "mediaType": image.record.manifests.get(selected, ""),
                "digest": selected,
                "size": 0,
            },
        },
    }


def _docker_form(content: Content) -> Content | None:
    """An OCI manifest of our own making in Docker's media types; None where they have no word for a part of it."""
    document: dict[str, Any] = msgspec.json.decode(content.data)
    parts = [document["config"], *document["layers"]]
    if content.descriptor.media_type != media.MEDIA_MANIFEST or any(
        each["mediaType"] not in _DOCKER for each in parts
    ):
        return None
    for each in parts:
        each["mediaType"] = _DOCKER[each["mediaType"]]
    document["mediaType"] = media.MEDIA_DOCKER_MANIFEST
    data = msgspec.json.encode(document)
    return Content(Descriptor(media.MEDIA_DOCKER_MANIFEST, digest_of(data), len(data)), data)
