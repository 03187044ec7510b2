"""What an index that is kept here lists, through the indexes inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nakagin.errors import NakaginError
from nakagin.registry.model import DEEPEST_INDEX, Descriptor, Index, decode
from nakagin.spec.image import ANNOTATION_REFERENCE_DIGEST, ANNOTATION_REFERENCE_TYPE, ATTESTATION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nakagin.storage.blobs import Blobs


class Entry(NamedTuple):
    """One manifest of an index."""

    descriptor: Descriptor

    @property
    def attested(self) -> str:
        """The digest of the manifest that this one attests something of (as BuildKit notes it); "" for others."""
        notes = self.descriptor.annotations or {}
        is_one = notes.get(ANNOTATION_REFERENCE_TYPE) == ATTESTATION
        return notes.get(ANNOTATION_REFERENCE_DIGEST, "") if is_one else ""

    @property
    def is_image(self) -> bool:
        """Whether it is an image for a platform that there is."""
        where = self.descriptor.platform
        return self.descriptor.is_manifest and where is not None and where.os not in ("", "unknown")


def entries_of(blobs: Blobs, index: str) -> list[Entry]:
    """The manifests that the index with this digest lists, in its order; none for "" or what is no index."""
    return list(_listed(blobs, index, 0)) if index else []


def _listed(blobs: Blobs, digest: str, depth: int) -> Iterator[Entry]:
    try:
        document = decode(blobs.read(digest))
    except NakaginError:
        return
    for each in document.manifests if isinstance(document, Index) else ():
        if each.is_index and depth < DEEPEST_INDEX and blobs.exists(each.digest):
            yield from _listed(blobs, each.digest, depth + 1)
        else:
            yield Entry(each)
