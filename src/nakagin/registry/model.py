"""What registries exchange: descriptors, manifests and indexes, in OCI's and Docker's (schema 2) media types.

The bytes of a document are what counts, since digests name them: they are kept and passed on as they came, and
these values are only a view of them. Everything read here was written by a stranger, so everything is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from nakagin.errors import Damaged, Unsupported
from nakagin.spec.digest import algorithm, encoded, hasher, is_digest
from nakagin.spec.image import INDEXES, MANIFESTS, MEDIA_INDEX, MEDIA_MANIFEST
from nakagin.spec.platform import Platform, choose

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LARGEST_MANIFEST = 4 << 20
"""Bytes of a manifest or index: what registries must accept at least (distribution specification, "Pushing
Manifests"), and what the well-known ones accept at most."""
LARGEST_CONFIG = 16 << 20
MOST_LAYERS = 1000
MOST_MANIFESTS = 10_000
DEEPEST_INDEX = 4

ACCEPTED = (*sorted(MANIFESTS), *sorted(INDEXES))
"""What a client takes for a manifest; the value of the Accept header."""

SCHEMA_1 = frozenset(
    (
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    )
)
_VAGUE = frozenset(("", "application/json", "application/octet-stream", "text/plain"))
_LARGEST_SIZE = (1 << 63) - 1

Size = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST_SIZE)]
Document = TypeVar("Document", bound=msgspec.Struct)


class PlatformOf(msgspec.Struct, frozen=True, omit_defaults=True):
    """The `platform` of a descriptor in an index (image-index.md)."""

    architecture: str = ""
    os: str = ""
    os_version: str = msgspec.field(default="", name="os.version")
    os_features: tuple[str, ...] = msgspec.field(default=(), name="os.features")
    variant: str = ""

    def normal(self) -> Platform:
        """As the rest of the house has it."""
        return Platform.make(self.os, self.architecture, self.variant, self.os_version)


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What points at a blob or manifest: media type, digest, and size in bytes (descriptor.md)."""

    media_type: str
    digest: str
    size: Size
    urls: tuple[str, ...] | None = None
    annotations: dict[str, str] | None = None
    data: str | None = None
    """The content itself in base64, for small ones."""
    artifact_type: str = ""
    platform: PlatformOf | None = None

    @property
    def is_index(self) -> bool:
        """Whether it points at several manifests."""
        return self.media_type in INDEXES

    @property
    def is_manifest(self) -> bool:
        """Whether it points at one manifest."""
        return self.media_type in MANIFESTS

    @property
    def is_foreign(self) -> bool:
        """Whether it points at a layer that registries may not hand out (nondistributable, or foreign)."""
        return "nondistributable" in self.media_type or "foreign" in self.media_type


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One image (or other artifact) for one platform (manifest.md)."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = MEDIA_MANIFEST
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None

    @property
    def blobs(self) -> Sequence[Descriptor]:
        """Everything that must be there before it: the config, then the layers, bottom first."""
        return (self.config, *self.layers)


class Index(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Several manifests, usually of one image for several platforms (image-index.md)."""

    manifests: tuple[Descriptor, ...]
    media_type: str = MEDIA_INDEX
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None

    def choose(self, wanted: Platform) -> Descriptor | None:
        """The manifest (or inner index) that suits a platform best; None where there is none.

        Entries that say nothing of a platform come last; attestations ("unknown") never.
        """
        offers = [
            (each.platform.normal(), each)
            for each in self.manifests
            if each.platform is not None and each.platform.os not in ("", "unknown")
        ]
        if found := choose(offers, wanted):
            return found
        return next(
            (each for each in self.manifests if each.platform is None and not each.artifact_type), None
        )

    def platforms(self) -> Sequence[Platform]:
        """What it has manifests for, in its order."""
        return [
            each.platform.normal()
            for each in self.manifests
            if each.platform is not None and each.platform.os not in ("", "unknown")
        ]


class Content(msgspec.Struct, frozen=True):
    """A manifest or index with the very bytes it came as."""

    descriptor: Descriptor
    data: bytes

    def decode(self) -> Manifest | Index:
        """What the bytes say. Raises Damaged, Unsupported."""
        return decode(self.data, self.descriptor.media_type)


