"""Made by tools/async-client from client/networks.py; do not edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.client import networks as sync
from nakagin.client.aio.running import Facade

if TYPE_CHECKING:
    from nakagin.client.session import Document, Documents, Filters


class Networks(Facade[sync.Networks]):
    """The collection of an engine's networks."""

    async def create(self, body: Document) -> Document:
        """Make a network from a whole request body (POST /networks/create): {"Id": ..., "Warning": ...}."""
        found: Document = await self._call(self._sync.create, body)
        return found

    async def get(self, reference: str, *, verbose: bool = False) -> Document:
        """The inspection document; NotFound."""
        found: Document = await self._call(self._sync.get, reference, verbose=verbose)
        return found

    async def explain(self, reference: str) -> Document:
        """The way of a packet on it: interfaces, rules and ports as the kernel has them."""
        found: Document = await self._call(self._sync.explain, reference)
        return found

    async def names(self, reference: str = "") -> Document:
        """What the name server answered, by container; of one network's containers where it is named."""
        found: Document = await self._call(self._sync.names, reference)
        return found

    async def list(self, filters: Filters | None = None) -> Documents:
        """All networks."""
        found: Documents = await self._call(self._sync.list, filters)
        return found

    async def connect(self, reference: str, container: str, endpoint: Document | None = None) -> None:
        """Attach a container; `endpoint` is an EndpointSettings document."""
        await self._call(self._sync.connect, reference, container, endpoint)

    async def disconnect(self, reference: str, container: str, *, force: bool = False) -> None:
        """Detach a container."""
        await self._call(self._sync.disconnect, reference, container, force=force)

    async def remove(self, reference: str) -> None:
        """Remove it; Conflict while containers use it."""
        await self._call(self._sync.remove, reference)

    async def prune(self, filters: Filters | None = None) -> Document:
        """Remove unused networks: {"NetworksDeleted": [...]}."""
        found: Document = await self._call(self._sync.prune, filters)
        return found
