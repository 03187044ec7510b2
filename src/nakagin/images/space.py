"""Which bytes on the disk belong to which images: blobs and unpacked layers, each counted once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from nakagin.spec.digest import chain_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nakagin.images.model import Image


class Space(NamedTuple):
    """An image's bytes, and how many of them other images have too."""

    size: int
    shared: int


def parts_of(image: Image) -> set[str]:
    """What an image has on the disk: blobs by digest, layers by chain ID (marked, as the lowest has the name of a
    plain blob)."""
    record = image.record
    blobs = (image.id, *record.manifests, *record.blobs, *(layer.digest for layer in record.layers))
    return {*blobs, *(f"layer {chain}" for chain in chain_ids(image.diff_ids))}


def spaces(images: Iterable[Image], sizes: Mapping[str, int]) -> dict[str, Space]:
    """The space of every image by id; `sizes` are those of the parts on the disk."""
    parts = {image.id: parts_of(image) for image in images}
    users = Counter(part for found in parts.values() for part in found)
    return {
        id: Space(
            sum(sizes.get(part, 0) for part in found),
            sum(sizes.get(part, 0) for part in found if users[part] > 1),
        )
        for id, found in parts.items()
    }
