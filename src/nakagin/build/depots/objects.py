"""A cache in an object store: `PREFIXmanifests/NAME.nakagin` is the document, `PREFIXblobs/DIGEST` are its blobs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from nakagin.build.depots.exchange import exchanged, stream
from nakagin.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping

    from nakagin.build.depots.model import Signed, Store
    from nakagin.registry.wire import Wire


class Objects:
    """One cache; see `model.Depot`."""

    def __init__(self, wire: Wire, store: Store, attributes: Mapping[str, str]) -> None:
        self._wire = wire
        self._store = store
        prefix = attributes.get("prefix", "")
        blobs = attributes.get("blobs_prefix") or "blobs/"
        manifests = attributes.get("manifests_prefix") or "manifests/"
        self._blobs = f"{prefix}{blobs}"
        # Not the name itself: that may be a cache of BuildKit's.
        self._document = f"{prefix}{manifests}{attributes.get('name') or 'buildkit'}.nakagin"

    async def load(self) -> bytes | None:
        signed = self._store.signed("GET", self._document)
        answer = await exchanged(self._wire, "GET", signed)
        return None if answer.status == 404 else answer.data

    async def save(self, document: bytes) -> None:
        digest = hashlib.sha256(document).hexdigest()
        signed = self._store.signed("PUT", self._document, size=len(document), digest=digest)
        await self._put(signed, document)

    async def has(self, digest: str) -> bool:
        signed = self._store.signed("HEAD", self._blobs + digest)
        return (await exchanged(self._wire, "HEAD", signed)).status != 404

    async def fetch(self, digest: str) -> AsyncIterator[bytes]:
        signed = self._store.signed("GET", self._blobs + digest)
        async with stream(self._wire, signed) as answer:
            if answer is None:
                raise NotFound(f"the cache lacks the blob {digest}")
            async for piece in answer:
                yield piece

    async def store(self, digest: str, size: int, body: AsyncIterable[bytes]) -> None:
        plain = digest.partition(":")[2]
        signed = self._store.signed("PUT", self._blobs + digest, size=size, digest=plain)
        await self._put(signed, body)

    async def _put(self, signed: Signed, data: bytes | AsyncIterable[bytes]) -> None:
        if (await exchanged(self._wire, "PUT", signed, data)).status == 404:
            raise NotFound(
                f"{signed.url.authority} has no such bucket or container",
                hint="make it, and check bucket=, container= and region=",
            )
