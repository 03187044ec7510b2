"""Made by tools/async-client from client/volumes.py; do not edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.client import volumes as sync
from nakagin.client.aio.running import Facade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from nakagin.client.session import (
        Body,
        Document,
        Documents,
        Filters,
    )


class Volumes(Facade[sync.Volumes]):
    """The collection of an engine's volumes."""

    async def create(
        self,
        name: str = "",
        *,
        driver: str = "",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Document:
        """Make a volume (no error when it exists with the same options); without a name it is anonymous."""
        found: Document = await self._call(
            self._sync.create, name, driver=driver, options=options, labels=labels
        )
        return found

    async def get(self, name: str) -> Document:
        """The inspection document; NotFound."""
        found: Document = await self._call(self._sync.get, name)
        return found

    async def list(self, filters: Filters | None = None) -> Documents:
        """All volumes."""
        found: Documents = await self._call(self._sync.list, filters)
        return found

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove it with its data; Conflict while a container uses it."""
        await self._call(self._sync.remove, name, force=force)

    async def rename(self, name: str, wanted: str) -> None:
        """Give it another name; Conflict while a container runs on it (Nakagin only)."""
        await self._call(self._sync.rename, name, wanted)

    async def clone(self, name: str, wanted: str) -> Document:
        """A new volume with the same content (Nakagin only)."""
        found: Document = await self._call(self._sync.clone, name, wanted)
        return found

    async def snapshot(self, name: str, wanted: str = "") -> Document:
        """A clone that says of what it is one; without a name it has the time in it (Nakagin only)."""
        found: Document = await self._call(self._sync.snapshot, name, wanted)
        return found

    def export(self, name: str) -> AsyncIterator[bytes]:
        """The content as a tar, in pieces (Nakagin only)."""
        return self._iterate(self._sync.export, name)

    async def import_(self, name: str, tar: Body) -> Document:
        """Unpack a tar into the volume, which is made where it is missing (Nakagin only)."""
        found: Document = await self._call(self._sync.import_, name, tar)
        return found

    async def changes(self, name: str, since: str) -> Documents:
        """What differs from the volume `since`: "Path" and "Kind" (0 changed, 1 added, 2 deleted) (Nakagin only)."""
        found: Documents = await self._call(self._sync.changes, name, since)
        return found

    async def prune(self, filters: Filters | None = None) -> Document:
        """Remove unused volumes: {"VolumesDeleted": [...], "SpaceReclaimed": bytes}."""
        found: Document = await self._call(self._sync.prune, filters)
        return found
