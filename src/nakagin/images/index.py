"""The images in memory, by id and by every name, in step with the records."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Invalid, NakaginError, NotFound
from nakagin.images.model import Image, ImageRecord, timestamp
from nakagin.spec.digest import chain_ids
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.spec.image import ImageConfig
    from nakagin.storage.blobs import Blobs
    from nakagin.storage.layers import Layers
    from nakagin.storage.records import Records

KIND = "image"
"""The kind of image documents, and of holds on them: `records.hold("image", id, "container:ID", why)`."""

_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")
_decode = msgspec.json.Decoder(ImageRecord).decode


class Index:
    """What is asked often is answered from dictionaries; what changes is written to the records first."""

    def __init__(self, records: Records, blobs: Blobs, layers: Layers) -> None:
        self._records = records
        self._layers = layers
        self._images: dict[str, Image] = {}
        self._names: dict[str, str] = {}  # full reference, with a tag or a digest -> id
        self._broken: list[str] = []
        for id, data in records.all(KIND):
            try:
                self._images[id] = self._image(id, msgspec.json.decode(blobs.read(id)), _decode(data))
            except (NakaginError, msgspec.DecodeError):
                self._broken.append(id)
        for name, id in records.names(KIND):
            if id in self._images:
                self._names[name] = id
        for id in self._images:
            self.refresh(id)

    def _image(self, id: str, config: ImageConfig, record: ImageRecord) -> Image:
        chains = chain_ids(config["rootfs"]["diff_ids"])
        size = sum(self._layers.get(chain).size for chain in chains if self._layers.exists(chain))
        return Image(id, config, record, size, chains[-1] if chains else None)

    # --- Reading

    def all(self) -> list[Image]:
        """Every image."""
        return list(self._images.values())

    def broken(self) -> list[str]:
        """The ids whose config could not be read at start."""
        return self._broken

    def get(self, id: str) -> Image:
        """The image with exactly this id."""
        return self._images[id]

    def names_of(self, id: str) -> list[Reference]:
        """Every name of an image."""
        return [Reference.parse(name) for name, owner in sorted(self._names.items()) if owner == id]

    def resolve(self, text: str) -> Image:
        """The image of a name, digest, ID or unique ID prefix. Raises NotFound, or Invalid."""
        if found := self._images.get(text) or self._images.get(f"sha256:{text}"):
            return found
        prefix = _PREFIX.fullmatch(text)
        try:
            reference = Reference.parse(text).tagged()
        except Invalid:
            if prefix is None:
                raise
            reference = None
        if reference and (id := self.owner(reference)):
            return self._images[id]
        if prefix:
            ids = [id for id in self._images if id.startswith("sha256:" + prefix[1])]
            if len(ids) == 1:
                return self._images[ids[0]]
            if ids:
                raise Invalid(f"the image ID prefix {text} is ambiguous", hint="give more digits")
        raise NotFound(f"No such image: {reference.familiar() if reference else text}")

    def owner(self, reference: Reference) -> str | None:
        """The id that a reference leads to; where it has a digest, the tag does not count."""
        if reference.digest:
            return self._names.get(f"{reference.name}@{reference.digest}")
        return self._names.get(str(reference))

    def chosen(self, references: Sequence[str]) -> list[tuple[Image, list[str]]]:
        """The images of these words with the full names that each was meant by, in order."""
        found: dict[str, list[str]] = {}
        for text in references:
            names = self._meant(text)
            image = self._images[self._names[names[0]]] if names else self.resolve(text)
            for name in names:
                found.setdefault(self._names[name], [])
                if name not in found[self._names[name]]:
                    found[self._names[name]].append(name)
            found.setdefault(image.id, [])
        return [(self._images[id], names) for id, names in found.items()]

    def _meant(self, text: str) -> list[str]:
        if text in self._images or f"sha256:{text}" in self._images:
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
        """Record an image; one that is here already stays as it is."""
        if known := self._images.get(id):
            return known
        self._records.put(KIND, id, msgspec.json.encode(record))
        self._images[id] = image = self._image(id, config, record)
        return image

    def tag(self, id: str, reference: Reference) -> Image:
        """Let a tag or digest lead to the image, wherever it led before."""
        name = str(reference)
        before = self._names.get(name)
        image = self._images[id]
        record = msgspec.structs.replace(image.record, tagged=timestamp(time.time()))
        with self._records.transaction():
            self._records.move(KIND, name, id)
            self._records.put(KIND, id, msgspec.json.encode(record))
        self._names[name] = id
        self._images[id] = msgspec.structs.replace(image, record=record)
        if before and before != id:
            self.refresh(before)
        return self.refresh(id)

    def untag(self, reference: Reference) -> None:
        """Let a name lead nowhere."""
        name = str(reference)
        self._records.release(KIND, name)
        if id := self._names.pop(name, None):
            self.refresh(id)

    def forget(self, id: str) -> None:
        """Forget an image and its names."""
        self._records.delete(KIND, id)
        self._names = {name: owner for name, owner in self._names.items() if owner != id}
        self._images.pop(id, None)

    def refresh(self, id: str) -> Image:
        """Work out an image's names and size again."""
        image = self._images[id]
        names = self.names_of(id)
        self._images[id] = image = msgspec.structs.replace(
            self._image(id, image.config, image.record),
            repo_tags=tuple(sorted(name.familiar() for name in names if name.tag)),
            repo_digests=tuple(sorted(name.familiar() for name in names if name.digest)),
        )
        return image
