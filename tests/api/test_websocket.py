"""attach/ws: a terminal in messages."""

from __future__ import annotations

import asyncio

import aiohttp
from tests.api.conftest import Served

from nakagin.spec import docker


async def test_messages_both_ways_and_the_end(served: Served) -> None:
    containers = served.engine.containers
    containers.created["c"] = docker.ContainerCreate()
    containers.tty = True
    containers.backlog = [b"old"]
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(served.path)) as session:
        url = "http://nakagin/v1.50/containers/c/attach/ws?stream=1&stdin=1&stdout=1&logs=1"
        async with session.ws_connect(url) as socket, asyncio.timeout(5):
            assert await socket.receive_bytes() == b"old"
            process = containers.processes["c"]
            await socket.send_str("in")
            await socket.send_bytes(b"put")
            received = b""
            while len(received) < 5:
                received += await loop.sock_recv(process, 5)
            assert received == b"input"
            process.sendall(b"out")
            assert await socket.receive_bytes() == b"out"
            process.close()
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_detach_keys_leave_the_process(served: Served) -> None:
    containers = served.engine.containers
    containers.created["c"] = docker.ContainerCreate()
    containers.tty = True
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(served.path)) as session,
        session.ws_connect("http://nakagin/containers/c/attach/ws?stream=1&stdin=1") as socket,
        asyncio.timeout(5),
    ):
        await socket.send_bytes(b"\x10\x11")
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
