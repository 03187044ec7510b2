"""What builders attest of an image: manifests in its index that refer to its own, with in-toto statements for layers.

They come along with a `load`; a pull leaves them where they are, and they are read there when somebody asks.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from nakagin.errors import Damaged, NakaginError, NotFound
from nakagin.images.entries import entries_of
from nakagin.registry.model import LARGEST_CONFIG, Descriptor, Manifest, decode
from nakagin.spec.image import ANNOTATION_PREDICATE_TYPE, MEDIA_STATEMENT
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.images.library import Images
    from nakagin.images.model import Image
    from nakagin.registry.credentials import Credentials
    from nakagin.registry.registries import Registries


class Attestations:
    """All reading of attestations of one engine."""

    def __init__(self, images: Images, registries: Registries) -> None:
        self._images = images
        self._registries = registries

    async def of(
        self, image: Image, credentials: Credentials, *, types: Sequence[str] = (), whole: bool = False
    ) -> list[dict[str, Any]]:
        """Docker's AttestationStatement of each statement about an image: of these predicate types, or of all; the
        statements themselves only where the `whole` is wanted. Raises NotFound, Denied, Unavailable, Damaged."""
        found: list[dict[str, Any]] = []
        for entry in await asyncio.to_thread(entries_of, self._images.blobs, image.index):
            if entry.attested not in image.record.manifests:
                continue
            data = await self._document(image, entry.descriptor, credentials, is_manifest=True)
            manifest = decode(data, entry.descriptor.media_type)
            for layer in manifest.layers if isinstance(manifest, Manifest) else ():
                predicate = (layer.annotations or {}).get(ANNOTATION_PREDICATE_TYPE, "")
                if layer.media_type != MEDIA_STATEMENT or (types and predicate not in types):
                    continue
                document: dict[str, Any] = {
                    "Descriptor": msgspec.to_builtins(layer),
                    "PredicateType": predicate,
                }
                if whole:
                    data = await self._document(image, layer, credentials, is_manifest=False)
                    document["Statement"] = _statement(layer, data)
                found.append(document)
        return found

    async def _document(
        self, image: Image, descriptor: Descriptor, credentials: Credentials, *, is_manifest: bool
    ) -> bytes:
        """Its bytes from here, else from a repository that the image is known to be in."""
        if descriptor.size > LARGEST_CONFIG:
            raise Damaged(
                f"an attestation has {descriptor.size} bytes, more than the {LARGEST_CONFIG} allowed"
            )
        if self._images.blobs.exists(descriptor.digest):
            return await asyncio.to_thread(self._images.blobs.read, descriptor.digest)
        last: NakaginError | None = None
        for reference in map(Reference.parse, image.repo_digests):
            for source in self._registries.sources(reference.domain, credentials):
                try:
                    if is_manifest:
                        return (await source.get_manifest(reference.path, descriptor.digest)).data
                    return await source.read_blob(reference.path, descriptor.digest, descriptor.size)
                except NakaginError as error:
                    last = error
        raise last or NotFound(f"nobody has the attestation {descriptor.digest}")


def _statement(layer: Descriptor, data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"the statement {layer.digest} is no JSON document: {error}") from None
