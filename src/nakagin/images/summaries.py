"""Docker's ImageManifestSummary (API 1.47) of everything that an image's index lists: here or not, image or other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from nakagin.errors import NakaginError
from nakagin.images.describe import platform_document
from nakagin.images.entries import Entry, entries_of
from nakagin.registry.model import Manifest, decode
from nakagin.spec.image import MANIFESTS, MEDIA_MANIFEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.images.model import Image
    from nakagin.storage.blobs import Blobs


def summaries(
    blobs: Blobs,
    image: Image,
    platforms: Sequence[Image],
    users: Callable[[str], Sequence[str]],
    identity: Callable[[Image], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Of an image and its other `platforms` that are here, in the order of their index, then of what is only listed
    there. `users` tells the containers of an image, `identity` fields about where it comes from."""
    entries = {each.descriptor.digest: each for each in entries_of(blobs, image.index)}
    here = [_of_image(blobs, each, list(entries)) for each in platforms]
    for each, document in zip(platforms, here, strict=True):
        document["ImageData"] |= {"Containers": list(users(each.id)), **identity(each)}
    known = {each["ID"]: each for each in here}
    listed = [known.get(digest) or _of_entry(blobs, each) for digest, each in entries.items()]
    return [*(each for each in here if each["ID"] not in entries), *listed]


def _of_image(blobs: Blobs, image: Image, listed: Sequence[str]) -> dict[str, Any]:
    kept = [digest for digest, kind in image.record.manifests.items() if kind in MANIFESTS]
    kept.sort(key=lambda digest: digest not in listed)
    digest = kept[0] if kept else image.id
    platform = platform_document(image)
    content = _sizes(blobs, {digest, image.id, *(layer.digest for layer in image.record.layers)})
    return {
        "ID": digest,
        "Descriptor": {
            "mediaType": image.record.manifests.get(digest, MEDIA_MANIFEST),
            "digest": digest,
            "size": _sizes(blobs, {digest}),
            "platform": platform,
        },
        "Available": True,
        "Size": {"Content": content, "Total": content + image.size},
        "Kind": "image",
        "ImageData": {"Platform": platform, "Size": {"Unpacked": image.size}},
    }


def _of_entry(blobs: Blobs, entry: Entry) -> dict[str, Any]:
    """Something that is no image here: another platform, an attestation, or what nobody here knows."""
    descriptor = entry.descriptor
    parts = _parts(blobs, entry)
    content = _sizes(blobs, {descriptor.digest, *parts})
    document: dict[str, Any] = {
        "ID": descriptor.digest,
        "Descriptor": msgspec.to_builtins(descriptor),
        "Available": bool(parts) and all(map(blobs.exists, parts)),
        "Size": {"Content": content, "Total": content},
        "Kind": "attestation" if entry.attested else "image" if entry.is_image else "unknown",
    }
    if entry.attested:
        document["AttestationData"] = {"For": entry.attested}
    elif entry.is_image:
        where = msgspec.to_builtins(descriptor.platform)
        document["ImageData"] = {"Platform": where, "Containers": [], "Size": {"Unpacked": 0}}
    return document


def _parts(blobs: Blobs, entry: Entry) -> list[str]:
    """The blobs that a manifest names, where it is here."""
    try:
        document = decode(blobs.read(entry.descriptor.digest), entry.descriptor.media_type)
    except NakaginError:
        return []
    return [each.digest for each in document.blobs] if isinstance(document, Manifest) else []


def _sizes(blobs: Blobs, digests: set[str]) -> int:
    return sum(blobs.size(digest) for digest in digests if blobs.exists(digest))
