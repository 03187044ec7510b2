"""Repositories as folders: which blobs and manifests belong to each, its tags, and who refers to whom.

    repositories/<name>/_blobs/<algorithm>/<hex>                 empty; its time says when it was last asked for
                       _manifests/<algorithm>/<hex>              the manifest's media type
                       _tags/<tag>                               a manifest's digest
                       _referrers/<algorithm>/<hex>/<alg>-<hex>  the descriptor of a manifest with that subject

The content is in `blobs/`, each once for all repositories. Every method is short; names are checked by the caller.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from nakagin.registry.server import files
from nakagin.registry.server.names import is_name, is_tag
from nakagin.spec.digest import Digest, algorithm, encoded, is_digest

_KINDS = ("_blobs", "_manifests", "_tags", "_referrers")


class Repositories:
    """All repositories of one registry."""

    def __init__(self, root: str, temporary: str) -> None:
        """`root` is the registry's; `temporary` is a folder on the same file system."""
        self.folder = os.path.join(root, "repositories")
        self._temporary = temporary
        os.makedirs(self.folder, mode=0o700, exist_ok=True)

    def get(self, name: str) -> Repository:
        """The repository of that name, whether there is one or not."""
        return Repository(name, os.path.join(self.folder, name), self._temporary)

    def names(self) -> list[str]:
        """The repositories that have manifests, sorted. Long where there are many."""
        found = []
        for folder, folders, _ in os.walk(self.folder):
            name = os.path.relpath(folder, self.folder)
            if "_manifests" in folders and is_name(name):
                found.append(name)
            folders[:] = [each for each in folders if not each.startswith("_")]
        return sorted(found)

    def all(self) -> Iterator[Repository]:
        """Every repository, those too that have only blobs. Long where there are many."""
        for folder, folders, _ in os.walk(self.folder):
            name = os.path.relpath(folder, self.folder)
            if is_name(name) and any(each.startswith("_") for each in folders):
                yield self.get(name)
            folders[:] = sorted(each for each in folders if not each.startswith("_"))

    def tidy(self) -> None:
        """Remove folders in which nothing is left."""
        for folder, _, _ in os.walk(self.folder, topdown=False):
            if folder != self.folder:
                try:
                    os.rmdir(folder)
                except OSError:
                    continue


class Repository:
    """One repository. Blocking, but for a few files at a time."""

    __slots__ = ("_folder", "_temporary", "name")

    def __init__(self, name: str, folder: str, temporary: str) -> None:
        self.name = name
        self._folder = folder
        self._temporary = temporary

    def _path(self, kind: str, digest: str) -> str:
        return os.path.join(self._folder, kind, algorithm(digest), encoded(digest))

    def _digests(self, kind: str) -> list[Digest]:
        folder = os.path.join(self._folder, kind)
        found = (
            f"{name}:{rest}" for name in files.listed(folder) for rest in files.listed(f"{folder}/{name}")
        )
        return [Digest(each) for each in found if is_digest(each)]

    def exists(self) -> bool:
        """Whether anything was ever pushed here (and not all of it was deleted and collected)."""
        return any(os.path.isdir(os.path.join(self._folder, kind)) for kind in _KINDS)

    def settle(self) -> None:
        """Put the names of what was linked on disk; their file systems commit in order. Long."""
        files.sync_folder(os.path.join(self._folder, "_manifests"))

    # --- Blobs

    def has_blob(self, digest: str) -> bool:
        """Whether the blob belongs to this repository."""
        return os.path.exists(self._path("_blobs", digest))

    def link_blob(self, digest: str) -> None:
        """Let a blob belong to this repository; if it does, it is young again."""
        files.touch(self._path("_blobs", digest))

    def renew_blob(self, digest: str) -> bool:
        """Make the blob young, so that the collector leaves it alone for a while; whether it is here."""
        try:
            os.utime(self._path("_blobs", digest))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def unlink_blob(self, digest: str) -> bool:
        """Let it belong here no more; whether it did."""
        return files.remove(self._path("_blobs", digest))

    def blobs(self) -> list[Digest]:
        """Every blob that belongs here, manifests not among them."""
        return self._digests("_blobs")

    def blob_time(self, digest: str) -> float | None:
        """When it was last asked for, seconds since the epoch."""
        return files.modified(self._path("_blobs", digest))

    # --- Manifests

    def media_type(self, digest: str) -> str | None:
        """The media type of a manifest of this repository; None where it has no such manifest."""
        try:
            with open(self._path("_manifests", digest), encoding="ascii") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def link_manifest(self, digest: str, media_type: str) -> None:
        """Let a manifest belong to this repository."""
        files.write_whole(self._path("_manifests", digest), media_type.encode("ascii"), self._temporary)

    def unlink_manifest(self, digest: str) -> bool:
        """Let it belong here no more; whether it did."""
        return files.remove(self._path("_manifests", digest))

    def manifests(self) -> list[Digest]:
        """Every manifest and index that belongs here."""
        return self._digests("_manifests")

    def manifest_time(self, digest: str) -> float | None:
        """When it was last pushed, seconds since the epoch."""
        return files.modified(self._path("_manifests", digest))

    # --- Tags

    def tag(self, tag: str) -> Digest | None:
        """The digest that the tag leads to."""
        try:
            with open(os.path.join(self._folder, "_tags", tag), encoding="ascii") as file:
                return Digest(file.read())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def set_tag(self, tag: str, digest: str) -> None:
        """Let the tag lead to a manifest, wherever it led before."""
        files.write_whole(os.path.join(self._folder, "_tags", tag), digest.encode("ascii"), self._temporary)

    def delete_tag(self, tag: str) -> bool:
        """Remove the tag; whether it was there."""
        return files.remove(os.path.join(self._folder, "_tags", tag))

    def tags(self) -> list[str]:
        """All tags in the specification's order: by letters, not by case."""
        return sorted(filter(is_tag, files.listed(os.path.join(self._folder, "_tags"))), key=order_of)

    def tag_time(self, tag: str) -> float | None:
        """When it was last set, seconds since the epoch."""
        return files.modified(os.path.join(self._folder, "_tags", tag))

    def tags_of(self, digest: str) -> list[str]:
        """The tags that lead to a manifest."""
        return [tag for tag in self.tags() if self.tag(tag) == digest]

    # --- Referrers

    def _referrers(self, subject: str) -> str:
        return self._path("_referrers", subject)

    def add_referrer(self, subject: str, digest: str, descriptor: dict[str, Any]) -> None:
        """Note that a manifest has a subject, which need not be here (yet)."""
        path = os.path.join(self._referrers(subject), digest.replace(":", "-"))
        files.write_whole(path, msgspec.json.encode(descriptor), self._temporary)

    def drop_referrer(self, subject: str, digest: str) -> None:
        """Forget it again."""
        files.remove(os.path.join(self._referrers(subject), digest.replace(":", "-")))

    def referrers(self, subject: str) -> Sequence[dict[str, Any]]:
        """The descriptors of the manifests with this subject, by digest."""
        folder = self._referrers(subject)
        found = []
        for name in sorted(files.listed(folder)):
            # A crash between the two may leave an entry without its manifest.
            if self.media_type(name.replace("-", ":", 1)) is None:
                continue
            try:
                with open(os.path.join(folder, name), "rb") as file:
                    found.append(msgspec.json.decode(file.read()))
            except FileNotFoundError:
                continue
        return found

    def subjects(self) -> list[Digest]:
        """Every digest that manifests here have as their subject."""
        return self._digests("_referrers")


def order_of(name: str) -> tuple[str, str]:
    """The key by which tags and repositories are listed."""
    return name.lower(), name
