"""Made by tools/async-client from client/hijack.py; do not edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.client import hijack as sync
from nakagin.client.aio.running import Facade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Stream(Facade[sync.Stream]):
    """Bytes to a container's stdin and (stream, bytes) pieces from its output.

    `raw` is a terminal's stream: one output, no frames. Iterate for the pieces until the output ends, or use
    `fileno`, `receive` and `send_some` in an event loop of your own.
    """

    @property
    def raw(self) -> bool:

        found: bool = self._faced(self._sync.raw)
        return found

    async def receive(self) -> list[tuple[int, bytes]] | None:
        """The next pieces (maybe none yet), or None at the end; Unavailable when it ends inside a frame."""
        found: list[tuple[int, bytes]] | None = await self._call(self._sync.receive)
        return found

    def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        return self._iterate(self._sync.__iter__)

    async def send(self, data: bytes) -> None:
        """Write all of `data` to the container's stdin; BrokenPipeError when nobody reads it any more."""
        await self._call(self._sync.send, data)

    async def close_write(self) -> None:
        """End of stdin. Python's TLS sockets cannot say so; there only `close` ends it."""
        await self._call(self._sync.close_write)

    async def close(self) -> None:
        """Close the connection; the container runs on."""
        await self._call(self._sync.close)
