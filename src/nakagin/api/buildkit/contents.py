"""A build cache in a folder of a BuildKit client (`type=local`): containerd's content service, which the client serves.

The client names the store by its folder, the manifest to read by `digest`; which one was written, it is told in the
answer of the build (`cache.manifest`), and keeps that in the folder's index.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nakagin.api.buildkit.http2 import ALREADY_EXISTS, NOT_FOUND, Connection, RemoteError
from nakagin.api.buildkit.protobuf import Message, encode
from nakagin.build import cache_document as wire
from nakagin.errors import Damaged
from nakagin.registry.model import Manifest, decode
from nakagin.spec.digest import digest_of
from nakagin.spec.image import MEDIA_MANIFEST

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping

_SERVICE = "/containerd.services.content.v1.Content/"
CONTENTS = f"{_SERVICE}Write"
"""The method by which a client shows that it has such folders."""
_STORE = "buildkit-attachable-store-id"
_STAT, _WRITE, _COMMIT = 0, 1, 2


class Contents:
    """One folder; see `nakagin.build.depots.model.Depot`. `written` is the descriptor of the last manifest, as JSON."""

    def __init__(self, connection: Connection, attributes: Mapping[str, str]) -> None:
        folder = attributes.get("dest") or attributes.get("src") or ""
        self._connection = connection
        self._digest = attributes.get("digest", "")
        self._metadata = [(_STORE, f"local:{folder}")]
        self.written = b""

    async def load(self) -> bytes | None:
        if not self._digest:
            return None
        manifest = decode(await self._read(self._digest))
        if not isinstance(manifest, Manifest) or manifest.config.media_type != wire.MEDIA_CACHE:
            raise Damaged(
                "the folder has a cache of another builder", hint="give this one a folder of its own"
            )
        return await self._read(manifest.config.digest)

    async def save(self, document: bytes) -> None:
        manifest = wire.manifest_of(document, wire.decode(document))
        for data in (document, manifest):
            await self.store(digest_of(data), len(data), _once(data))
        descriptor = {"mediaType": MEDIA_MANIFEST, "digest": digest_of(manifest), "size": len(manifest)}
        self.written = msgspec.json.encode(descriptor)

    async def has(self, digest: str) -> bool:
        try:
            await self._connection.unary(f"{_SERVICE}Info", encode([(1, digest)]), self._metadata)
        except RemoteError as error:
            if error.code == NOT_FOUND:
                return False
            raise
        return True

    async def fetch(self, digest: str) -> AsyncIterator[bytes]:
        call = await self._connection.call(f"{_SERVICE}Read", self._metadata)
        await call.send(encode([(1, digest)]))
        call.end_sending()
        while (data := await call.receive()) is not None:
            yield Message(data).data(2)

    async def _read(self, digest: str) -> bytes:
        return b"".join([piece async for piece in self.fetch(digest)])

    async def store(self, digest: str, size: int, body: AsyncIterable[bytes]) -> None:
        call = await self._connection.call(f"{_SERVICE}Write", self._metadata)
        try:
            head: list[tuple[int, int | str]] = [(2, f"nakagin-{digest}"), (3, size), (4, digest)]
            await call.send(encode([(1, _STAT), *head]))
            await call.receive()
            at = 0
            async for piece in body:
                await call.send(encode([(1, _WRITE), *head, (5, at), (6, piece)]))
                await call.receive()
                at += len(piece)
            await call.send(encode([(1, _COMMIT), *head, (5, at)]))
            await call.receive()
            call.end_sending()
        except RemoteError as error:
            if error.code != ALREADY_EXISTS:
                raise


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
