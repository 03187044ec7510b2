"""One blob on its way from an upstream registry: fetched once, read by everybody who asks meanwhile."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from nakagin.errors import NakaginError, Unavailable
from nakagin.registry.client import BlobStream
from nakagin.registry.client import Registry as Client
from nakagin.registry.server.refusals import Refusal
from nakagin.registry.server.registry import Registry
from nakagin.registry.server.repositories import Repository
from nakagin.registry.transport import Interrupted

#: How often a broken connection is taken up again.
_ATTEMPTS = 5
#: Bytes at the blob's end that nobody gets before its digest is known to be right.
_HELD_BACK = 1 << 16
_PIECE = 1 << 18


class Fetch:
    """A fetch under way. `size` is the blob's length, -1 where the upstream does not say; known once `begun`."""

    def __init__(
        self, registry: Registry, client: Client, remote: str, repository: Repository, digest: str
    ) -> None:
        self._registry = registry
        self._client = client
        self._remote = remote
        self._repository = repository
        self._digest = digest
        self._upload = registry.uploads.begin(repository.name, digest.partition(":")[0])
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self.begun = asyncio.Event()
        self.finished = False
        self.size = -1

    async def run(self, pool: ThreadPoolExecutor) -> None:
        """Fetch, verify, store. Raises what went wrong, and tells it to the readers too."""
        try:
            async with self._upload.owned():
                await self._receive(pool)
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(
                    pool, self._registry.finish, self._upload, self._repository, self._digest
                )
            self.finished = True
        except (NakaginError, Refusal, asyncio.CancelledError) as error:
            self._failure = error
            raise
        finally:
            if not self.finished and self._failure is None:
                self._failure = Unavailable("it broke off")
            self._registry.uploads.discard(self._upload)
            self.begun.set()
            self._wake()

    async def _receive(self, pool: ThreadPoolExecutor) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                async with self._client.get_blob(self._remote, self._digest, self._upload.size) as stream:
                    self.size = stream.size
                    self.begun.set()
                    await self._upload.append(self._told(stream), pool, self._check)
                return
            except Interrupted:
                if attempt == _ATTEMPTS - 1:
                    raise

    async def _told(self, stream: BlobStream) -> AsyncIterator[bytes]:
        """The stream's pieces from where the upload ends."""
        skip = self._upload.size - stream.offset
        async for piece in stream.pieces():
            self._wake()
            if skip >= len(piece):
                skip -= len(piece)
                continue
            yield piece[skip:]
            skip = 0

    def _check(self, size: int) -> None:
        if 0 <= self.size < size:
            raise Unavailable(
                f"the upstream registry sends more than the {self.size} bytes of {self._digest}"
            )

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def pieces(self, first: int, count: int) -> AsyncIterator[bytes]:
        """`count` bytes (-1: all) from `first` on, as they arrive. Raises Unavailable where the fetch fails."""
        # The descriptor outlives the file's renaming and removal.
        fd = os.open(self._upload.data, os.O_RDONLY | os.O_CLOEXEC)
        try:
            place, end = first, first + count if count >= 0 else None
            while end is None or place < end:
                changed = self._changed
                there = os.fstat(fd).st_size - (0 if self.finished else _HELD_BACK)
                most = min(there if end is None else min(there, end), place + _PIECE)
                if place < most:
                    piece = os.pread(fd, most - place, place)
                    place += len(piece)
                    yield piece
                elif self.finished:
                    return
                elif self._failure is not None:
                    raise Unavailable(f"fetching {self._digest} failed: {self._failure}")
                else:
                    await changed.wait()
        finally:
            os.close(fd)
