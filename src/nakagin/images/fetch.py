"""One blob from a registry into the store: from where it was left, over interruptions, from source to source."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from nakagin.errors import Damaged, Denied, Invalid, NakaginError, NotFound, Unavailable
from nakagin.images.progress import DOWNLOADING, RETRYING, VERIFYING, State
from nakagin.registry.transport import Interrupted
from nakagin.tasks import to_the_end

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from nakagin.registry.client import BlobStream, Registry
    from nakagin.registry.elsewhere import Elsewhere
    from nakagin.registry.model import Descriptor
    from nakagin.registry.transport import Patience
    from nakagin.storage.partial import Partial

_log = logging.getLogger(__name__)
_PROGRESS = 64 << 10  # an attempt that brought so many bytes was worth it


class Origin:
    """Where a blob may come from: sources in order, and the repository there; then places that are no registries."""

    __slots__ = ("elsewhere", "repository", "sources")

    def __init__(
        self, sources: Sequence[Registry], repository: str, elsewhere: Sequence[Elsewhere] = ()
    ) -> None:
        self.sources = sources
        self.repository = repository
        self.elsewhere = elsewhere


class Fetch:
    """Brings in one blob. `run` may be called again after a failure."""

    def __init__(
        self,
        origin: Origin,
        descriptor: Descriptor,
        partial: Partial,
        threads: Executor,
        tell: Callable[[State], None],
        patience: Patience,
    ) -> None:
        self._origin = origin
        self._blob = descriptor
        self._partial = partial
        self._threads = threads
        self._tell = tell
        self._patience = patience

    async def run(self) -> None:
        """Until all bytes are here and verified. Raises what the last source failed with."""
        resumed = self._partial.offset > 0
        last: NakaginError | None = None
        sources: list[Registry | Elsewhere] = [*self._origin.sources, *self._origin.elsewhere]
        for source in sources:
            try:
                await self._from(source)
                self._check()
                return
            except Damaged as error:
                last = error
                if resumed:
                    # What was here before may be at fault (a crash of the machine): once more, from the beginning.
                    _log.warning("%s: fetched again from its beginning: %s", self._blob.digest, error)
                    resumed = False
                    try:
                        await self._afresh(source)
                        return
                    except (Damaged, NotFound, Denied, Unavailable) as again:
                        last = again
                await self._in_thread(self._partial.rewind)
            except (NotFound, Denied, Unavailable, Invalid) as error:
                last = error
                resumed = resumed or self._partial.offset > 0
        raise last or NotFound(f"nobody has the blob {self._blob.digest}")

    async def _afresh(self, source: Registry | Elsewhere) -> None:
        await self._in_thread(self._partial.rewind)
        await self._from(source)
        self._check()

    def _check(self) -> None:
        self._tell(State(VERIFYING))
        self._partial.check()

    async def _from(self, source: Registry | Elsewhere) -> None:
        failures = 0
        while self._partial.offset < self._blob.size:
            before = self._partial.offset
            try:
                async with source.get_blob(self._origin.repository, self._blob.digest, before) as stream:
                    await self._receive(stream)
                if self._partial.offset < self._blob.size:
                    raise Damaged(
                        f"the blob {self._blob.digest} has only {self._partial.offset} of the {self._blob.size} bytes "
                        "that its manifest says", hint="the registry's content is not what it claims to be",
                    )  # fmt: skip
            except Interrupted as error:
                failures = 1 if self._partial.offset - before >= _PROGRESS else failures + 1
                if failures >= self._patience.attempts:
                    raise
                pause = min(self._patience.wait(failures - 1, None), self._patience.longest_wait)
                _log.info(
                    "%s at byte %d: %s; again in %.1f s",
                    self._blob.digest,
                    self._partial.offset,
                    error,
                    pause,
                )
                if pause >= 1:
                    self._tell(State(f"{RETRYING} in {pause:.0f} second{'s' if pause > 1 else ''}"))
                await asyncio.sleep(pause)

    async def _receive(self, stream: BlobStream) -> None:
        """Write what arrives at once: what is not written is lost if the engine dies."""
        if stream.size not in (-1, self._blob.size):
            raise Damaged(
                f"the registry has {stream.size} bytes for the blob {self._blob.digest}, its manifest says "
                f"{self._blob.size}", hint="the registry's content is not what it claims to be",
            )  # fmt: skip
        known = self._partial.offset - stream.offset  # a registry without ranges begins at the beginning
        async for piece in stream.pieces():
            cut = min(known, len(piece))
            known -= cut
            if len(piece) > cut:
                # While a thread writes, more arrives; so pieces are as large as the disk is slow.
                await self._in_thread(self._partial.write, piece[cut:] if cut else piece)
                self._tell(State(DOWNLOADING, self._partial.offset, self._blob.size))

    async def _in_thread(self, deed: Callable[..., None], *arguments: object) -> None:
        # Not to be left half done: a write that is cancelled goes on in its thread while the file is closed.
        await to_the_end(asyncio.get_running_loop().run_in_executor(self._threads, deed, *arguments))
