"""A server of the API over a fake engine, on a unix socket and on TCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple, cast

import pytest
from aiohttp import web
from tests.api.fake import FakeEngine
from tests.api.wire import Wire

from nakagin.api.app import make_runner
from nakagin.engine import Engine


class Served(NamedTuple):
    """A running server: its engine, and how to reach it."""

    engine: FakeEngine
    path: str
    port: int

    async def connect(self, *, tcp: bool = False) -> Wire:
        """A new raw connection."""
        if tcp:
            return Wire(*await asyncio.open_connection("127.0.0.1", self.port))
        return Wire(*await asyncio.open_unix_connection(self.path))


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    engine = FakeEngine()
    runner = make_runner(cast(Engine, engine))
    await runner.setup()
    path = str(tmp_path / "api.sock")
    await web.UnixSite(runner, path).start()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = next(each[1] for each in runner.addresses if isinstance(each, tuple))
    yield Served(engine, path, port)
    engine.containers.gate.set()
    await runner.cleanup()
    for process in engine.containers.processes.values():
        process.close()
