"""An index with all that it names, as far as it is here: what a push of several platforms consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nakagin.registry.model import DEEPEST_INDEX, Content, Descriptor, Index, Manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.storage.blobs import Blobs


class Gathered(NamedTuple):
    """`contents` are the manifests and inner indexes that are here whole, each behind what it names; `missing` is
    the rest of what the index names."""

    contents: Sequence[tuple[Content, Manifest | Index]]
    missing: Sequence[Descriptor]


def gather(blobs: Blobs, top: Descriptor) -> Gathered:
    """What an index, whose own bytes are here, names. Raises Damaged, NotFound."""
    contents: dict[str, tuple[Content, Manifest | Index]] = {}
    missing: dict[str, Descriptor] = {}

    def visit(descriptor: Descriptor, depth: int) -> None:
        content = _here(blobs, descriptor)
        document = content.decode() if content else None
        if isinstance(document, Index) and depth < DEEPEST_INDEX:
            for each in document.manifests:
                visit(each, depth + 1)
        if content is None or document is None or not _is_whole(blobs, document):
            missing[descriptor.digest] = descriptor
        else:
            contents[descriptor.digest] = content, document

    visit(top, 0)
    return Gathered(list(contents.values()), list(missing.values()))


def _here(blobs: Blobs, descriptor: Descriptor) -> Content | None:
    if not blobs.exists(descriptor.digest) or not (descriptor.is_index or descriptor.is_manifest):
        return None
    return Content(descriptor, blobs.read(descriptor.digest))


def _is_whole(blobs: Blobs, document: Manifest | Index) -> bool:
    return isinstance(document, Index) or all(blobs.exists(each.digest) for each in document.blobs)


def platform_word(descriptor: Descriptor) -> str:
    """What an entry of an index is for, in words."""
    if descriptor.platform is None or descriptor.platform.os in ("", "unknown"):
        return f"{descriptor.artifact_type or 'attestation'} {descriptor.digest[:19]}"
    return str(descriptor.platform.normal())
