"""What a name stands for at its registry: the manifest, found through mirrors and indexes, and its config, checked."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.errors import Damaged, Denied, NakaginError, NotFound, Unavailable, Unsupported
from nakagin.images.fetch import Origin
from nakagin.registry.model import DEEPEST_INDEX, LARGEST_CONFIG, Content, Index, Manifest
from nakagin.spec.digest import is_digest
from nakagin.spec.image import MEDIA_CONFIG, MEDIA_DOCKER_CONFIG
from nakagin.spec.platform import Platform, choose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.images.library import Images
    from nakagin.registry.client import Registry
    from nakagin.registry.credentials import Credentials
    from nakagin.registry.model import Descriptor
    from nakagin.registry.registries import Registries
    from nakagin.spec.reference import Reference

_log = logging.getLogger(__name__)
_CONFIGS = frozenset((MEDIA_CONFIG, MEDIA_DOCKER_CONFIG, "", "application/octet-stream"))


class Wanted(NamedTuple):
    """One image, as its manifest describes it, and where the rest of it is."""

    origin: Origin
    top: Content
    content: Content
    manifest: Manifest
    config: bytes
    diff_ids: Sequence[str]


class Lookup:
    """Asks registries about names."""

    def __init__(self, images: Images, registries: Registries) -> None:
        self._images = images
        self._registries = registries

    async def tags(self, reference: Reference, credentials: Credentials) -> Sequence[Reference]:
        """Every tag of a repository."""
        last: NakaginError | None = None
        for source in self._registries.sources(reference.domain, credentials):
            try:
                return [reference.with_tag(tag) for tag in await source.tags(reference.path)]
            except (NotFound, Denied, Unavailable) as error:
                last = error
        raise last or NotFound(f"no source for {reference.familiar()}")

    async def find(self, reference: Reference, credentials: Credentials) -> tuple[Descriptor, Origin]:
        """What the name stands for, and the sources from the one on that knows it. Raises as `Pulls.pull`."""
        last: NakaginError | None = None
        sources = self._registries.sources(reference.domain, credentials)
        for number, source in enumerate(sources):
            try:
                found = await source.head_manifest(reference.path, str(reference.digest or reference.tag))
            except (NotFound, Denied, Unavailable, Damaged) as error:
                if last is not None or number + 1 < len(sources):
                    _log.info("%s: %s", source.endpoint, error)
                last = error
            else:
                return found, Origin(sources[number:], reference.path)
        raise _explained(reference, last)

    async def image(self, origin: Origin, top: Descriptor, platform: Platform | None) -> Wanted:
        """The manifest for the platform, through indexes, and its config. Raises as `Pulls.pull`."""
        source, wanted = origin.sources[0], platform or self._images.platform
        first = content = await self._manifest(source, origin.repository, top)
        document = content.decode()
        for _ in range(DEEPEST_INDEX):
            if isinstance(document, Manifest):
                break
            content = await self._manifest(source, origin.repository, _chosen(document, wanted))
            document = content.decode()
        if not isinstance(document, Manifest):
            raise Damaged("the image's indexes are nested too deeply")
        if document.config.media_type not in _CONFIGS:
            kind = document.artifact_type or document.config.media_type
            raise Unsupported(
                f"this is not a container image but {kind!r}", hint="other tools fetch artifacts"
            )
        config = await self._config(origin, document.config)
        diff_ids = _diff_ids(config, document, platform)
        return Wanted(origin, first, content, document, config, diff_ids)

    async def _manifest(self, source: Registry, repository: str, descriptor: Descriptor) -> Content:
        """By digest; one that is kept here already is not asked for again."""
        if descriptor.media_type and (data := await self._kept(descriptor.digest)):
            return Content(descriptor, data)
        return await source.get_manifest(repository, descriptor.digest)

    async def _config(self, origin: Origin, descriptor: Descriptor) -> bytes:
        """The config document: small, so it is fetched into memory. Raises Damaged for another one."""
        digest, size = descriptor.digest, descriptor.size
        if size > LARGEST_CONFIG:
            raise Damaged(f"the image's config has {size} bytes, more than the {LARGEST_CONFIG} allowed")
        if data := await self._kept(digest):
            return data
        last: NakaginError | None = None
        for source in origin.sources:
            try:
                data = await source.read_blob(origin.repository, digest, size)
            except (NotFound, Denied, Unavailable, Damaged) as error:
                last = error
            else:
                return data
        raise last or NotFound(f"nobody has the config {digest}")

    async def _kept(self, digest: str) -> bytes | None:
        """A document that is here; one that is damaged makes way for what the registry has."""
        if not self._images.blobs.exists(digest):
            return None
        try:
            return await asyncio.to_thread(self._images.blobs.read, digest)
        except Damaged as error:
            _log.warning("%s: it is fetched again", error.message)
            await asyncio.to_thread(self._images.blobs.delete, digest)
            return None

    async def platforms(self, origin: Origin, descriptor: Descriptor) -> Sequence[Platform]:
        """What a name's manifest or index is for."""
        document = (await self._manifest(origin.sources[0], origin.repository, descriptor)).decode()
        if isinstance(document, Index):
            return document.platforms()
        try:
            config = msgspec.json.decode(await self._config(origin, document.config), type=_Config)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return []
        return [config.platform()]


def _chosen(index: Index, platform: Platform) -> Descriptor:
    found = index.choose(platform)
    if found is None:
        offered = ", ".join(dict.fromkeys(str(each) for each in index.platforms())) or "nothing that can run"
        raise NotFound(
            f"no matching manifest for {platform} in the manifest list entries",
            hint=f"it has {offered}; choose with --platform",
        )
    return found


class _RootFS(msgspec.Struct):
    diff_ids: list[str] = []


class _Config(msgspec.Struct):
    rootfs: _RootFS
    os: str = "linux"
    architecture: str = ""
    variant: str = ""

    def platform(self) -> Platform:
        return Platform.make(self.os or "linux", self.architecture, self.variant)


def _diff_ids(config: bytes, manifest: Manifest, platform: Platform | None) -> Sequence[str]:
    """The layers' identities, checked against the manifest and the platform that was asked for."""
    try:
        found = msgspec.json.decode(config, type=_Config)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"the image's config is not as it should be: {error}") from None
    diff_ids = found.rootfs.diff_ids
    if len(diff_ids) != len(manifest.layers) or not all(map(is_digest, diff_ids)):
        raise Damaged(
            f"the image's config names {len(diff_ids)} layers, its manifest {len(manifest.layers)}",
            hint="the registry's content is not what it claims to be",
        )
    own = found.platform()
    if own.os != "linux":
        raise Unsupported(f"the image is for {own}, and only linux images can run here")
    if platform is not None and choose([(own, True)], platform) is None:
        raise NotFound(
            f"the image is for {own}, not for {platform}", hint="leave --platform out, or build it for that"
        )
    return diff_ids


def _explained(reference: Reference, error: NakaginError | None) -> NakaginError:
    """Why a name was not found, in the words that Docker's users know."""
    name = reference.familiar()
    if isinstance(error, NotFound):
        return NotFound(f"manifest for {name} not found: manifest unknown: {_cause(error)}", hint=error.hint)
    if isinstance(error, Denied):
        return NotFound(
            f"pull access denied for {reference.familiar_name}, repository does not exist or may require "
            f"'docker login': {_cause(error)}", hint=error.hint,
        )  # fmt: skip
    return error or NotFound(f"manifest for {name} not found")


def _cause(error: NakaginError) -> str:
    return error.message.removeprefix("manifest for ")
