"""attach/ws on a real engine: what a browser's terminal does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from tests.engine_fixture import ScratchEngine
from tests.spine.observe import inspect

pytestmark = pytest.mark.root

_PATIENCE = 30


@asynccontextmanager
async def attached(
    engine: ScratchEngine, name: str, query: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A web socket at a container's streams."""
    url = f"http://docker/v1.50/containers/{name}/attach/ws?{query}"
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(engine.socket))) as session,
        asyncio.timeout(_PATIENCE),
        session.ws_connect(url, headers={"Origin": "http://localhost"}) as socket,
    ):
        yield socket


async def until(socket: aiohttp.ClientWebSocketResponse, wanted: bytes) -> bytes:
    """What arrives up to and with `wanted`."""
    found = b""
    while wanted not in found:
        found += await socket.receive_bytes()
    return found


async def rest(socket: aiohttp.ClientWebSocketResponse) -> bytes:
    """What arrives until the other side closes."""
    return b"".join([message.data async for message in socket])


async def test_a_terminal(engine: ScratchEngine, name: str) -> None:
    """API.ContainerAttachWebsocket API.ContainerAttachWebsocket.stream API.ContainerAttachWebsocket.stdin
    API.ContainerAttachWebsocket.stdout API.ContainerAttachWebsocket.logs API.ContainerAttachWebsocket.detachKeys
    """
    engine.docker("run", "-dit", "--name", name, "busybox", "sh", "-c", "echo hello; exec sh")
    async with attached(engine, name, "stream=1&stdin=1&stdout=1&logs=1") as socket:
        await until(socket, b"hello")
        await socket.send_str("echo $((6 * 7))\n")  # a browser sends text
        await until(socket, b"42")
        await socket.send_bytes("echo ünïcode\n".encode())
        await until(socket, "ünïcode\r\n".encode())
        await socket.send_bytes(b"\x10\x11")  # the keys that detach
        assert await rest(socket) is not None
    assert inspect(engine, name, "{{.State.Running}}") == "true"
    async with attached(engine, name, "stream=1&stdin=1&stdout=1&detachKeys=ctrl-a") as socket:
        await socket.send_str("\x01")
        await rest(socket)
    async with attached(engine, name, "stream=1&stdin=1&stdout=1") as socket:
        await socket.send_str("exit 5\n")
        await rest(socket)
    assert engine.docker("wait", name).stdout == "5\n"
    async with attached(engine, name, "logs=1&stdout=1") as socket:
        assert b"hello" in await rest(socket)


@pytest.mark.parametrize(
    ("query", "seen"), [("stdout=1", "out"), ("stderr=1", "err"), ("stdout=1&stderr=1", "both")]
)
async def test_without_a_terminal(engine: ScratchEngine, name: str, query: str, seen: str) -> None:
    """API.ContainerAttachWebsocket.stderr: bytes as they are, without the frames of other streams."""
    script = "read line; echo got $line; echo err >&2"
    engine.docker("run", "-di", "--name", name, "busybox", "sh", "-c", script)
    async with attached(engine, name, f"stream=1&stdin=1&{query}") as socket:
        await socket.send_str("words\n")
        told = await rest(socket)
    expected = {
        "out": {b"got words\n"},
        "err": {b"err\n"},
        "both": {b"got words\nerr\n", b"err\ngot words\n"},
    }
    assert told in expected[seen]


async def test_what_cannot_be(engine: ScratchEngine, name: str) -> None:
    """Refused before there is a web socket."""
    for wanted, query, status in (("nobody", "stream=1", 404), (name, "stream=1&detachKeys=nonsense", 400)):
        engine.docker("create", "--name", name, "busybox", check=None)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with attached(engine, wanted, query):
                pass
        assert refused.value.status == status
