"""The images in memory, by id and by every name, in step with the records.

A name leads to an image, or to an index: one image for several platforms, of which some are here.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Invalid, NakaginError, NotFound, nearest
from nakagin.images.intake import parsed
from nakagin.images.model import Image, ImageRecord, IndexRecord, timestamp
from nakagin.spec.digest import chain_ids
from nakagin.spec.platform import Platform, choose
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nakagin.images.model import StoredLayer
    from nakagin.spec.image import ImageConfig
    from nakagin.storage.blobs import Blobs
    from nakagin.storage.layers import Layers
    from nakagin.storage.records import Records

KIND = "image"
"""The kind of image documents, and of holds on them: `records.hold("image", id, "container:ID", why)`."""
INDEX_KIND = "image index"

_log = logging.getLogger(__name__)
_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")
_decode = msgspec.json.Decoder(ImageRecord).decode
_decode_index = msgspec.json.Decoder(IndexRecord).decode


class Index:
    """What is asked often is answered from dictionaries; what changes is written to the records first."""

    def __init__(self, records: Records, blobs: Blobs, layers: Layers, host: Platform) -> None:
        self._records = records
        self._layers = layers
        self._host = host
        self._images: dict[str, Image] = {}
        self._names: dict[str, str] = {}  # full reference, with a tag or a digest -> id of an image or index
        self._indexes = {id: _decode_index(data) for id, data in records.all(INDEX_KIND)}
        self._blobs = blobs
        for id, data in records.all(KIND):
            try:
                record = _decode(data)
            except msgspec.DecodeError as error:
                _log.error("the image %s is forgotten: its record cannot be read: %s", id, error)
                records.delete(KIND, id)
                continue
            try:
                self._images[id] = self._image(id, parsed(blobs.read(id)), record)
            except NakaginError as error:
                stand_in = self._image(id, _stand_in(record), record)
                self._images[id] = msgspec.structs.replace(stand_in, damage=error.message)
        for name, id in records.names(KIND):
            if self._members(id):
                self._names[name] = id
        for id in self._images:
            self.refresh(id)

    def _image(self, id: str, config: ImageConfig, record: ImageRecord) -> Image:
        chains = chain_ids(config["rootfs"]["diff_ids"])
        size = sum(self._layers.get(chain).size for chain in chains if self._layers.exists(chain))
        return Image(id, config, record, size, chains[-1] if chains else None)

    def _members(self, target: str) -> list[Image]:
        """The images that a name with this target means, the best for this host first."""
        if image := self._images.get(target):
            return [image]
        if (record := self._indexes.get(target)) is None:
            return []
        found = [self._images[id] for id in dict.fromkeys(record.images.values()) if id in self._images]
        best = choose([(image.platform, image) for image in found], self._host)
        return [best, *(image for image in found if image is not best)] if best else found

    # --- Reading

    def all(self) -> list[Image]:
        """Every image."""
        return list(self._images.values())

    def indexes(self) -> dict[str, IndexRecord]:
        """Every index by its digest."""
        return self._indexes

    def get(self, id: str) -> Image:
        """The image with exactly this id."""
        return self._images[id]

    def find(self, id: str) -> Image | None:
        """The image with exactly this id, if it is here."""
        return self._images.get(id)

    def tags_of(self, repository: Reference) -> list[Reference]:
        """Every tag of a repository, in order."""
        names = (name for name in sorted(self._names) if name.startswith(repository.name + ":"))
        return [each for each in map(Reference.parse, names) if each.tag and not each.digest]

    def repositories(self, domain: str, blob: str) -> list[str]:
        """See Images.repositories."""
        owners: set[str] = set()
        for image in self._images.values():
            if blob == image.id or any(each.digest == blob for each in image.record.layers):
                owners |= {image.id, *self.indexes_of(image.id)}
        names = [name for name, owner in self._names.items() if owner in owners and "@" in name]
        found = [Reference.parse(name) for name in reversed(names) if name.startswith(f"{domain}/")]
        return list(dict.fromkeys(each.path for each in found))

    def names_of(self, id: str) -> list[Reference]:
        """Every name that leads to an image, also through an index."""
        targets = {id, *self.indexes_of(id)}
        return [Reference.parse(name) for name, target in sorted(self._names.items()) if target in targets]

    def indexes_of(self, id: str) -> list[str]:
        """The indexes that an image belongs to."""
        return [digest for digest, record in self._indexes.items() if id in record.images.values()]

    def siblings(self, id: str) -> list[Image]:
        """The other platforms of the indexes that an image belongs to."""
        found = {other.id: other for digest in self.indexes_of(id) for other in self._members(digest)}
        found.pop(id, None)
        return list(found.values())

    def resolve(self, text: str, platform: Platform | None = None) -> Image:
        """The image of a name, digest, ID or unique ID prefix; of several platforms the best for this host, or the
        wanted one. Raises NotFound, or Invalid."""
        members = self.members(text)
        if platform is None:
            return members[0]
        found = choose([(image.platform, image) for image in members], platform)
        if found is None:
            raise NotFound(
                f"image with reference {text} was found but does not provide the specified platform ({platform})",
                hint="it has " + ", ".join(sorted(str(image.platform) for image in members)),
            )
        return found

    def members(self, text: str) -> list[Image]:
        """See Images.members. Raises as `resolve`."""
        return self._members(self.target(text))

    def usable(self, text: str, platform: Platform | None = None) -> Image:
        """As `resolve`; NotFound also where the image is damaged, so that clients fetch it again."""
        image = self.resolve(text, platform)
        if image.damage:
            raise NotFound(
                f"No such image: {text} (it is damaged: {image.damage})",
                hint="`nakagin system fsck` fetches again what it can; or pull or load it again",
            )
        return image

    def target(self, text: str) -> str:
        """The id of the image or index that a name, digest, ID or unique ID prefix means. Raises as `resolve`."""
        for id in (text, f"sha256:{text}"):
            if self._members(id):
                return id
        prefix = _PREFIX.fullmatch(text)
        try:
            reference = Reference.parse(text).tagged()
        except Invalid:
            if prefix is None:
                raise
            reference = None
        if reference and (owner := self.owner(reference)):
            return owner
        if prefix:
            ids = [id for id in self._images if id.startswith("sha256:" + prefix[1])]
            if len(ids) == 1:
                return ids[0]
            if ids:
                raise Invalid(f"the image ID prefix {text} is ambiguous", hint="give more digits")
            for image in self._images.values():
                if f"sha256:{prefix[1]}" in image.record.manifests:
                    return image.id
        wanted = reference.familiar() if reference else text
        hint = nearest(wanted, self._familiar()) or "pull, load or build it first"
        raise NotFound(f"No such image: {wanted}", hint=hint)

    def _familiar(self) -> Iterator[str]:
        """The names as people write them."""
        return (Reference.parse(name).familiar() for name in self._names if "@" not in name)

    def owner(self, reference: Reference) -> str | None:
        """The image or index that a reference leads to; where it has a digest, the tag does not count."""
        if reference.digest:
            return self._names.get(f"{reference.name}@{reference.digest}")
        return self._names.get(str(reference))

    def chosen(self, references: Sequence[str]) -> list[tuple[str, list[str]]]:
        """The images and indexes of these words with the full names that each was meant by, in order."""
        found: dict[str, list[str]] = {}
        for text in references:
            names = self._meant(text)
            if not names:
                found.setdefault(self.target(text), [])
            for name in names:
                known = found.setdefault(self._names[name], [])
                if name not in known:
                    known.append(name)
        return list(found.items())

    def _meant(self, text: str) -> list[str]:
        if self._members(text) or self._members(f"sha256:{text}"):
            return []
        try:
            reference = Reference.parse(text)
        except Invalid:
            return []
        if reference.tag and str(reference) in self._names:
            return [str(reference)]
        if reference.tag or reference.digest:
            return []
        return [name for name in sorted(self._names) if name.startswith(reference.name + ":")]

    # --- Writing

    def add(self, id: str, config: ImageConfig, record: ImageRecord) -> Image:
        """Record an image. One that is here already stays, but for manifests that came with it: then its layers
        are those that they name, and those of earlier manifests stay too."""
        if known := self._images.get(id):
            if not record.manifests and not known.damage:
                return known
            self._images[id] = msgspec.structs.replace(known, config=config, damage="")
            record = msgspec.structs.replace(
                known.record,
                layers=record.layers,
                manifests={**known.record.manifests, **record.manifests},
                blobs=tuple(dict.fromkeys((*known.record.blobs, *record.blobs))),
                boot=record.boot,
            )
        return self.update(id, config, record)

    def update(self, id: str, config: ImageConfig, record: ImageRecord) -> Image:
        """Store an image's record as it is."""
        self._records.put(KIND, id, msgspec.json.encode(record))
        known = self._images.get(id)
        image = self._image(id, config, record)
        if known:
            image = msgspec.structs.replace(known, record=record, size=image.size)
        self._images[id] = image
        return image

    def keep_manifest(self, id: str, digest: str, media_type: str) -> None:
        """Record that a blob is a manifest of the image, of its present layers."""
        image = self._images[id]
        layers = (layer.digest for layer in image.record.layers)
        blobs = tuple(dict.fromkeys((*image.record.blobs, *layers)))
        self._rewrite(image, manifests={**image.record.manifests, digest: media_type}, blobs=blobs)

    def origin(self, reference: Reference) -> str:
        """The digest of the manifest that a tag came by, or "" where it is not known."""
        target = self.owner(reference) or ""
        members = self._members(target)
        if not members:
            return ""
        if index := self._indexes.get(target):
            return next((digest for digest, id in index.images.items() if id == members[0].id), "")
        return members[0].record.origins.get(str(reference), "")

    def note_origin(self, reference: Reference, manifest: str) -> None:
        """Record which manifest a tag came by (one that leads to an index needs no such note)."""
        image = self._images.get(self.owner(reference) or "")
        if manifest and image:
            self._rewrite(image, origins={**image.record.origins, str(reference): manifest})

    def mark(self, id: str, damage: str) -> None:
        """Let an image be known as damaged."""
        self._images[id] = msgspec.structs.replace(self._images[id], damage=damage)

    def reread(self, id: str) -> Image:
        """Take an image for whole again; its config is read anew. Raises NotFound, Damaged."""
        config = parsed(self._blobs.read(id))
        self._images[id] = msgspec.structs.replace(self._images[id], config=config, damage="")
        for other in self.siblings(id):
            self.refresh(other.id)
        return self.refresh(id)

    def replace_layer(self, digest: str, layer: StoredLayer) -> None:
        """See Images.replace_layer."""
        for image in self.all():
            if not image.record.manifests and any(each.digest == digest for each in image.record.layers):
                layers = tuple(layer if each.digest == digest else each for each in image.record.layers)
                self._rewrite(image, layers=layers)

    def _rewrite(self, image: Image, **changes: object) -> None:
        self.update(image.id, image.config, msgspec.structs.replace(image.record, **changes))

    def add_index(self, digest: str, record: IndexRecord) -> None:
        """Record an index; the platforms of one that is here already stay."""
        if known := self._indexes.get(digest):
            record = IndexRecord(
                record.media_type, {**known.images, **record.images}, tuple({*known.blobs, *record.blobs})
            )
        self._records.put(INDEX_KIND, digest, msgspec.json.encode(record))
        self._indexes[digest] = record
        for id in set(record.images.values()) & self._images.keys():
            self.refresh(id)

    def tag(self, target: str, reference: Reference, source: str = "") -> None:
        """Let a tag or digest lead to the image or index, wherever it led before; it came by the same manifest
        as the name `source`."""
        name, origin = str(reference), self._origin(source) if source else ""
        before = self._names.get(name)
        now = timestamp(time.time())
        with self._records.transaction():
            self._records.move(KIND, name, target)
            for image in self._members(target):
                self.update(image.id, image.config, msgspec.structs.replace(image.record, tagged=now))
        self._names[name] = target
        self.note_origin(reference, origin)
        for image in (*self._members(before or ""), *self._members(target)):
            self.refresh(image.id)

    def _origin(self, source: str) -> str:
        try:
            return self.origin(Reference.parse(source).tagged())
        except Invalid:
            return ""

    def untag(self, reference: Reference) -> None:
        """Let a name lead nowhere."""
        name = str(reference)
        self._records.release(KIND, name)
        for image in self._members(self._names.pop(name, "")):
            if name in image.record.origins:
                origins = {tag: each for tag, each in image.record.origins.items() if tag != name}
                self._rewrite(image, origins=origins)
            self.refresh(image.id)

    def drop_unnamed(self) -> None:
        """Forget indexes that no name leads to; their images stay, each by itself."""
        named = set(self._names.values())
        for digest in self._indexes.keys() - named:
            members = self._members(digest)
            self._records.delete(INDEX_KIND, digest)
            del self._indexes[digest]
            for image in members:
                self.refresh(image.id)

    def forget(self, id: str) -> None:
        """Forget an image, its names, and its place in indexes."""
        self._records.delete(KIND, id)
        self._names = {name: owner for name, owner in self._names.items() if owner != id}
        self._images.pop(id, None)
        for digest in self.indexes_of(id):
            record = self._indexes[digest]
            left = {manifest: image for manifest, image in record.images.items() if image != id}
            if left:
                self._indexes[digest] = record = msgspec.structs.replace(record, images=left)
                self._records.put(INDEX_KIND, digest, msgspec.json.encode(record))
                for other in self._members(digest):
                    self.refresh(other.id)
                continue
            for name in [name for name, target in self._names.items() if target == digest]:
                self._records.release(KIND, name)
                del self._names[name]
            self._records.delete(INDEX_KIND, digest)
            del self._indexes[digest]

    def refresh(self, id: str) -> Image:
        """Work out an image's names and size again."""
        image = self._images[id]
        names = self.names_of(id)
        named = [digest for digest in self.indexes_of(id) if digest in self._names.values()]
        direct = id in self._names.values()
        self._images[id] = image = msgspec.structs.replace(
            self._image(id, image.config, image.record),
            repo_tags=tuple(sorted(name.familiar() for name in names if name.tag)),
            repo_digests=tuple(sorted(name.familiar() for name in names if name.digest)),
            damage=image.damage,
            index=named[0] if named else "",
            secondary=not direct and bool(named) and self._members(named[0])[0].id != id,
        )
        return image


def _stand_in(record: ImageRecord) -> ImageConfig:
    """What is known of a config that is lost."""
    diff_ids = [layer.diff_id for layer in record.layers]
    return {"architecture": "", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
