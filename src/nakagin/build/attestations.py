"""Attestations: what is said of an image (where it comes from, what is in it), in in-toto's form. Pure.

They are kept as BuildKit keeps them (docs/attestations/attestation-storage.md): each image's statements are the layers
of a manifest of their own, which stands in the image's index for the platform unknown/unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.dockerfile.fault import nearest
from nakagin.errors import Invalid
from nakagin.spec.digest import digest_of
from nakagin.spec.image import (
    ANNOTATION_PREDICATE_TYPE,
    ANNOTATION_REFERENCE_DIGEST,
    ANNOTATION_REFERENCE_TYPE,
    ATTESTATION,
    MEDIA_CONFIG,
    MEDIA_MANIFEST,
    MEDIA_STATEMENT,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_STATEMENT = "https://in-toto.io/Statement/v0.1"
_TRUTH = {"": True, "true": True, "1": True, "false": False, "0": False}
_PROVENANCE = frozenset(
    {"mode", "version", "builder-id", "reproducible", "inline-only", "filename", "disabled"}
)
_BILL = frozenset({"generator", "disabled"})


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """`--provenance`: with `full` (mode=max) build arguments, secrets' names and every step are told, too."""

    full: bool = False
    version: str = "v0.2"
    builder: str = ""
    reproducible: bool = False


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a build shall attest. `generator` is the scanner that somebody named; only our own inventory is made."""

    provenance: Provenance | None = None
    bill: bool = False
    generator: str = ""

    def __bool__(self) -> bool:
        return self.bill or self.provenance is not None


def wanted(asked: Mapping[str, Mapping[str, str]], *, strict: bool = True) -> Wanted:
    """Attributes by kind ("provenance", "sbom"), as BuildKit has them. Raises Invalid; unless `strict`, attributes
    that nobody knows are left out, as BuildKit has it too."""
    for kind in asked:
        if kind not in ("provenance", "sbom"):
            hint = nearest(kind, ("provenance", "sbom")) or "known are provenance and sbom"
            raise Invalid(f"unknown attestation type {kind!r}", hint=hint)
    bill = _known("sbom", asked.get("sbom"), _BILL, strict=strict)
    provenance = _known("provenance", asked.get("provenance"), _PROVENANCE, strict=strict)
    return Wanted(
        provenance=_provenance(provenance) if provenance is not None else None,
        bill=bill is not None,
        generator=(bill or {}).get("generator", ""),
    )


def _known(
    kind: str, asked: Mapping[str, str] | None, known: frozenset[str], *, strict: bool
) -> Mapping[str, str] | None:
    """The attributes; None where nothing of the kind was asked for."""
    if asked is None:
        return None
    for name in asked:
        if name not in known and strict:
            hint = nearest(name, known) or f"it knows {', '.join(sorted(known))}"
            raise Invalid(f"the attestation {kind} does not know {name!r}", hint=hint)
    if "disabled" in asked and _on("disabled", asked["disabled"]):
        return None
    # Only for the build's own record, not for the image.
    if "inline-only" in asked and _on("inline-only", asked["inline-only"]):
        return None
    return asked


def _provenance(asked: Mapping[str, str]) -> Provenance:
    mode, version = asked.get("mode") or "min", asked.get("version") or "v0.2"
    if mode not in ("min", "max"):
        raise Invalid(f"unknown mode {mode!r} of the attestation provenance", hint="min or max")
    if version not in ("v0.2", "v1"):
        raise Invalid(f"unknown version {version!r} of the attestation provenance", hint="v0.2 or v1")
    reproducible = _on("reproducible", asked.get("reproducible", "false"))
    return Provenance(
        full=mode == "max", version=version, builder=asked.get("builder-id", ""), reproducible=reproducible
    )


def _on(name: str, text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise Invalid(f"invalid value {text!r} for {name} of an attestation", hint="write true or false")
    return _TRUTH[text.lower()]


class Predicate(NamedTuple):
    """What is said: the type's URI, and a JSON document; `file` is its name among files."""

    type: str
    document: object
    file: str


class Subject(NamedTuple):
    """What it is said of: a name (a package URL, a path), and its digest ("sha256:…")."""

    name: str
    digest: str


def statement(predicate: Predicate, subjects: Sequence[Subject]) -> bytes:
    """An in-toto statement."""
    described = []
    for each in subjects:
        algorithm, _, value = each.digest.partition(":")
        described.append({"name": each.name, "digest": {algorithm: value}})
    return msgspec.json.encode(
        {
            "_type": _STATEMENT,
            "predicateType": predicate.type,
            "subject": described,
            "predicate": predicate.document,
        }
    )


class Attached(NamedTuple):
    """The attestation manifest of one image; `of` is the digest of the image's manifest."""

    of: str
    manifest: bytes
    config: bytes
    statements: tuple[bytes, ...]

    def documents(self) -> tuple[bytes, ...]:
        """Every blob that it consists of, itself included."""
        return (*self.statements, self.config, self.manifest)

    def descriptor(self) -> dict[str, object]:
        """As it stands in the index."""
        return {
            "mediaType": MEDIA_MANIFEST,
            "digest": digest_of(self.manifest),
            "size": len(self.manifest),
            "annotations": {ANNOTATION_REFERENCE_DIGEST: self.of, ANNOTATION_REFERENCE_TYPE: ATTESTATION},
            "platform": {"architecture": "unknown", "os": "unknown"},
        }


def attached(manifest: str, predicates: Sequence[Predicate], subjects: Sequence[Subject]) -> Attached:
    """Statements about the image with this manifest's digest."""
    statements = tuple(statement(each, subjects) for each in predicates)
    digests = [digest_of(each) for each in statements]
    config = msgspec.json.encode(
        {
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": digests},
        }
    )
    layers = [
        {
            "mediaType": MEDIA_STATEMENT,
            "digest": digest,
            "size": len(data),
            "annotations": {ANNOTATION_PREDICATE_TYPE: each.type},
        }
        for each, data, digest in zip(predicates, statements, digests, strict=True)
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": MEDIA_MANIFEST,
        "config": {"mediaType": MEDIA_CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": layers,
    }
    return Attached(manifest, msgspec.json.encode(document), config, statements)
