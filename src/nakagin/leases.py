"""Leases: what a client makes for the time of its connection, and what is removed when that ends, however it ends.

A lease is a label on containers, networks and volumes (`LABEL`), and an open connection. So no test needs a reaper
that must itself be kept alive. When the engine starts anew, holders have `_GRACE` seconds to come back.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nakagin.errors import Conflict, Invalid, NakaginError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from nakagin.engine import Engine

log = logging.getLogger("nakagin.leases")

LABEL = "org.nakagin.lease"
_ID = re.compile(r"[a-zA-Z0-9_.-]{8,64}")
_GRACE = 30.0


class Leases:
    """The leases of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._open: set[str] = set()
        self._endings: set[asyncio.Task[None]] = set()

    @contextmanager
    def held(self, id: str = "") -> Iterator[str]:
        """A lease for the length of the context; its id, where `id` claims one of before. Invalid, Conflict."""
        id = id or os.urandom(16).hex()
        if not _ID.fullmatch(id):
            raise Invalid(f"invalid lease: {id!r}", hint="8 to 64 letters, digits, . _ and -")
        if id in self._open:
            raise Conflict(f"the lease {id} is held already")
        self._open.add(id)
        try:
            yield id
        finally:
            self._open.discard(id)
            # On its own: whoever held it is gone, and nobody waits.
            task = asyncio.get_running_loop().create_task(self.end(id))
            self._endings.add(task)
            task.add_done_callback(self._endings.discard)

    async def end(self, id: str) -> None:
        """Remove all that is under the lease; what cannot be removed is logged."""
        engine, wanted = self._engine, {"label": [f"{LABEL}={id}"]}
        for container in await engine.containers.list(all=True, filters=wanted):
            await _tolerated(engine.containers.remove(container["Id"], force=True, volumes=True))
        for network in engine.networks.list(wanted):
            await _tolerated(asyncio.to_thread(engine.networks.remove, network["Id"]))
        for volume in engine.volumes.list(wanted):
            await _tolerated(asyncio.to_thread(engine.volumes.remove, volume["Name"], force=True))

    async def sweep(self) -> None:
        """After a start of the engine: give the holders their time, then end what nobody holds."""
        await asyncio.sleep(_GRACE)
        engine = self._engine
        labels = [
            each["Labels"] for each in await engine.containers.list(all=True, filters={"label": [LABEL]})
        ]
        labels += [each["Labels"] for each in engine.networks.list({"label": [LABEL]})]
        labels += [each["Labels"] for each in engine.volumes.list({"label": [LABEL]})]
        for id in {each[LABEL] for each in labels} - self._open:
            await self.end(id)


async def _tolerated(deed: Coroutine[Any, Any, None]) -> None:
    try:
        await deed
    except NakaginError as error:
        log.warning("at the end of a lease: %s", error)
