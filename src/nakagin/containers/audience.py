"""Who reads a container's output: `wait` is answered when they have read it to the end.

Clients that attach, start and wait (dockerode's `run`) take the answer of `wait` for the end of everything. With
both answers ready at once, their event loop may see that of `wait` first, and output that comes then is lost to them.
dockerd is slow enough never to show it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

# Who reads slowly holds `wait` back for so many seconds at most: as long as dockerd waits for output to be copied.
_PATIENCE = 2.0


class Audience:
    """The attached clients of all containers."""

    def __init__(self) -> None:
        self._readers: dict[str, set[asyncio.Event]] = {}

    def join(self, id: str) -> Callable[[], None]:
        """One more reads the output of container `id`.

        What is returned is to be called, once or more, when it has read all, or has gone.
        """
        served = asyncio.Event()
        readers = self._readers.setdefault(id, set())
        readers.add(served)

        def leave() -> None:
            if served in readers:
                served.set()
                readers.remove(served)
                if not readers:
                    del self._readers[id]

        return leave

    async def served(self, id: str) -> None:
        """Return when those who read the output of container `id` now have read it, or patience is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                for reader in tuple(self._readers.get(id, ())):
                    await reader.wait()
