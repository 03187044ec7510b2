"""The engine from Python: `Client.from_env()` and its errors. Any Docker-compatible engine will do."""

from __future__ import annotations

from nakagin.client.client import Client
from nakagin.client.refusals import EngineError

__all__ = ["Client", "EngineError"]
