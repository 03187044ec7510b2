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
    MANIFESTS,
    MEDIA_CONFIG,
    MEDIA_INDEX,
    MEDIA_MANIFEST,
    Descriptor,
    Manifest,
    PlatformDocument,
)
from nakagin.spec.reference import Reference
from nakagin.storage.tarread import DIRECTORY, Entry
from nakagin.storage.tarwrite import END, header, padding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nakagin.images.library import Images
    from nakagin.images.model import Image, IndexRecord
    from nakagin.storage.blobs import Blobs

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
            {"mediaType": layer.oci_type, "digest": layer.digest, "size": layer.size}
            for layer in image.record.layers
        ],
    }
    return msgspec.json.encode(document)


class Saved(NamedTuple):
    """What one word of a `save` means: an image, or the platforms of an index (its digest and record), with the full
    names that were meant."""

    images: Sequence[Image]
    names: Sequence[str]
    target: str = ""
    record: IndexRecord | None = None


class _Plan:
    """The parts of an archive, growing."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self.parts: dict[str, Part] = {}
        self.index: list[Descriptor] = []
        self.items: dict[str, dict[str, Any]] = {}
        self.repositories: dict[str, dict[str, str]] = {}

    def add(self, saved: Saved) -> None:
        found = [(image, self._image(image, saved.record)) for image in saved.images]
        if saved.target and saved.record:
            self._blob(saved.target)
            for digest in saved.record.blobs:
                self._blob(digest)
            plain = self._descriptor(saved.record.media_type, saved.target)
            self.index += _named(plain, saved.names)
        else:
            for image, manifest in found:
                self.index += _named({**manifest, "platform": _platform(image)}, saved.names)
        self._docker(saved.images[0], saved.names)
        for image in saved.images[1:]:
            self._docker(image, () if saved.target else saved.names)

    def _image(self, image: Image, record: IndexRecord | None) -> Descriptor:
        """Its blobs, and the manifest it came with, else one made for it."""
        self._blob(image.id)
        kept = [digest for digest, kind in image.record.manifests.items() if kind in MANIFESTS]
        if record:
            kept.sort(key=lambda digest: digest not in record.images)
        for digest in kept:
            listed = msgspec.json.decode(self._blobs.read(digest), type=_Layers)
            if all(self._blobs.exists(each["digest"]) for each in listed.layers or ()):
                for each in listed.layers or ():
                    self._blob(each["digest"])
                self._blob(digest)
                return self._descriptor(image.record.manifests[digest], digest)
        for layer in image.record.layers:
            self._blob(layer.digest)
        made = manifest_of(image, self._blobs.size(image.id))
        digest = digest_of(made)
        self.parts[digest] = _document(_path(digest), made)
        return {"mediaType": MEDIA_MANIFEST, "digest": digest, "size": len(made)}

    def _blob(self, digest: str) -> None:
        self.parts[digest] = Part(_path(digest), self._blobs.size(digest), blob=digest)

    def _descriptor(self, media_type: str, digest: str) -> Descriptor:
        return {"mediaType": media_type, "digest": digest, "size": self._blobs.size(digest)}

    def _docker(self, image: Image, names: Sequence[str]) -> None:
        """The image in the words of a docker archive. Whoever reads those takes plain and gzip layers."""
        for layer in image.record.layers:
            self._blob(layer.digest)
        references = [Reference.parse(name) for name in names]
        item = self.items.setdefault(
            image.id,
            {
                "Config": _path(image.id),
                "RepoTags": None,
                "Layers": [_path(layer.digest) for layer in image.record.layers],
            },
        )
        tags = [*(item["RepoTags"] or []), *(each.familiar() for each in references)]
        item["RepoTags"] = list(dict.fromkeys(tags)) or None
        for each in references:
            known = self.repositories.setdefault(each.familiar_name, {})
            known[each.tag or ""] = image.id.partition(":")[2]


class _Layers(msgspec.Struct):
    layers: list[Descriptor] | None = None


def parts_of(wanted: Sequence[Saved], blobs: Blobs) -> list[Part]:
    """What the archive of these images consists of."""
    plan = _Plan(blobs)
    for saved in wanted:
        plan.add(saved)
    documents = [
        ("index.json", {"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": plan.index}),
        ("manifest.json", list(plan.items.values())),
        ("oci-layout", {"imageLayoutVersion": LAYOUT_VERSION}),
        *([("repositories", plan.repositories)] if plan.repositories else []),
    ]
    return [
        *(plan.parts[digest] for digest in sorted(plan.parts)),
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


def saving(images: Images, parts: Sequence[Part]) -> Iterator[bytes]:
    """The bytes of an archive whose blobs are kept meanwhile."""
    with images.keeping() as keep:
        for part in parts:
            if part.blob:
                keep(part.blob)
        yield from packed(parts, images.blobs.open)


def _document(path: str, data: bytes) -> Part:
    return Part(path, len(data), data)


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _platform(image: Image) -> PlatformDocument:
    found: PlatformDocument = {"architecture": image.architecture, "os": image.os}
    if image.variant:
        found["variant"] = image.variant
    return found


def _named(descriptor: Descriptor, names: Sequence[str]) -> list[Descriptor]:
    """One entry of index.json for each name, or one without a name."""
    if not names:
        return [descriptor]
    return [
        {
            **descriptor,
            "annotations": {
                ANNOTATION_CONTAINERD_NAME: name,
                ANNOTATION_REF_NAME: Reference.parse(name).tag or "",
            },
        }
        for name in names
    ]
