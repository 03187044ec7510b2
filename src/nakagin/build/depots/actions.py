"""GitHub's cache service, as the runners of its actions have it (version 2: Twirp, and signed URLs for the bytes).

An entry never changes: each document is a new one, and the newest whose key begins as wanted is found.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

import msgspec
from yarl import URL

from nakagin.build.depots.exchange import exchanged, stream
from nakagin.build.depots.model import Signed, needed
from nakagin.errors import Invalid, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping

    from nakagin.registry.wire import Wire

_SERVICE = "twirp/github.actions.results.api.v1.CacheService/"
_VERSION = hashlib.sha256(b"nakagin buildcache 1").hexdigest()


class Actions:
    """One cache (`type=gha,url_v2=,token=[,scope=]`); see `model.Depot`."""

    def __init__(self, wire: Wire, attributes: Mapping[str, str]) -> None:
        """Raises Invalid."""
        url, self._token = needed(attributes, "url_v2", "token")
        self._url = url.rstrip("/") + "/"
        if not self._url.startswith(("http://", "https://")):
            raise Invalid(f"invalid url_v2 {url!r} of a cache")
        self._document = f"nakagin-index-{attributes.get('scope') or 'buildkit'}#"
        self._wire = wire

    async def load(self) -> bytes | None:
        url = await self._found(f"{self._document}0", self._document)
        return (await exchanged(self._wire, "GET", Signed(url, {}))).data if url else None

    async def save(self, document: bytes) -> None:
        await self._create(f"{self._document}{time.time_ns()}", len(document), document)

    async def has(self, digest: str) -> bool:
        return await self._found(_blob(digest)) is not None

    async def fetch(self, digest: str) -> AsyncIterator[bytes]:
        url = await self._found(_blob(digest))
        if url is None:
            raise NotFound(f"the cache lacks the blob {digest}")
        async with stream(self._wire, Signed(url, {})) as answer:
            if answer is None:
                raise NotFound(f"the cache lacks the blob {digest}")
            async for piece in answer:
                yield piece

    async def store(self, digest: str, size: int, body: AsyncIterable[bytes]) -> None:
        await self._create(_blob(digest), size, body)

    async def _found(self, key: str, *beginnings: str) -> URL | None:
        """Where an entry is read: the one with this key, else the newest whose key begins so."""
        asked = {"key": key, "restore_keys": list(beginnings), "version": _VERSION}
        answer = await self._ask("GetCacheEntryDownloadURL", asked)
        url = answer.get("signed_download_url") or answer.get("signedDownloadUrl")
        return URL(str(url), encoded=True) if answer.get("ok") and url else None

    async def _create(self, key: str, size: int, body: bytes | AsyncIterable[bytes]) -> None:
        answer = await self._ask("CreateCacheEntry", {"key": key, "version": _VERSION})
        url = answer.get("signed_upload_url") or answer.get("signedUploadUrl")
        if not answer.get("ok") or not url:
            raise Unavailable(
                f"GitHub's cache does not take the entry {key}", hint="another job may be writing it"
            )
        headers = {"Content-Length": str(size), "x-ms-blob-type": "BlockBlob"}
        await exchanged(self._wire, "PUT", Signed(URL(str(url), encoded=True), headers), body)
        await self._ask(
            "FinalizeCacheEntryUpload", {"key": key, "version": _VERSION, "size_bytes": str(size)}
        )

    async def _ask(self, method: str, document: object) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        signed = Signed(URL(f"{self._url}{_SERVICE}{method}"), headers)
        answer = await exchanged(self._wire, "POST", signed, msgspec.json.encode(document))
        if answer.status == 404:
            return {}
        try:
            return msgspec.json.decode(answer.data, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise Unavailable(
                f"GitHub's cache answers {method} with something else than JSON: {error}"
            ) from None


def _blob(digest: str) -> str:
    return f"nakagin-blob-{digest}"
