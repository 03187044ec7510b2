"""Made by tools/async-client from client/lease.py; do not edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.client import lease as sync
from nakagin.client.aio.running import Facade

if TYPE_CHECKING:
    pass


class Lease(Facade[sync.Lease]):
    """`with engine.lease():` all that this client makes meanwhile is removed afterwards; also after a crash of it.

    An engine that is started anew is found again by a thread of its own. For Nakagin only.
    """

    @property
    def id(self) -> str:

        found: str = self._faced(self._sync.id)
        return found

    async def end(self) -> None:
        """Remove everything now, and wait until it is gone."""
        await self._call(self._sync.end)
