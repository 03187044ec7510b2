"""What the registry reads of a manifest that is pushed: its media type, what it needs, and whom it refers to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from nakagin.errors import Damaged, Unsupported
from nakagin.registry.model import Index, Manifest, decode
from nakagin.registry.server.refusals import manifest_invalid
from nakagin.spec.digest import is_digest


class Reading(NamedTuple):
    """A manifest's own words: what it needs in its repository, and its place among referrers."""

    media_type: str
    blobs: Sequence[str]
    manifests: Sequence[str]
    subject: str
    descriptor: dict[str, Any]
    """What the referrers' list says of it, without digest and size."""

    @property
    def needs(self) -> Sequence[str]:
        """Every digest that it leads to, its subject not among them."""
        return (*self.blobs, *self.manifests)


def read(data: bytes, media_type: str = "") -> Reading:
    """The reading of a manifest's or index's bytes. Refusal MANIFEST_INVALID."""
    try:
        document = decode(data, media_type)
    except (Damaged, Unsupported) as error:
        raise manifest_invalid(str(error)) from None
    subject = document.subject.digest if document.subject else ""
    if subject and not is_digest(subject):
        raise manifest_invalid("the manifest's subject has no digest of a known algorithm")
    descriptor: dict[str, Any] = {"mediaType": document.media_type}
    if artifact_type := _artifact_type(document):
        descriptor["artifactType"] = artifact_type
    if document.annotations:
        descriptor["annotations"] = document.annotations
    if isinstance(document, Index):
        children = [each.digest for each in document.manifests]
        return Reading(document.media_type, (), children, subject, descriptor)
    blobs = [each.digest for each in document.blobs if not (each.urls or each.is_foreign)]
    return Reading(document.media_type, blobs, (), subject, descriptor)


def _artifact_type(document: Manifest | Index) -> str:
    """Of an image manifest without one, its config's media type counts (specification, "Listing Referrers")."""
    if document.artifact_type or isinstance(document, Index):
        return document.artifact_type
    return document.config.media_type
