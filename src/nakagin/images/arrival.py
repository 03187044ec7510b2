"""Blobs and layers arriving: fetched, verified, decompressed and unpacked in one flow, once for all who want them.

A blob goes into a file as it comes; the unpacker of its layer, a process of its own, reads that file behind it.
So memory stays small whatever the layer's size, and an interruption costs only what was not yet received.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from nakagin.errors import NakaginError, NotFound
from nakagin.images.fetch import Fetch
from nakagin.images.progress import DOWNLOADED, EXTRACTING, WAITING, State
from nakagin.images.sharing import Sharing
from nakagin.tasks import drop, to_the_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from nakagin.images.fetch import Origin
    from nakagin.images.sharing import Work
    from nakagin.registry.model import Descriptor
    from nakagin.registry.transport import Patience
    from nakagin.spec.digest import ChainID
    from nakagin.storage.blobs import Blobs
    from nakagin.storage.layers import Layers
    from nakagin.storage.partial import Partial, Partials
    from nakagin.storage.unpacking import Unpacking

    Listener = Callable[[State], None]

_UNPACKERS = 4
_WRITERS = 4
_LOOK_EVERY = 0.01


class Place(NamedTuple):
    """Where a layer belongs: on top of what, and what the two make."""

    parent: ChainID | None
    chain: ChainID
    diff_id: str


class Arrivals:
    """Everything that is on its way in. Use it from one event loop."""

    def __init__(self, layers: Layers, partials: Partials, *, downloads: int, patience: Patience) -> None:
        """`downloads` blobs are fetched at once; `patience` says how often in a row an attempt may bring nothing."""
        self._layers = layers
        self._partials = partials
        self._patience = patience
        self._slots = asyncio.Semaphore(downloads)
        self._sharing = Sharing()
        self._fetching: dict[str, Partial] = {}
        # Threads of their own: an unpacker waits for bytes, which others must be able to write.
        self._writers = ThreadPoolExecutor(_WRITERS, "fetch")
        self._unpackers = ThreadPoolExecutor(_UNPACKERS, "unpack")

    def close(self) -> None:
        """Let the threads end; call it when nothing is under way any more."""
        self._writers.shutdown(wait=False, cancel_futures=True)
        self._unpackers.shutdown(wait=False, cancel_futures=True)

    # --- Blobs

    def has_blob(self, digest: str) -> bool:
        """Whether the whole blob is here."""
        return self._partials.blobs.exists(digest)

    async def blob(self, origin: Origin, descriptor: Descriptor, listen: Listener) -> None:
        """Return when the blob is here. Raises what fetching it failed with."""
        for again in (True, False):
            if self.has_blob(descriptor.digest):
                break
            work = self._sharing.work(
                f"blob {descriptor.digest}", lambda work: self._fetch(work, origin, descriptor)
            )
            joined = work.said is not None
            try:
                await work.join(listen)
            except NakaginError:
                # Somebody else's attempt failed, perhaps for want of permission: try by oneself.
                if not (joined and again):
                    raise
        listen(State(DOWNLOADED))

    async def _fetch(self, work: Work[None], origin: Origin, blob: Descriptor) -> None:
        loop = asyncio.get_running_loop()
        if self._slots.locked():
            work.tell(State(WAITING))
        async with self._slots:
            partial = await loop.run_in_executor(self._writers, self._partials.open, blob.digest, blob.size)
            self._fetching[blob.digest] = partial
            try:
                work.tell(State("Downloading", partial.offset, blob.size))
                await Fetch(origin, blob, partial, self._writers, work.tell, self._patience).run()
                await loop.run_in_executor(self._writers, partial.commit)
            finally:
                del self._fetching[blob.digest]
                partial.close()

    # --- Layers

    async def layer(self, origin: Origin, blob: Descriptor, place: Place, listen: Listener) -> None:
        """Return when the layer is unpacked. Its blob is fetched meanwhile, if it is not here; the layer below may
        still be on its way."""
        while not self._layers.exists(place.chain):
            await self._sharing.work(
                f"layer {place.chain}", lambda work: self._unpack(work, origin, blob, place)
            ).join(listen)

    async def _unpack(self, work: Work[None], origin: Origin, blob: Descriptor, place: Place) -> None:
        fetched = asyncio.ensure_future(self.blob(origin, blob, _deaf))
        arriving = _Arriving(self._layers, self._partials.blobs, blob)
        try:
            await self._watch(blob, fetched, arriving)
            await fetched
            await self._below(place)
            await self._complete(work, blob, arriving, place)
        finally:
            try:
                await drop(fetched)
            finally:
                await to_the_end(asyncio.to_thread(arriving.abandon))

    async def _watch(self, blob: Descriptor, fetched: asyncio.Future[None], arriving: _Arriving) -> None:
        """Let the unpacker read what comes, as soon as there is a file that it comes into."""
        while not self.has_blob(blob.digest) and not fetched.done():
            if (partial := self._fetching.get(blob.digest)) is not None:
                # Opened here and now: in a moment the fetch may have come to its end.
                loop = asyncio.get_running_loop()
                # To the end: or it would begin after it was given up.
                await to_the_end(
                    loop.run_in_executor(self._writers, arriving.begin, partial, partial.reopened())
                )
                return
            await asyncio.wait([fetched], timeout=_LOOK_EVERY)

    async def _below(self, place: Place) -> None:
        """Wait for the layer that this one stands on; whoever wants this one wants that one too."""
        parent = place.parent
        while parent is not None and not self._layers.exists(parent):
            work: Work[None] | None = self._sharing.find(f"layer {parent}")
            if work is None:
                raise NotFound(f"the layer below is not here: {parent}")
            await work.join(_deaf)

    async def _complete(self, work: Work[None], blob: Descriptor, arriving: _Arriving, place: Place) -> None:
        loop = asyncio.get_running_loop()

        def tell(read: int) -> None:
            loop.call_soon_threadsafe(work.tell, State(EXTRACTING, read, blob.size))

        deed = loop.run_in_executor(self._unpackers, arriving.complete, place, tell)
        try:
            await asyncio.shield(deed)
        except asyncio.CancelledError:
            await to_the_end(asyncio.to_thread(arriving.abandon))
            await to_the_end(asyncio.wait([deed]))
            deed.exception()  # it was stopped; why it says it failed is of no interest
            raise


class _Arriving:
    """A layer that is unpacked while its blob arrives: what the partial blob tells goes on to the unpacker."""

    def __init__(self, layers: Layers, blobs: Blobs, blob: Descriptor) -> None:
        self._layers = layers
        self._blobs = blobs
        self._blob = blob
        self._lock = threading.RLock()
        self._unpacking: Unpacking | None = None

    def begin(self, partial: Partial, file: int) -> None:
        """Start to read `file`, which is closed here, behind the writer of a partial blob."""
        try:
            with self._lock:
                self._unpacking = self._layers.begin(file, self._blob.size)
        finally:
            os.close(file)
        partial.watch(self)

    def have(self, size: int, /) -> None:
        """So many bytes are there."""
        with self._lock:
            if self._unpacking is not None:
                self._unpacking.have(size)

    def end(self, size: int, /) -> None:
        """The blob is complete."""
        with self._lock:
            if self._unpacking is not None:
                self._unpacking.end(size)

    def again(self) -> None:
        """What was unpacked so far is of no use."""
        self.abandon()

    def complete(self, place: Place, tell: Callable[[int], None]) -> None:
        """Wait for the layer; where nothing was begun, unpack the blob now. Long. Raises as Layers.apply."""
        with self._lock:
            unpacking = self._unpacking
            if unpacking is None:
                with self._blobs.open(self._blob.digest) as stream:
                    unpacking = self._unpacking = self._layers.begin(stream.fileno(), self._blob.size)
                unpacking.have(self._blob.size)
                unpacking.end(self._blob.size)
        self._layers.complete(unpacking, place.parent, place.diff_id, tell)

    def abandon(self) -> None:
        """End what is under way, if anything is. Again is no error."""
        with self._lock:
            unpacking, self._unpacking = self._unpacking, None
        if unpacking is not None:
            self._layers.abandon(unpacking)


def _deaf(state: State) -> None:
    """For who wants to know only the end."""
