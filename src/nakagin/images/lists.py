"""Manifest lists in the making (`manifest create`): images at registries, put together under one name, then pushed.

A list is a record until it is pushed; its images stay where they are, at their registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Conflict, Invalid, NotFound
from nakagin.registry.model import Content, Descriptor, Index, Manifest, PlatformOf, encode
from nakagin.spec import image as media
from nakagin.spec.digest import digest_of
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.images.lookup import Lookup
    from nakagin.registry.client import Registry
    from nakagin.registry.credentials import Credentials
    from nakagin.registry.registries import Registries
    from nakagin.storage.records import Records

KIND = "manifest list"


class Entry(msgspec.Struct, frozen=True):
    """One image of a list: its name, and the descriptor (with the platform) that goes into the index."""

    name: str
    descriptor: Descriptor


_Entries = tuple[Entry, ...]


class ManifestLists:
    """All lists that are not yet pushed."""

    def __init__(self, records: Records, lookup: Lookup, registries: Registries) -> None:
        self._records = records
        self._lookup = lookup
        self._registries = registries

    async def create(
        self, name: str, images: Sequence[str], credentials: Credentials, *, amend: bool = False
    ) -> str:
        """Make a list of images at registries, or add to one with `amend`; its full name.

        Raises Conflict where it exists, NotFound for images that do not.
        """
        target = Reference.parse(name).tagged()
        known = self._entries(target)
        if known is not None and not amend:
            raise Conflict(
                f"refusing to amend an existing manifest list with no --amend flag: {target.familiar()}"
            )
        if target.digest:
            raise Invalid("a manifest list cannot be named by a digest")
        entries = {entry.name: entry for entry in known or ()}
        for image in images:
            reference = Reference.parse(image).tagged()
            entries[str(reference)] = Entry(str(reference), await self._describe(reference, credentials))
        self._keep(target, tuple(entries.values()))
        return str(target)

    async def _describe(self, reference: Reference, credentials: Credentials) -> Descriptor:
        top, origin = await self._lookup.find(reference, credentials)
        if top.is_index:
            raise Invalid(
                f"{reference.familiar()} is a manifest list itself", hint="name its images by their digests"
            )
        (platform,) = await self._lookup.platforms(origin, top) or (None,)
        if platform is None:
            raise Invalid(f"{reference.familiar()} does not say what platform it is for")
        plain = PlatformOf(platform.architecture, platform.os, platform.os_version, (), platform.variant)
        return Descriptor(top.media_type, top.digest, top.size, platform=plain)

    def annotate(self, name: str, image: str, changes: PlatformOf) -> None:
        """Say otherwise what platform an image of a list is for; empty words change nothing. Raises NotFound."""
        target, wanted = Reference.parse(name).tagged(), str(Reference.parse(image).tagged())
        entries = self._required(target)
        if wanted not in {entry.name for entry in entries}:
            raise NotFound(f"manifest for image {image} does not exist in {target.familiar()}")
        self._keep(
            target, tuple(_annotated(each, changes) if each.name == wanted else each for each in entries)
        )

    def get(self, name: str) -> Content | None:
        """The index that a list would be pushed as; None where there is no such list."""
        entries = self._entries(Reference.parse(name).tagged())
        return _index(entries) if entries is not None else None

    async def inspect(self, name: str, credentials: Credentials) -> Content:
        """A list of ours, or else the manifest or index of a name at its registry. Raises NotFound."""
        if (own := self.get(name)) is not None:
            return own
        reference = Reference.parse(name).tagged()
        descriptor, origin = await self._lookup.find(reference, credentials)
        return await origin.sources[0].get_manifest(origin.repository, descriptor.digest)

    async def push(self, name: str, credentials: Credentials, *, purge: bool = False) -> str:
        """Bring a list to its registry, and its images into its repository; the index's digest.

        Raises NotFound, Invalid (an image is at another registry).
        """
        target = Reference.parse(name).tagged()
        entries = self._required(target)
        registry = self._registries.registry(target.domain, credentials)
        for entry in entries:
            await self._bring(registry, target, entry)
        content = _index(entries)
        await registry.put_manifest(target.path, str(target.tag), content)
        if purge:
            self._records.delete(KIND, str(target))
        return content.descriptor.digest

    async def _bring(self, registry: Registry, target: Reference, entry: Entry) -> None:
        """Blobs are mounted from the image's own repository, and the manifest is stored under its digest."""
        source = Reference.parse(entry.name)
        if source.domain != target.domain:
            raise Invalid(
                f"{source.familiar()} is not at {target.domain}",
                hint="push it there first; a list and its images share one registry",
            )
        if source.path == target.path:
            return
        content = await registry.get_manifest(source.path, entry.descriptor.digest)
        document = content.decode()
        assert isinstance(document, Manifest)
        for blob in document.blobs:
            if await registry.blob_size(target.path, blob.digest) is None and not await registry.mount_blob(
                target.path, blob.digest, source.path
            ):
                raise Invalid(
                    f"the registry does not mount blobs from {source.path}", hint="push the image there too"
                )
        await registry.put_manifest(target.path, entry.descriptor.digest, content)

    def remove(self, name: str) -> None:
        """Forget a list. Raises NotFound."""
        target = Reference.parse(name).tagged()
        self._required(target)
        self._records.delete(KIND, str(target))

    def _required(self, target: Reference) -> _Entries:
        entries = self._entries(target)
        if entries is None:
            raise NotFound(
                f"no such manifest list: {target.familiar()}", hint="make it with `manifest create`"
            )
        return entries

    def _entries(self, target: Reference) -> _Entries | None:
        data = self._records.get(KIND, str(target))
        return msgspec.json.decode(data, type=_Entries) if data is not None else None

    def _keep(self, target: Reference, entries: _Entries) -> None:
        self._records.put(KIND, str(target), msgspec.json.encode(entries))


def _annotated(entry: Entry, changes: PlatformOf) -> Entry:
    before = entry.descriptor.platform or PlatformOf()
    platform = PlatformOf(
        changes.architecture or before.architecture,
        changes.os or before.os,
        changes.os_version or before.os_version,
        changes.os_features or before.os_features,
        changes.variant or before.variant,
    )
    return Entry(entry.name, msgspec.structs.replace(entry.descriptor, platform=platform))


def _index(entries: _Entries) -> Content:
    """Docker's form where all images are of Docker's, else OCI's."""
    docker = all(entry.descriptor.media_type == media.MEDIA_DOCKER_MANIFEST for entry in entries)
    kind = media.MEDIA_DOCKER_LIST if docker and entries else media.MEDIA_INDEX
    data = encode(Index(tuple(entry.descriptor for entry in entries), media_type=kind))
    return Content(Descriptor(kind, digest_of(data), len(data)), data)
