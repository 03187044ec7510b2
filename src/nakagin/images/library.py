"""The image library: every image here, by id and by name, and what may be done with them.

An index in memory answers `resolve` and `list`; records and blobs hold the truth, and the index is built from
them at start and kept in step. Refuses to remove what somebody holds; knows nothing of containers.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import msgspec

from nakagin.errors import Invalid
from nakagin.images import cleanup, describe, intake
from nakagin.images.filters import selected
from nakagin.images.index import KIND, Index
from nakagin.images.keeping import Keeping
from nakagin.images.layering import Layering
from nakagin.images.load import load
from nakagin.images.model import Image, IndexRecord, StoredLayer, timestamp
from nakagin.images.remove import Removal
from nakagin.images.repair import mend, recover
from nakagin.images.save import Saved, parts_of, saving
from nakagin.images.space import Space, spaces
from nakagin.images.summaries import summaries
from nakagin.images.unfinished import Unfinished
from nakagin.images.uses import Uses
from nakagin.registry.model import Descriptor
from nakagin.spec.digest import chain_ids
from nakagin.spec.image import INDEXES
from nakagin.spec.platform import Platform
from nakagin.spec.reference import Reference
from nakagin.storage.usage import blocks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from nakagin.images.retention import Retention
    from nakagin.spec.image import ContainerDefaults
    from nakagin.storage.blobs import Blobs
    from nakagin.storage.compression import Readable
    from nakagin.storage.layers import Layers
    from nakagin.storage.records import Records
    from nakagin.storage.snapshots import Snapshots

__all__ = ["KIND", "Images"]


class Images:
    """All images of one engine. Every method may be called from any thread; the long ones say so.

    Who uses an image holds it: `records.hold(KIND, image.id, "container:<id>", reason)`. The composition root
    sets `is_running`, which tells for such a holder whether even force may not take the image away, and
    `also_needed`, the chain IDs and digests that others (the build cache) still need.
    """

    def __init__(self, records: Records, blobs: Blobs, layers: Layers, snapshots: Snapshots) -> None:
        self.is_running: Callable[[str], bool] = _nobody_runs
        self.also_needed: Callable[[], Iterable[str]] = tuple
        self._records = records
        self._blobs = blobs
        self._layers = layers
        self._snapshots = snapshots
        self._lock = threading.RLock()
        self._pinned: dict[str, int] = {}
        self.unsettled = True
        self.unfinished = Unfinished(records)
        self.platform = Platform.make("linux", os.uname().machine)
        self._index = Index(records, blobs, layers, self.platform)
        self._uses = Uses(self._index)

    # --- Finding

    def resolve(self, reference: str, platform: Platform | None = None) -> Image:
        """The image of a name, digest, ID or unique ID prefix; of several platforms the best for this host, or the
        wanted one. NotFound says "No such image: x:latest", also of one that is damaged."""
        return self._index.usable(reference, platform)

    def find(self, id: str) -> Image | None:
        """The image with exactly this id, also a damaged one, if it is here."""
        return self._index.find(id)

    def list(
        self, filters: Mapping[str, Sequence[str]] | None = None, *, hidden: bool = True
    ) -> Sequence[Image]:
        """The images, the newest first. Filters: reference, dangling, label, before, since, until.

        Unless `hidden`, without other platforms of what is listed, and without nameless parents of other images.
        """
        found = sorted(self._index.all(), key=lambda image: (image.created_at, image.id), reverse=True)
        if not hidden:
            parents = {image.record.parent for image in found}
            found = [
                image
                for image in found
                if not image.secondary and not (image.dangling and image.id in parents)
            ]
        return selected(found, filters, self.resolve) if filters else found

    def platforms(self, image: Image) -> Sequence[Image]:
        """The image and the other platforms that are here of the same index."""
        return [image, *self._index.siblings(image.id)]

    def members(self, reference: str) -> Sequence[Image]:
        """Every image that a name means: of an index, all platforms that are here, the best for this host first."""
        return self._index.members(reference)

    def index_of(self, reference: str) -> Descriptor | None:
        """The index that a name leads to; None where it leads to one image."""
        digest = self._index.target(reference)
        record = self._index.indexes().get(digest)
        return Descriptor(record.media_type, digest, self._blobs.size(digest)) if record else None

    def index_blobs(self, index: str) -> Sequence[str]:
        """The blobs of the index with this digest that are no image's: itself, attestations, inner indexes."""
        record = self._index.indexes().get(index)
        return (index, *record.blobs) if record else ()

    def descriptor(self, image: Image) -> dict[str, Any]:
        """The OCI descriptor of what an image's names lead to: its index, its manifest, or its config."""
        known = self._index.indexes().get(image.index)
        if known is not None:
            return {
                "mediaType": known.media_type,
                "digest": image.index,
                "size": self._blobs.size(image.index),
            }
        return describe.descriptor(image, self._blobs.size)

    def manifests(
        self, image: Image, identity: Callable[[Image], dict[str, Any]]
    ) -> Sequence[dict[str, Any]]:
        """Docker's ImageManifestSummary of each platform that is here, and of what else its index lists; `identity`
        tells fields about where an image comes from."""
        return summaries(self._blobs, image, self.platforms(image), self._users, identity)

    def _users(self, id: str) -> Sequence[str]:
        return [hold.holder.partition(":")[2] for hold in self._records.holders(KIND, id)]

    def inspect(self, reference: str, platform: Platform | None = None) -> dict[str, Any]:
        """Docker's ImageInspect document."""
        image = self.resolve(reference, platform)
        layers = self._layers.stack(image.chain_id)
        return describe.inspected(image, [self._layers.path(layer) for layer in layers])

    def history(self, reference: str, platform: Platform | None = None) -> Sequence[dict[str, Any]]:
        """Docker's history, newest first: Id, Created (unix seconds), CreatedBy, Tags, Size, Comment."""
        image = self.resolve(reference, platform)
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

    def spaces(self) -> dict[str, Space]:
        """What every image takes on the disk. Long at its first time."""
        return spaces(self._index.all(), self.part_sizes())

    def disk_usage(self) -> int:
        """The bytes that all blobs and unpacked layers take on the disk. Long at its first time."""
        return sum(self.part_sizes().values())

    def part_sizes(self) -> dict[str, int]:
        """The bytes that each blob and unpacked layer takes, by the names of `space.parts_of`. Long at first."""
        sizes: dict[str, int] = {
            digest: blocks_of([self._blobs.path(digest)]) for digest in self._blobs.all()
        }
        for layer in self._layers.all():
            sizes[f"layer {layer.chain_id}"] = self._layers.disk_usage(layer)
        return sizes

    def known(self, reference: Reference) -> Image | None:
        """The image that this very name (a digest, or a tag) leads to, unless it is damaged."""
        target = self._index.owner(reference)
        image = self._index.resolve(target) if target else None
        return image if image and not image.damage else None

    # --- Names

    def name(self, id: str, *names: Reference) -> Image:
        """Give the image with this id further names: tags, or digests of manifests it came by."""
        with self._lock, self._records.transaction():
            owners = {self._index.owner(each) for each in names}
            target = next((index for index in self._index.indexes_of(id) if index in owners), id)
            for each in names:
                if self._index.owner(each) != target:
                    self._index.tag(target, each)
        return self._index.get(id)

    def keep_manifest(self, id: str, digest: str, media_type: str, tag: Reference) -> None:
        """Keep a manifest that describes the image and that `tag` stands for; its bytes are a blob by now."""
        with self._lock, self._records.transaction():
            self._index.keep_manifest(id, digest, media_type)
            self._index.note_origin(tag, digest)

    def origin(self, reference: Reference) -> str:
        """The digest of the manifest that a tag came by, or "" where it is not known."""
        return self._index.origin(reference)

    def replace_layer(self, digest: str, layer: StoredLayer) -> None:
        """Let images whose layer blob `digest` stands in no manifest yet have the same layer as another blob."""
        with self._lock:
            self._index.replace_layer(digest, layer)

    def repositories(self, domain: str, blob: str) -> Sequence[str]:
        """The repositories on a registry whose images have the config or layer blob, the newest known here first."""
        return self._index.repositories(domain, blob)

    def tags_of(self, repository: Reference) -> Sequence[Reference]:
        """Every tag of a repository that leads to an image here."""
        return self._index.tags_of(repository)

    def tag(self, source: str, target: str) -> Image:
        """Give the image `source` the name `target` (a tag moves away from another image)."""
        self.resolve(source)
        id = self._index.target(source)
        reference = Reference.parse(target)
        if reference.digest:
            raise Invalid("refusing to create a tag with a digest reference")
        with self._lock, self._records.transaction():
            self._index.tag(id, reference.tagged(), source)
        return self.resolve(id)

    # --- Coming in

    def add(
        self,
        config: bytes,
        layers: Sequence[StoredLayer],
        names: Iterable[Reference] = (),
        *,
        parent: str = "",
        manifests: Mapping[str, str] | None = None,
        beside: Sequence[str] = (),
        layering: Layering | None = None,
    ) -> Image:
        """The image of a config document and layer blobs that are here already (pinned by `keeping`). Long.

        Unpacks what is not yet unpacked; the layers are bottom first. `manifests` (digest -> media type) are kept
        blobs too; where an index is among them, the names lead to that, and the blobs `beside` are kept for its sake.
        It is on disk for sure after `settle`. Raises Damaged, Invalid, Exhausted.
        """
        document, id = intake.checked(config, layers)
        record = intake.recorded(layers, parent, manifests or {})
        with self.keeping() as keep, ExitStack() as stack:
            chains = chain_ids(document["rootfs"]["diff_ids"])
            for name in (id, *chains, *record.manifests, *record.blobs, *(layer.digest for layer in layers)):
                keep(name)
            work = layering or stack.enter_context(self.layering())
            work.complete(layers)
            keep(self._blobs.put(config))
            with self._lock, self._records.transaction():
                image = self._index.add(id, document, record)
                target = self._add_index(record.manifests, id, beside)
                for reference in names:
                    self._index.tag(target, reference.tagged())
            self.unsettled = True
            return self._index.get(image.id)

    def _add_index(self, manifests: Mapping[str, str], id: str, beside: Sequence[str]) -> str:
        """What the names of a new image lead to: the index that it came with, else itself."""
        indexes = [digest for digest, kind in manifests.items() if kind in INDEXES]
        members = {digest: id for digest, kind in manifests.items() if kind not in INDEXES}
        for digest in indexes:
            self._index.add_index(digest, IndexRecord(manifests[digest], members, tuple(beside)))
        return indexes[0] if indexes else id

    def layering(self) -> Layering:
        """A context in which blobs become layers while they arrive; see Layering."""
        return Layering(self._layers, self._blobs)

    def settle(self) -> None:
        """Put what came in on disk: one wait for everything. Until then, a crash of the machine has it checked at
        the next start (`recover`), and what is not whole is unpacked again or given up. Long."""
        self.unsettled = False
        fresh = [image for image in self._index.all() if image.record.boot]
        self._layers.settle(also=bool(fresh))
        with self._lock, self._records.transaction():
            for image in fresh:
                now = self._index.find(image.id)
                if now and now.record.boot:
                    if now.record != image.record:  # it gained something meanwhile
                        self.unsettled = True
                        continue
                    record = msgspec.structs.replace(now.record, boot="")
                    self._index.update(now.id, now.config, record)

    def use(self, id: str) -> None:
        """A container starts from the image. Cheap: it is written down later, by `remember_uses`."""
        self._uses.note(id)

    def remember_uses(self) -> None:
        """Write down when images were used last. What a crash loses of it is a minute's worth."""
        with self._lock, self._records.transaction():
            self._uses.write_down()

    def last_used(self, image: Image) -> float:
        """Seconds since the epoch: when a container last started from it; where none did, when it came or was named."""
        return self._uses.last(image)

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

    def load(
        self,
        stream: Readable,
        *,
        platforms: Sequence[Platform] = (),
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Sequence[str]:
        """Take in the images of an archive (docker save, OCI layout); returns references or IDs. Long.

        Of several platforms all that are in it, or the wanted ones. `progress` gets a layer's digest, the bytes of it
        that are unpacked, and all of them.
        """
        return load(self, stream, platforms=platforms, progress=progress)

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

    def save(self, references: Sequence[str], platforms: Sequence[Platform] = ()) -> Iterator[bytes]:
        """The images as one tar that is a docker archive and an OCI layout at once; the bytes come lazily.

        A name without a tag stands for all tags of its repository, an ID for an image without names.
        """
        wanted = [self._saved(target, names, platforms) for target, names in self._index.chosen(references)]
        return saving(self, parts_of(wanted, self._blobs))

    def _saved(self, target: str, names: Sequence[str], platforms: Sequence[Platform]) -> Saved:
        index = self._index.indexes().get(target)
        if platforms:
            return Saved([self.resolve(target, platform) for platform in platforms], names)
        first = self.resolve(target)
        if index is None:
            return Saved([first], names)
        return Saved([first, *self._index.siblings(first.id)], names, target, index)

    # --- Going out

    def remove(
        self, reference: str, *, force: bool = False, prune: bool = True, platforms: Sequence[Platform] = ()
    ) -> Sequence[dict[str, str]]:
        """Untag, and delete where that was the last name: [{"Untagged": name}, {"Deleted": id}, ...].

        With `platforms`, only those of an image for several go.

        Raises NotFound, or Conflict where it is held or has several names (and is given by ID without force).
        """
        lines = self._remove(reference, force=force, prune=prune, platforms=platforms)
        self._snapshots.empty_trash()
        return lines

    def _remove(
        self, reference: str, *, force: bool, prune: bool, platforms: Sequence[Platform] = ()
    ) -> Sequence[dict[str, str]]:
        with self._lock:
            removal = Removal(self._index, self._records, self.is_running)
            before = {layer.chain_id for layer in self._layers.all()}
            for platform in platforms:
                removal.remove_platform(reference, platform, force=force)
            if not platforms:
                removal.remove(reference, force=force, prune=prune)
            if removal.deleted:
                self._collect()
                left = {layer.chain_id for layer in self._layers.all()}
                removal.lines += [{"Deleted": chain} for chain in sorted(before - left)]
            return removal.lines

    def prune(
        self,
        *,
        dangling: bool = True,
        filters: Mapping[str, Sequence[str]] | None = None,
        retention: Retention | None = None,
    ) -> tuple[Sequence[dict[str, str]], int]:
        """Remove unused images (only nameless if `dangling`); returns as `remove`, and the bytes freed on disk.

        With a `retention`, those that it does not keep, with and without names.
        """
        return cleanup.prune(self, dangling=dangling, filters=filters, retention=retention)

    def held(self) -> set[str]:
        """The ids of the images that somebody uses."""
        return self._records.held(KIND)

    def discard(self, reference: str) -> Sequence[dict[str, str]]:
        """As `remove` without force, but the trash is emptied later."""
        return self._remove(reference, force=False, prune=True)

    def collect(self) -> None:
        """Delete blobs and layers that nothing needs any more. Cheap when there are none; call it in a worker
        thread after containers whose image is gone were removed."""
        with self._lock:
            self._collect()
        self._snapshots.empty_trash()

    def _collect(self) -> None:
        self._index.drop_unnamed()
        images = self._index.all()
        chains = {image.chain_id for image in images if image.chain_id}
        pinned = {*self._pinned, *self.unfinished.names(), *self.also_needed()}
        self._layers.sweep({*chains, *self._snapshots.chains(), *pinned})
        self._blobs.sweep(self.needed_blobs())

    def needed_blobs(self) -> set[str]:
        """The digests of all blobs that images, and whatever is under way, need."""
        needed = {digest for image in self._index.all() for digest in intake.blobs_of(image)}
        needed.update(self._pinned, self.unfinished.names(), self.also_needed())
        for digest, index in self._index.indexes().items():
            needed.update((digest, *index.blobs))
        return needed

    def keeping(self) -> Keeping:
        """A context that keeps blobs and layers (by digest and chain ID) while they belong to no image yet.

        What has not become part of one by its end is deleted.
        """
        return Keeping(self._lock, self._pinned, self.collect)

    def under_way(self) -> frozenset[str]:
        """What is kept so at this moment."""
        with self._lock:
            return frozenset(self._pinned)

    def recover(self) -> None:
        """At start, after the layers' and snapshots' own: unpack again what is lost, delete what belongs to
        nothing. An image of which something is lost stays, as damaged, for `fsck` or a pull to mend; one that was
        not on disk yet when the machine went down is forgotten. Long where there is something to repair."""
        recover(self, self._index)
        self.collect()

    def mend(self, id: str) -> None:
        """Take a damaged image for whole again, if by now it is. Long. Raises NotFound, Damaged."""
        with self._lock:
            mend(self, self._index, id)

    def refresh(self, id: str) -> None:
        """Work out again what an image's layers tell of it."""
        self._index.refresh(id)

    # --- For intake

    @property
    def blobs(self) -> Blobs:
        """Where the images' blobs are; a new one must be kept by `keeping`."""
        return self._blobs

    @property
    def layers(self) -> Layers:
        """Where the images' layers are."""
        return self._layers


def _nobody_runs(holder: str) -> bool:
    return False
