"""The registry's deeds on its content, each in the order that a crash at any moment leaves nothing half true.

Content first, then what names it: blob, referrer, manifest, tag; deletion the other way round. Blocking, but for
`lock`; the handlers call these in worker threads and hold the repository's lock.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from nakagin.errors import Damaged, NotFound
from nakagin.registry.server import files
from nakagin.registry.server.leases import Leases
from nakagin.registry.server.manifests import Reading, read
from nakagin.registry.server.quotas import Quotas
from nakagin.registry.server.refusals import (
    immutable,
    manifest_blob_unknown,
    manifest_unknown,
    unsupported,
)
from nakagin.registry.server.repositories import Repositories, Repository
from nakagin.registry.server.uploads import Upload, Uploads
from nakagin.storage.blobs import Blobs

if TYPE_CHECKING:
    from nakagin.registry.server.settings import Settings


class Registry:
    """The content of one registry below its root."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        os.makedirs(settings.root, mode=0o700, exist_ok=True)
        self.blobs = Blobs(settings.root)
        self.repositories = Repositories(settings.root, self.blobs.temporary)
        self.uploads = Uploads(settings.root)
        self.leases = Leases()
        self.quotas = Quotas(settings.quota, self.blobs, self.repositories)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, name: str) -> asyncio.Lock:
        """What a deed that changes a repository's manifests or tags holds; keep the reference while it is used."""
        return self._locks.setdefault(name, asyncio.Lock())

    # --- Blobs

    def finds_blob(self, repository: Repository, digest: str) -> bool:
        """Whether the blob is here; it then stays for a while, since the asker may rely on it."""
        self.leases.touch(digest)
        return repository.renew_blob(digest) and self.blobs.exists(digest)

    def finish(self, upload: Upload, repository: Repository, digest: str) -> None:
        """Make a blob of a finished upload. Long. Refusal DIGEST_INVALID, DENIED."""
        upload.verify(digest)
        with self.leases.hold((digest,)):
            known = self.blobs.exists(digest)
            mine = known and repository.has_blob(digest)
            if not mine:
                self.quotas.check(repository.name, upload.size, known=known)
            upload.settle(self.blobs, digest)
            repository.link_blob(digest)
            if not mine:
                self.quotas.added(repository.name, upload.size, known=known)

    def mount(self, repository: Repository, digest: str, sources: Sequence[str]) -> bool:
        """Let a blob of one of the source repositories belong to this one too; whether it could be done."""
        with self.leases.hold((digest,)):
            if not self.blobs.exists(digest):
                return False
            if not any(self.repositories.get(name).has_blob(digest) for name in sources):
                return False
            if not repository.has_blob(digest):
                size = self.blobs.size(digest)
                self.quotas.check(repository.name, size, known=True)
                self.quotas.added(repository.name, size, known=True)
            repository.link_blob(digest)
            return True

    def delete_blob(self, repository: Repository, digest: str) -> bool:
        """Take a blob out of a repository; whether it was there. Refusal where a manifest needs it."""
        if not repository.has_blob(digest):
            return False
        for manifest in repository.manifests():
            if digest in self.reading(repository, manifest).blobs:
                raise unsupported(f"the manifest {manifest} needs this blob; delete that first")
        self.quotas.forget()
        return repository.unlink_blob(digest)

    # --- Manifests

    def reading(self, repository: Repository, digest: str) -> Reading:
        """What a stored manifest says. Refusal MANIFEST_UNKNOWN."""
        media_type = repository.media_type(digest)
        if media_type is None:
            raise manifest_unknown(repository.name, digest)
        return read(self.manifest(repository, digest), media_type)

    def manifest(self, repository: Repository, digest: str) -> bytes:
        """The bytes of a stored manifest. Refusal MANIFEST_UNKNOWN."""
        try:
            return self.blobs.read(digest)
        except NotFound:
            raise manifest_unknown(repository.name, digest) from None

    def put_manifest(
        self,
        repository: Repository,
        digest: str,
        data: bytes,
        reading: Reading,
        tags: Sequence[str] = (),
        *,
        sparse: bool = False,
    ) -> None:
        """Store a manifest whose digest was verified, and let the tags lead to it. Long.

        `sparse` lets it refer to what is not here (yet). Refusal MANIFEST_BLOB_UNKNOWN, DENIED.
        """
        with self.leases.hold((digest, *reading.needs)):
            if not sparse:
                self._check_needs(repository, reading)
            for tag in tags:
                self._check_immutable(repository, tag, digest)
            known = self.blobs.exists(digest)
            if repository.media_type(digest) is None:
                self.quotas.check(repository.name, len(data), known=known)
                self.quotas.added(repository.name, len(data), known=known)
            if not known or not self._is_stored(digest, data):
                files.write_whole(self.blobs.path(digest), data, self.blobs.temporary)
            if reading.subject:
                descriptor = {**reading.descriptor, "digest": digest, "size": len(data)}
                repository.add_referrer(reading.subject, digest, descriptor)
            repository.link_manifest(digest, reading.media_type)
            for tag in tags:
                repository.set_tag(tag, digest)
            repository.settle()

    def _is_stored(self, digest: str, data: bytes) -> bool:
        """Whether the stored bytes are these: pushing a damaged manifest again mends it."""
        with self.blobs.open(digest) as file:
            return file.read() == data

    def _check_needs(self, repository: Repository, reading: Reading) -> None:
        for digest in reading.blobs:
            if not (repository.has_blob(digest) and self.blobs.exists(digest)):
                raise manifest_blob_unknown(digest)
        if self.settings.sparse_indexes:
            return
        for digest in reading.manifests:
            if repository.media_type(digest) is None:
                raise manifest_blob_unknown(digest)

    def _check_immutable(self, repository: Repository, tag: str, digest: str) -> None:
        if any(fnmatchcase(f"{repository.name}:{tag}", each) for each in self.settings.immutable_tags):
            present = repository.tag(tag)
            if present is not None and present != digest:
                raise immutable(tag)

    def delete_manifest(self, repository: Repository, digest: str) -> bool:
        """Remove a manifest with its tags and its place among referrers; whether it was there. Long."""
        if repository.media_type(digest) is None:
            return False
        for tag in repository.tags_of(digest):
            repository.delete_tag(tag)
        try:
            subject = self.reading(repository, digest).subject
        except Damaged:
            subject = ""  # its entry, if there is one, counts for nothing without the manifest
        repository.unlink_manifest(digest)
        if subject:
            repository.drop_referrer(subject, digest)
        self.quotas.forget()
        return True
