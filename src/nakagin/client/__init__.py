"""The engine from Python: `Client.from_env()` and its errors. Any Docker-compatible engine will do."""

from __future__ import annotations

from nakagin.client.client import Client
from nakagin.client.refusals import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.client.aio.client import AsyncClient

__all__ = ["AsyncClient", "Client", "EngineError"]


def __getattr__(name: str) -> type[AsyncClient]:
    """The async face only where it is asked for: asyncio is a dear import."""
    if name != "AsyncClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nakagin.client.aio.client import AsyncClient

    return AsyncClient
