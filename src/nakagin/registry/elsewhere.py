"""Blobs that a manifest says to be outside of registries (the `urls` of a descriptor): anonymously, by plain HTTP."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nakagin.registry.client import BlobStream, blob_stream
from nakagin.registry.download import opened
from nakagin.registry.endpoints import Endpoint
from nakagin.registry.transport import Answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nakagin.registry.wire import Wire


class Elsewhere:
    """One URL, where one blob is to be had."""

    def __init__(self, wire: Wire, url: str) -> None:
        self._wire = wire
        self._url = url
        host = urlsplit(url).netloc.rpartition("@")[2]
        self.endpoint = Endpoint(host, host)

    @asynccontextmanager
    async def get_blob(self, repository: str, digest: str, offset: int = 0) -> AsyncIterator[BlobStream]:
        """As `Registry.get_blob`, whoever's it is: what comes is verified by its digest."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        async with opened(self._wire, self._url, headers) as response:
            yield blob_stream(Answer(response, self.endpoint), offset, self.endpoint)
