"""Blobs on their way to a registry: those that it has are spared, those of its other repositories mounted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from nakagin.errors import NakaginError, NotFound
from nakagin.images import progress
from nakagin.images.progress import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from nakagin.images.library import Images
    from nakagin.images.teller import Teller
    from nakagin.registry.client import Registry
    from nakagin.registry.model import Descriptor, Manifest
    from nakagin.spec.reference import Reference
    from nakagin.storage.blobs import Blobs

_PIECE = 1 << 20
_MOST_MOUNTS = 3


class _Turn(asyncio.Lock):
    """Who of several pushes brings a blob to a registry; the others find it there, or in `repository`."""

    repository = ""


class Outgoing:
    """All uploads of one engine; so many at once, and each blob to a registry once."""

    def __init__(self, images: Images, slots: int) -> None:
        self._images = images
        self._slots = asyncio.Semaphore(slots)
        self._turns: WeakValueDictionary[tuple[str, str], _Turn] = WeakValueDictionary()

    async def blobs(
        self, registry: Registry, reference: Reference, manifest: Manifest, tellers: Sequence[Teller]
    ) -> None:
        """Everything that the manifest names, each once; a teller for each layer. Raises what the first failure was."""
        seen: set[str] = set()
        try:
            async with asyncio.TaskGroup() as group:
                for descriptor, teller in zip(manifest.blobs, (None, *tellers), strict=True):
                    if descriptor.digest not in seen:
                        seen.add(descriptor.digest)
                        group.create_task(self._blob(registry, reference, descriptor, teller))
        except BaseExceptionGroup as errors:
            found = next((each for each in errors.exceptions if isinstance(each, NakaginError)), None)
            raise found or errors.exceptions[0] from None

    async def _blob(
        self, registry: Registry, reference: Reference, blob: Descriptor, teller: Teller | None
    ) -> None:
        tell: Callable[[State], None] = teller or (lambda state: None)
        if blob.urls and blob.is_foreign:  # everybody gets it from there
            tell(State(progress.SKIPPED))
            return
        turn = self._turns.setdefault((reference.domain, blob.digest), _Turn())
        if turn.locked() or self._slots.locked():
            tell(State(progress.WAITING))
        async with turn, self._slots:
            if await registry.blob_size(reference.path, blob.digest) is not None:
                tell(State(progress.LAYER_EXISTS))
                return
            known = self._images.repositories(reference.domain, blob.digest)
            for source in [*filter(None, [turn.repository]), *known][:_MOST_MOUNTS]:
                if source != reference.path and await registry.mount_blob(
                    reference.path, blob.digest, source
                ):
                    tell(State(f"Mounted from {source}"))
                    return
            body = _Body(self._images.blobs, blob, tell)
            await registry.upload_blob(reference.path, blob.digest, blob.size, body)
            turn.repository = reference.path
            tell(State(progress.PUSHED))


class _Body:
    """A blob's bytes for an upload, from any offset on; tells how far it is."""

    def __init__(self, blobs: Blobs, blob: Descriptor, tell: Callable[[State], None]) -> None:
        self._blobs = blobs
        self._blob = blob
        self._tell = tell

    async def __call__(self, offset: int, length: int) -> AsyncIterator[bytes]:
        with self._blobs.open(self._blob.digest) as stream:
            stream.seek(offset)
            while length:
                piece = await asyncio.to_thread(stream.read, min(_PIECE, length))
                if not piece:
                    raise NotFound(f"the blob {self._blob.digest} is shorter than it should be")
                length -= len(piece)
                offset += len(piece)
                yield piece
                self._tell(State(progress.PUSHING, offset, self._blob.size))
