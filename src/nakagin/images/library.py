"""The image library: every image here, by id and by name, and what may be done with them.

An index in memory answers `resolve` and `list`; records and blobs hold the truth, and the index is built from
them at start and kept in step. Refuses to remove what somebody holds; knows nothing of containers.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from nakagin.errors import Invalid, NakaginError, NotFound
from nakagin.images import describe, intake
from nakagin.images.filters import selected
from nakagin.images.index import KIND, Index
from nakagin.images.model import Image, ImageRecord, StoredLayer, timestamp
from nakagin.images.remove import Removal
from nakagin.images.save import Part, packed, parts_of
from nakagin.spec.digest import chain_ids
from nakagin.spec.platform import Platform
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from nakagin.spec.image import ContainerDefaults
    from nakagin.storage.blobs import Blobs
    from nakagin.storage.compression import Readable
    from nakagin.storage.layers import Layers
    from nakagin.storage.records import Records
    from nakagin.storage.snapshots import Snapshots

__all__ = ["KIND", "Images"]
_log = logging.getLogger(__name__)


class Images:
    """All images of one engine. Every method may be called from any thread; the long ones say so.

    Who uses an image holds it: `records.hold(KIND, image.id, "container:<id>", reason)`. The composition root
    sets `is_running`, which tells for such a holder whether even force may not take the image away.
    """

    def __init__(self, records: Records, blobs: Blobs, layers: Layers, snapshots: Snapshots) -> None:
        self.is_running: Callable[[str], bool] = _nobody_runs
        self._records = records
        self._blobs = blobs
        self._layers = layers
        self._snapshots = snapshots
        self._lock = threading.RLock()
        self._pinned: dict[str, int] = {}
        self._index = Index(records, blobs, layers)
        self.platform = Platform.make("linux", os.uname().machine)

    # --- Finding

    def resolve(self, reference: str) -> Image:
        """The image of a name, digest, ID or unique ID prefix; NotFound says "No such image: x:latest"."""
        return self._index.resolve(reference)

    def list(self, filters: Mapping[str, Sequence[str]] | None = None) -> Sequence[Image]:
        """The images, the newest first. Filters: reference, dangling, label, before, since, until."""
        found = sorted(self._index.all(), key=lambda image: (image.created_at, image.id), reverse=True)
        return selected(found, filters, self.resolve) if filters else found

    def inspect(self, reference: str) -> dict[str, Any]:
        """Docker's ImageInspect document."""
        image = self.resolve(reference)
        layers = self._layers.stack(image.chain_id)
        return describe.inspected(image, [self._layers.path(layer) for layer in layers])

    def history(self, reference: str) -> Sequence[dict[str, Any]]:
        """Docker's history, newest first: Id, Created (unix seconds), CreatedBy, Tags, Size, Comment."""
        image = self.resolve(reference)
        return describe.history(image, [layer.size for layer in self._layers.stack(image.chain_id)][::-1])

    def shared_size(self, image: Image) -> int:
        """The bytes of those of its layers that other images have too."""
        others = {
            chain
            for other in self._index.all()
            if other.id != image.id
            for chain in chain_ids(other.diff_ids)
        }
        return sum(layer.size for layer in self._layers.stack(image.chain_id) if layer.chain_id in others)

    def disk_usage(self) -> int:
        """The bytes of all unpacked layers, each counted once."""
        return sum(layer.size for layer in self._layers.all())

    # --- Names

    def tag(self, source: str, target: str) -> Image:
        """Give the image `source` the name `target` (a tag moves away from another image)."""
        image = self.resolve(source)
        reference = Reference.parse(target)
        if reference.digest:
            raise Invalid("refusing to create a tag with a digest reference")
        with self._lock:
            return self._index.tag(image.id, reference.tagged())

    # --- Coming in

    def add(
        self,
        config: bytes,
        layers: Sequence[StoredLayer],
        names: Iterable[Reference] = (),
        *,
        parent: str = "",
    ) -> Image:
        """The image of a config document and layer blobs that are here already (pinned by `keeping`). Long.

        Unpacks what is not yet unpacked; the layers are bottom first. Raises Damaged, Invalid, Exhausted.
        """
        document, id = intake.checked(config, layers)
        with self.keeping() as keep:
            chains = chain_ids(document["rootfs"]["diff_ids"])
            for name in (id, *chains, *(layer.digest for layer in layers)):
                keep(name)
            for below, chain, layer in zip([None, *chains], chains, layers, strict=False):
                if not self._layers.exists(chain):
                    with self._blobs.open(layer.digest) as stream:
                        self._layers.apply(stream, below, layer.diff_id)
            self._layers.settle()
            self._blobs.put(config)
            with self._lock, self._records.transaction():
                record = ImageRecord(tuple(layers), timestamp(time.time()), parent)
                image = self._index.add(id, document, record)
                for reference in names:
                    image = self._index.tag(id, reference.tagged())
            return image

    def import_(
        self,
        stream: Readable,
        reference: str | None = None,
        *,
        changes: Sequence[str] = (),
        message: str = "",
        platform: str = "",
        created: float | None = None,
    ) -> Image:
        """A one-layer image from the tar of a root file system; `changes` are Dockerfile instructions. Long.

        `created` (seconds since the epoch; now by default) is part of the image's identity.
        """
        return intake.import_root(
            self, stream, reference, changes=changes, message=message, platform=platform, created=created
        )

    def load(self, stream: Readable) -> Sequence[str]:
        """Take in the images of an archive (docker save, OCI layout); returns references or IDs. Long."""
        return intake.load(self, stream)

    def commit(
        self,
        parent: str | None,
        diff: Iterable[bytes],
        *,
        defaults: ContainerDefaults,
        reference: str | None = None,
        created_by: str = "",
        author: str = "",
        comment: str = "",
        created: float | None = None,
    ) -> Image:
        """A new image from `parent` and the layer tar of a container's changes (storage.diff). Long.

        `defaults` are its whole `config`. Nothing changed: no layer. Raises NotFound, Exhausted.
        """
        above = self.resolve(parent) if parent else None
        moment = timestamp(time.time() if created is None else created)
        step = intake.Step(moment, created_by, author, comment)
        return intake.commit(self, above, diff, defaults, step, reference)

    def save(self, references: Sequence[str]) -> Iterator[bytes]:
        """The images as one tar that is a docker archive and an OCI layout at once; the bytes come lazily.

        A name without a tag stands for all tags of its repository, an ID for an image without names.
        """
        wanted = self._index.chosen(references)
        parts = parts_of(wanted, self._blobs.size)
        return self._saving(parts)

    def _saving(self, parts: Sequence[Part]) -> Iterator[bytes]:
        with self.keeping() as keep:
            for part in parts:
                if part.blob:
                    keep(part.blob)
            yield from packed(parts, self._blobs.open)

    # --- Going out

    def remove(self, reference: str, *, force: bool = False, prune: bool = True) -> Sequence[dict[str, str]]:
        """Untag, and delete where that was the last name: [{"Untagged": name}, {"Deleted": id}, ...].

        Raises NotFound, or Conflict where it is held or has several names (and is given by ID without force).
        """
        lines = self._remove(reference, force=force, prune=prune)
        self._snapshots.empty_trash()
        return lines

    def _remove(self, reference: str, *, force: bool, prune: bool) -> Sequence[dict[str, str]]:
        with self._lock:
            removal = Removal(self._index, self._records, self.is_running)
            before = {layer.chain_id for layer in self._layers.all()}
            removal.remove(reference, force=force, prune=prune)
            if removal.deleted:
                self._collect()
                left = {layer.chain_id for layer in self._layers.all()}
                removal.lines += [{"Deleted": chain} for chain in sorted(before - left)]
            return removal.lines

    def prune(
        self, *, dangling: bool = True, filters: Mapping[str, Sequence[str]] | None = None
    ) -> tuple[Sequence[dict[str, str]], int]:
        """Remove unused images (only nameless if `dangling`); returns as `remove`, and the bytes freed."""
        lines: list[dict[str, str]] = []
        before = self.disk_usage()
        held = self._records.held(KIND)
        for image in self.list(filters):
            whole = self._index.get(image.id)
            if image.id in held or (dangling and not whole.dangling):
                continue
            for name in (*whole.repo_tags, *whole.repo_digests) or (image.id,):
                try:
                    lines += self._remove(name, force=False, prune=True)
                except NakaginError as error:
                    _log.info("prune keeps %s: %s", name, error)
        self._snapshots.empty_trash()
        return lines, before - self.disk_usage()

    def collect(self) -> None:
        """Delete blobs and layers that nothing needs any more. Cheap when there are none; call it in a worker
        thread after containers whose image is gone were removed."""
        with self._lock:
            self._collect()
        self._snapshots.empty_trash()

    def _collect(self) -> None:
        images = self._index.all()
        chains = {image.chain_id for image in images if image.chain_id}
        self._layers.sweep({*chains, *self._snapshots.chains(), *self._pinned})
        blobs = {layer.digest for image in images for layer in image.record.layers}
        manifests = {digest for image in images for digest in image.record.manifests}
        self._blobs.sweep({*blobs, *manifests, *(image.id for image in images), *self._pinned})

    def keeping(self) -> _Keeping:
        """A context that keeps blobs and layers (by digest and chain ID) while they belong to no image yet.

        What has not become part of one by its end is deleted.
        """
        return _Keeping(self._lock, self._pinned, self.collect)

    def recover(self) -> None:
        """At start, after the layers' and snapshots' own: unpack again what is lost, delete what belongs to
        nothing. Long where there is something to repair."""
        for id in self._index.broken():
            _log.error("the image %s has lost its config and is forgotten", id)
            self._records.delete(KIND, id)
        for image in self._index.all():
            try:
                self._repair(image)
            except NakaginError as error:
                _log.error("the image %s is damaged and is forgotten: %s", image.id, error)
                self._index.forget(image.id)
        self.collect()

    def _repair(self, image: Image) -> None:
        for below, chain, layer in zip(
            [None, *chain_ids(image.diff_ids)], chain_ids(image.diff_ids), image.record.layers, strict=False
        ):
            if not self._blobs.exists(layer.digest):
                raise NotFound(f"no such blob: {layer.digest}")
            if not self._layers.exists(chain):
                with self._blobs.open(layer.digest) as stream:
                    self._layers.apply(stream, below, layer.diff_id)
                self._index.refresh(image.id)

    # --- For intake

    @property
    def blobs(self) -> Blobs:
        """Where the images' blobs are; a new one must be kept by `keeping`."""
        return self._blobs

    @property
    def layers(self) -> Layers:
        """Where the images' layers are."""
        return self._layers


class _Keeping:
    """Counts the names it keeps; see Images.keeping."""

    def __init__(self, lock: threading.RLock, pinned: dict[str, int], collect: Callable[[], None]) -> None:
        self._lock = lock
        self._pinned = pinned
        self._collect = collect
        self._mine: list[str] = []

    def __enter__(self) -> Callable[[str], None]:
        return self._keep

    def _keep(self, name: str) -> None:
        with self._lock:
            self._pinned[name] = self._pinned.get(name, 0) + 1
            self._mine.append(name)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for name in self._mine:
                self._pinned[name] -= 1
                if not self._pinned[name]:
                    del self._pinned[name]
        self._collect()


def _nobody_runs(holder: str) -> bool:
    return False