def decode(data: bytes, media_type: str = "") -> Manifest | Index:
    """The manifest or index in `data`, which the registry calls `media_type` ("" where it says nothing).

    Raises Damaged for what is none, and Unsupported for Docker's schema 1.
    """
    if len(data) > LARGEST_MANIFEST:
        raise Damaged(f"the manifest has {len(data)} bytes, more than the {LARGEST_MANIFEST} allowed")
    document = _object(data)
    kind = _kind(document, media_type.partition(";")[0].strip().lower())
    if kind in INDEXES:
        index = _converted({**document, "mediaType": kind}, Index)
        _check_count(len(index.manifests), MOST_MANIFESTS, "manifests")
        _check_digests(index.manifests)
        return index
    manifest = _converted({**document, "mediaType": kind}, Manifest)
    _check_count(len(manifest.layers), MOST_LAYERS, "layers")
    _check_digests(manifest.blobs)
    return manifest


def media_type_of(data: bytes, said: str = "") -> str:
    """The media type of a manifest's bytes, which the registry calls `said`. Raises as `decode`."""
    return _kind(_object(data), said.partition(";")[0].strip().lower())


def verify(data: bytes, digest: str) -> None:
    """Damaged unless the bytes have the digest."""
    check = hasher(algorithm(digest))
    check.update(data)
    if check.hexdigest() != encoded(digest):
        raise Damaged(
            f"received bytes have the digest {algorithm(digest)}:{check.hexdigest()}, not {digest}",
            hint="the registry or something before it alters content; try another mirror",
        )


def encode(document: Manifest | Index) -> bytes:
    """The bytes of a manifest or index of our own making."""
    return msgspec.json.encode(
        {"schemaVersion": 2, **msgspec.to_builtins(document)} | {"mediaType": document.media_type}
    )


def _object(data: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"the manifest is no JSON document: {error}") from None
    if not isinstance(document, dict):
        raise Damaged("the manifest is no JSON object")
    return document


def _kind(document: dict[str, Any], said: str) -> str:
    """One media type out of what the registry and the document say. CVE-2021-41190: a document that can be read
    as manifest and as index, or that calls itself otherwise than the registry does, is refused."""
    own = document.get("mediaType") or ""
    if not isinstance(own, str):
        raise Damaged("the manifest's media type is no text")
    if said in SCHEMA_1 or own in SCHEMA_1 or document.get("schemaVersion") == 1:
        raise Unsupported(
            "the manifest is of Docker's schema 1, which nobody writes any more",
            hint="push the image again with a present-day tool",
        )
    looks = MEDIA_INDEX if "manifests" in document else MEDIA_MANIFEST
    if "manifests" in document and ("layers" in document or "config" in document):
        raise Damaged("the manifest is ambiguous: it has both manifests and layers")
    kind = own or (said if said not in _VAGUE else looks)
    if said not in _VAGUE and own and said != own:
        raise Damaged(f"the manifest calls itself {own!r}, the registry calls it {said!r}")
    if kind not in MANIFESTS and kind not in INDEXES:
        raise Unsupported(f"unsupported manifest media type {kind[:100]!r}")
    if (kind in INDEXES) != (looks == MEDIA_INDEX):
        raise Damaged(f"the manifest is not what its media type {kind!r} says")
    return kind


def _converted(document: dict[str, Any], kind: type[Document]) -> Document:
    # Go writes null for an empty list.
    for key in ("layers", "manifests"):
        if document.get(key, ...) is None:
            document[key] = []
    try:
        return msgspec.convert(document, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Damaged(f"the manifest is not as it should be: {error}") from None


def _check_count(count: int, most: int, what: str) -> None:
    if count > most:
        raise Damaged(f"the manifest lists {count} {what}, more than the {most} allowed")


def _check_digests(descriptors: Iterable[Descriptor]) -> None:
    for each in descriptors:
        if not is_digest(each.digest):
            raise Damaged(f"the manifest has {each.digest[:100]!r} where a digest belongs")
