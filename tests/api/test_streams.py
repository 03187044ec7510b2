"""Hijacked connections, byte by byte, against a process that is the other end of a socket pair."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest
from tests.api.conftest import Served
from tests.api.fake import frame
from tests.api.wire import DEADLINE, Wire

from nakagin.spec import docker

UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}
PATH = "/v1.50/containers/c/attach?stream=1&stdin=1&stdout=1&stderr=1"


@pytest.fixture(params=["unix", "tcp"])
async def wire(served: Served, request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    served.engine.containers.created["c"] = docker.ContainerCreate(image="x")
    wire = await served.connect(tcp=request.param == "tcp")
    yield wire
    wire.close()


async def receive(process: socket.socket, count: int) -> bytes:
    data = b""
    async with asyncio.timeout(DEADLINE):
        while len(data) < count:
            piece = await asyncio.get_running_loop().sock_recv(process, count - len(data))
            if not piece:
                break
            data += piece
    return data


async def at_end(process: socket.socket) -> bool:
    async with asyncio.timeout(DEADLINE):
        return await asyncio.get_running_loop().sock_recv(process, 1) == b""


async def attach(served: Served, wire: Wire, *, extra: bytes = b"", upgrade: bool = True) -> socket.socket:
    wire.send("POST", PATH, headers=UPGRADE if upgrade else None, extra=extra)
    head = await wire.head()
    assert head.status == (101 if upgrade else 200)
    assert "content-length" not in head.headers
    assert "transfer-encoding" not in head.headers
    return served.engine.containers.processes["c"]


async def test_bytes_go_both_ways_and_each_end_closes_alone(served: Served, wire: Wire) -> None:
    process = await attach(served, wire)
    wire.writer.write(b"hello")
    assert await receive(process, 5) == b"hello"
    wire.writer.write_eof()
    assert await at_end(process)
    process.sendall(frame(1, b"answer after end of input"))
    process.close()
    assert await wire.rest() == frame(1, b"answer after end of input")


async def test_input_sent_with_the_request_is_not_lost(served: Served, wire: Wire) -> None:
    process = await attach(served, wire, extra=b"early")
    wire.writer.write(b" late")
    assert await receive(process, 10) == b"early late"


async def test_without_upgrade_the_answer_is_200_and_raw(served: Served, wire: Wire) -> None:
    process = await attach(served, wire, upgrade=False)
    process.sendall(frame(2, b"x"))
    assert await wire.read(9) == frame(2, b"x")
    wire.writer.write(b"in")
    assert await receive(process, 2) == b"in"


@pytest.mark.parametrize(
    ("version", "tty", "kind"),
    [
        ("v1.50", False, "application/vnd.docker.multiplexed-stream"),
        ("v1.50", True, "application/vnd.docker.raw-stream"),
        ("v1.41", False, "application/vnd.docker.raw-stream"),
    ],
)
async def test_content_type_tells_of_frames(served: Served, version: str, tty: bool, kind: str) -> None:
    served.engine.containers.created["c"] = docker.ContainerCreate()
    served.engine.containers.tty = tty
    wire = await served.connect()
    wire.send("POST", f"/{version}/containers/c/attach?stream=1&stdout=1", headers=UPGRADE)
    assert (await wire.head()).headers["content-type"] == kind
    wire.close()


async def test_the_head_comes_before_any_output(served: Served, wire: Wire) -> None:
    await attach(served, wire)  # the process has written nothing


async def test_backlog_comes_first(served: Served, wire: Wire) -> None:
    served.engine.containers.backlog = [frame(1, b"old")]
    process = await attach(served, wire)
    process.sendall(frame(1, b"new"))
    process.close()
    assert await wire.rest() == frame(1, b"old") + frame(1, b"new")


async def test_large_output_to_a_slow_reader_stops_the_process_and_arrives_whole(
    served: Served, wire: Wire
) -> None:
    process = await attach(served, wire)
    payload = os.urandom(8 << 20)
    sent = asyncio.create_task(asyncio.get_running_loop().sock_sendall(process, payload))
    done, _ = await asyncio.wait([sent], timeout=0.2)
    assert not done, "nothing held the process back"
    sent.add_done_callback(lambda _: process.close())
    assert await wire.rest() == payload


async def test_large_input_to_a_slow_process_arrives_whole(served: Served, wire: Wire) -> None:
    process = await attach(served, wire)
    payload = os.urandom(8 << 20)
    wire.writer.write(payload)
    wire.writer.write_eof()
    assert await receive(process, len(payload)) == payload
    assert await at_end(process)


async def test_detach_keys_in_odd_pieces_end_the_session_but_not_the_input(
    served: Served, wire: Wire
) -> None:
    served.engine.containers.tty = True
    process = await attach(served, wire)
    for piece in (b"ab\x10", b"cd\x10", b"\x10"):
        wire.writer.write(piece)
        await wire.writer.drain()
    assert await receive(process, 6) == b"ab\x10cd\x10"
    wire.writer.write(b"\x11ef")
    assert await wire.rest() == b""
    assert await at_end(process)


async def test_detach_keys_are_plain_bytes_without_a_terminal(served: Served, wire: Wire) -> None:
    process = await attach(served, wire, extra=b"\x10\x11.")
    assert await receive(process, 3) == b"\x10\x11."


async def test_a_client_that_goes_away_lets_the_process_side_go(served: Served, wire: Wire) -> None:
    process = await attach(served, wire)
    wire.writer.transport.abort()
    assert await at_end(process)


async def test_a_client_that_closes_after_its_input_is_noticed(served: Served) -> None:
    """A half-closed client may still read; one that has closed altogether must not be kept for ever."""
    served.engine.containers.created["c"] = docker.ContainerCreate()
    wire = await served.connect()
    process = await attach(served, wire)
    wire.writer.write_eof()
    assert await at_end(process)
    wire.close()
    async with asyncio.timeout(DEADLINE):
        while True:  # writing fails once the relay has closed its end
            try:
                process.send(b"x")
            except BrokenPipeError:
                break
            except BlockingIOError:
                pytest.fail("nobody noticed")
            await asyncio.sleep(0)


async def test_unknown_container_is_an_ordinary_answer_on_a_connection_that_lives_on(served: Served) -> None:
    wire = await served.connect()
    wire.send("POST", "/containers/none/attach?stream=1", headers=UPGRADE)
    assert (await wire.reply()).status == 404
    assert (await wire.ask("GET", "/_ping")).body == b"OK"
    wire.close()


async def test_exec_reads_its_body_and_then_the_input(served: Served, wire: Wire) -> None:
    wire.send("POST", "/v1.50/exec/e1/start", {"Detach": False, "Tty": False}, UPGRADE, extra=b"stdin")
    assert (await wire.head()).status == 101
    process = served.engine.containers.processes["e1"]
    assert await receive(process, 5) == b"stdin"
    process.close()
    assert await wire.rest() == b""


async def test_an_exec_that_cannot_run_is_told_in_the_stream(served: Served, wire: Wire) -> None:
    wire.send("POST", "/v1.50/exec/missing/start", {"Tty": False}, headers=UPGRADE)
    assert (await wire.head()).status == 101
    text = b'exec "nosuch": executable file not found in $PATH\r\n'
    assert await wire.rest() == frame(2, text)


async def test_detached_exec_answers_plainly(served: Served, wire: Wire) -> None:
    reply = await wire.ask("POST", "/v1.50/exec/e1/start", {"Detach": True})
    assert (reply.status, reply.body) == (200, b"")


async def test_many_connections_leave_nothing_behind(served: Served) -> None:
    served.engine.containers.created["c"] = docker.ContainerCreate()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        wire = await served.connect()
        process = await attach(served, wire)
        process.close()
        assert await wire.rest() == b""
        wire.close()
        await wire.writer.wait_closed()
    async with asyncio.timeout(DEADLINE):
        while len(os.listdir("/proc/self/fd")) > before + 2:  # the hang-up watcher, and the last to go
            await asyncio.sleep(0)


async def test_output_does_not_reach_a_client_before_it_has_read_the_head(served: Served) -> None:
    """docker-py reads the head through a buffer and the rest from the socket: they must not come together."""
    containers = served.engine.containers
    containers.created["c"] = docker.ContainerCreate()
    containers.backlog = [frame(1, b"at once")]
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        await loop.sock_connect(client, served.path)
        await loop.sock_sendall(client, f"POST {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        async with asyncio.timeout(DEADLINE):
            head = await loop.sock_recv(client, 1 << 16)
            assert head.endswith(b"\r\n\r\n")
            assert await loop.sock_recv(client, 1 << 16) == frame(1, b"at once")


async def test_the_end_waits_for_the_exit_code(served: Served, wire: Wire) -> None:
    """At the end of the stream, clients ask for the exit code: it must be known then."""
    served.engine.containers.exit_known = asyncio.Event()
    wire.send("POST", "/v1.50/exec/e1/start", {"Tty": False}, UPGRADE)
    await wire.head()
    process = served.engine.containers.processes["e1"]
    process.sendall(frame(1, b"x"))
    process.close()
    assert await wire.read(9) == frame(1, b"x")
    rest = asyncio.create_task(wire.rest())
    done, _ = await asyncio.wait([rest], timeout=0.1)
    assert not done
    served.engine.containers.exit_known.set()
    assert await rest == b""
