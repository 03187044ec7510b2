"""Archives of what a build has made, straight from its documents: an OCI layout that docker can load as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.build.assembly import kind_of
from nakagin.images.save import Part
from nakagin.spec.digest import digest_of
from nakagin.spec.image import (
    ANNOTATION_CONTAINERD_NAME,
    ANNOTATION_REF_NAME,
    LAYOUT_VERSION,
    MEDIA_INDEX,
)
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nakagin.build.attestations import Attached
    from nakagin.images.model import StoredLayer


class Written(NamedTuple):
    """One image: its config and manifest as bytes, its layers as blobs."""

    config: bytes
    manifest: bytes
    layers: Sequence[StoredLayer]
    attached: Attached | None = None
    """What is attested of it."""


def parts_of(
    images: Sequence[Written], index: bytes, names: Sequence[str], annotations: Mapping[str, str]
) -> list[Part]:
    """The files of the archive. With an index, the names lead to that; `annotations` are those of its descriptor."""
    top = index or images[0].manifest
    kind = kind_of(top)
    documents = [
        document
        for image in images
        for document in (
            image.config, image.manifest, *(image.attached.documents() if image.attached else ()),
        )
    ]  # fmt: skip
    blobs = {layer.digest: layer.size for image in images for layer in image.layers}
    found = [
        *map(blob_part, documents),
        *(Part(_path(each), size, blob=each) for each, size in blobs.items()),
    ]
    parts = {each.path: each for each in (*found, *([blob_part(index)] if index else []))}
    return [
        *(parts[path] for path in sorted(parts)),
        *top_parts(kind, top, names, annotations),
        _document("manifest.json", [_docker(image, names if image is images[0] else ()) for image in images]),
    ]


def top_parts(kind: str, top: bytes, names: Sequence[str], annotations: Mapping[str, str] = {}) -> list[Part]:
    """index.json and the layout's mark."""
    descriptor = {"mediaType": kind, "digest": digest_of(top), "size": len(top)}
    listed = [{**descriptor, "annotations": {**annotations, **_name(name)}} for name in names]
    if not listed:
        listed = [{**descriptor, **({"annotations": dict(annotations)} if annotations else {})}]
    return [
        _document("index.json", {"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": listed}),
        _document("oci-layout", {"imageLayoutVersion": LAYOUT_VERSION}),
    ]


def _name(name: str) -> dict[str, str]:
    return {ANNOTATION_CONTAINERD_NAME: name, ANNOTATION_REF_NAME: Reference.parse(name).tag or ""}


def _docker(image: Written, names: Sequence[str]) -> dict[str, object]:
    return {
        "Config": _path(digest_of(image.config)),
        "RepoTags": [Reference.parse(name).familiar() for name in names] or None,
        "Layers": [_path(layer.digest) for layer in image.layers],
    }


def blob_part(data: bytes) -> Part:
    """A document as a blob of a layout."""
    return Part(_path(digest_of(data)), len(data), data)


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _document(path: str, document: object) -> Part:
    data = msgspec.json.encode(document)
    return Part(path, len(data), data)
