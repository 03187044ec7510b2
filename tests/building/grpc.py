"""A client of the engine's BuildKit door, for calls that no client library of ours makes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.engine_fixture import ScratchEngine

from nakagin.api.buildkit.http2 import Connection
from nakagin.api.buildkit.protobuf import Message

_CONTROL = "/moby.buildkit.v1.Control/"


@asynccontextmanager
async def control(engine: ScratchEngine) -> AsyncIterator[Connection]:
    """POST /grpc, upgraded to HTTP/2."""
    reader, writer = await asyncio.open_unix_connection(str(engine.socket))
    writer.write(b"POST /grpc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head, head
    connection = Connection(reader, writer)
    running = asyncio.create_task(connection.run())
    try:
        yield connection
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        writer.close()


def ask(engine: ScratchEngine, method: str, request: bytes = b"") -> list[Message]:
    """Every message of the answer. Raises RemoteError."""

    async def asking() -> list[Message]:
        async with control(engine) as connection, asyncio.timeout(30):
            call = await connection.call(_CONTROL + method)
            await call.send(request)
            call.end_sending()
            found = []
            while (data := await call.receive()) is not None:
                found.append(Message(data))
            return found

    return asyncio.run(asking())
