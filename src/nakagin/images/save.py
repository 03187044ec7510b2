"""Writing images as one tar that is a docker archive and an OCI layout at once, as `docker save` does.

The plan is a list of named parts; `packed` turns it into bytes. The same images give the same bytes.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from nakagin.spec.digest import digest_of
from nakagin.spec.image import (
    ANNOTATION_CONTAINERD_NAME,
    ANNOTATION_REF_NAME,
    LAYOUT_VERSION,
    MEDIA_CONFIG,
    MEDIA_INDEX,
    MEDIA_MANIFEST,
    Descriptor,
    Manifest,
)
from nakagin.spec.reference import Reference
from nakagin.storage.tarread import DIRECTORY, Entry
from nakagin.storage.tarwrite import END, header, padding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nakagin.images.model import Image

_PIECE = 1 << 20


class Part(NamedTuple):
    """One file of the archive: either its bytes, or the blob that has them."""

    path: str
    size: int
    data: bytes = b""
    blob: str = ""


def manifest_of(image: Image, config_size: int) -> bytes:
    """The OCI manifest of an image as it is stored here."""
    document: Manifest = {
        "schemaVersion": 2,
        "mediaType": MEDIA_MANIFEST,
        "config": {"mediaType": MEDIA_CONFIG, "digest": image.id, "size": config_size},
        "layers": [
            {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}
            for layer in image.record.layers
        ],
    }
    return msgspec.json.encode(document)


def parts_of(images: Sequence[tuple[Image, Sequence[str]]], size_of: Callable[[str], int]) -> list[Part]:
    """What the archive of these images, each under these full names, consists of."""
    blobs: dict[str, Part] = {}
    index: list[Descriptor] = []
    items: list[dict[str, Any]] = []
    repositories: dict[str, dict[str, str]] = {}
    for image, names in images:
        for digest, size in [
            (image.id, size_of(image.id)),
            *((layer.digest, layer.size) for layer in image.record.layers),
        ]:
            blobs[digest] = Part(_path(digest), size, blob=digest)
        manifest = manifest_of(image, size_of(image.id))
        blobs[digest_of(manifest)] = _document(_path(digest_of(manifest)), manifest)
        index += _descriptors(image, manifest, names)
        references = [Reference.parse(name) for name in names]
        items.append(
            {
                "Config": _path(image.id),
                "RepoTags": [each.familiar() for each in references] or None,
                "Layers": [_path(layer.digest) for layer in image.record.layers],
            }
        )
        for each in references:
            repositories.setdefault(each.familiar_name, {})[each.tag or ""] = image.id.partition(":")[2]
    documents = [
        ("index.json", {"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": index}),
        ("manifest.json", items),
        ("oci-layout", {"imageLayoutVersion": LAYOUT_VERSION}),
        *([("repositories", repositories)] if repositories else []),
    ]
    return [
        *(blobs[digest] for digest in sorted(blobs)),
        *(_document(path, msgspec.json.encode(document)) for path, document in documents),
    ]


def packed(parts: Sequence[Part], open_blob: Callable[[str], IO[bytes]]) -> Iterator[bytes]:
    """The bytes of the tar, in pieces of at most a megabyte."""
    algorithms = sorted({part.path.rpartition("/")[0] for part in parts if "/" in part.path})
    yield b"".join(header(Entry(path.encode(), DIRECTORY, 0o755)) for path in ("blobs", *algorithms))
    for part in parts:
        entry = Entry(part.path.encode())
        entry.size = part.size
        yield header(entry)
        if part.blob:
            with open_blob(part.blob) as stream:
                while piece := stream.read(_PIECE):
                    yield piece
        else:
            yield part.data
        yield padding(part.size)
    yield END


def _document(path: str, data: bytes) -> Part:
    return Part(path, len(data), data)


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _descriptors(image: Image, manifest: bytes, names: Sequence[str]) -> list[Descriptor]:
    """One entry of index.json for each name, or one without a name."""
    plain: Descriptor = {
        "mediaType": MEDIA_MANIFEST,
        "digest": digest_of(manifest),
        "size": len(manifest),
        "platform": {"architecture": image.architecture, "os": image.os},
    }
    if image.variant:
        plain["platform"]["variant"] = image.variant
    if not names:
        return [plain]
    return [
        {
            **plain,
            "annotations": {
                ANNOTATION_CONTAINERD_NAME: name,
                ANNOTATION_REF_NAME: Reference.parse(name).tag or "",
            },
        }
        for name in names
    ]
