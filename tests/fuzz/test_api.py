"""Thousands of requests from the API document, and clients that behave badly: no 500, no hang, no leak."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api import swagger
from tests.conftest import close_clean
from tests.engine_fixture import ScratchEngine, await_until
from tests.fuzz.requests import Maker, Request

pytestmark = pytest.mark.root

DOCUMENT = swagger.find("docker-engine-api.yaml")
#: For one round; --fuzz-rounds multiplies it.
REQUESTS = 700
#: Seconds in which the head of an answer must be there, on a loaded machine.
PATIENCE = 60.0


@pytest.fixture(scope="module")
def target() -> Iterator[ScratchEngine]:
    """An engine of its own: requests prune, remove and stop whatever there is."""
    engine = ScratchEngine(log_level="info")
    try:
        engine.start()
        engine.bootstrap_busybox()
        yield engine
    finally:
        # What was fuzzed into existence goes by the engine's own prunes.
        engine.remove_containers()
        for words in (("network", "prune", "-f"), ("volume", "prune", "-af")):
            engine.docker(*words, check=None)
        close_clean(engine)


def furnish(engine: ScratchEngine) -> None:
    """The objects that requests speak of, where they have gone or stopped."""
    command = ("busybox", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done")
    if engine.docker("start", "box", check=None).returncode:
        engine.docker("rm", "-f", "box", check=None)
        engine.docker("run", "-d", "--name", "box", "--network", "none", *command, check=None)
    engine.docker("run", "--name", "ended", "--network", "none", "busybox", "true", check=None)


_ARCHIVES = {"ImageBuild", "ImageLoad", "PutContainerArchive"}


def connect(engine: ScratchEngine) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE)
    sock.connect(str(engine.socket))
    return sock


def ask(engine: ScratchEngine, request: Request) -> tuple[int, bytes]:
    """The status and what is there of the body within a moment; streams are left by closing."""
    head = [f"{request.method} {request.path} HTTP/1.1", "Host: x", "Connection: close"]
    if request.body is not None:
        kind = "application/x-tar" if request.operation in _ARCHIVES else "application/json"
        head += [f"Content-Type: {kind}", f"Content-Length: {len(request.body)}"]
    with connect(engine) as sock:
        sock.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + (request.body or b""))
        received = b""
        while b"\r\n\r\n" not in received:
            piece = sock.recv(65536)
            if not piece:
                raise ConnectionError("no answer at all")
            received += piece
        top, _, body = received.partition(b"\r\n\r\n")
        length = (
            None if request.method == "HEAD" else re.search(rb"content-length: (\d+)", top, re.IGNORECASE)
        )
        if length:
            while len(body) < int(length[1]):
                piece = sock.recv(65536)
                if not piece:
                    raise ConnectionError("half an answer")
                body += piece
        return int(top[9:12]), body


def descriptors(engine: ScratchEngine) -> int:
    return len(os.listdir(f"/proc/{engine.pid}/fd"))


def is_serving(engine: ScratchEngine) -> None:
    assert engine.docker("ps", "-aq").returncode == 0


@pytest.mark.parametrize("document", [DOCUMENT] if DOCUMENT else [])
@pytest.mark.timeout(3600)
def test_no_request_is_a_mistake_of_ours(
    document: dict[str, object], target: ScratchEngine, pytestconfig: pytest.Config
) -> None:
    rounds = pytestconfig.getoption("--fuzz-rounds")
    statuses: Counter[int] = Counter()
    failures: list[str] = []
    furnish(target)
    before = descriptors(target)
    for number, request in enumerate(Maker(document, seed=rounds).requests(REQUESTS * rounds)):
        if number % 300 == 299:
            furnish(target)
        try:
            status, body = ask(target, request)
        except OSError as error:
            failures.append(f"{error}: {request}")
            continue
        statuses[status] += 1
        if status == 500 or not 100 <= status < 600:
            failures.append(f"{status} {body[:300]!r}: {request}")
        elif status >= 400 and request.method != "HEAD":
            with contextlib.suppress(ValueError):
                assert json.loads(body)["message"], f"{status} without a message: {request}"
    assert not failures, f"{len(failures)} of {sum(statuses.values())}:\n" + "\n".join(failures[:25])
    assert statuses[200] > REQUESTS / 20, f"hardly anything succeeds, so little is tried: {statuses}"
    is_serving(target)
    log = target.log.read_text(errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]
    await_until(lambda: descriptors(target) <= before + 12, "what requests held open to be closed", 60)


#: How a client can misbehave: what it sends before it goes silent or away.
PIECES = {
    "nothing": b"",
    "half a request line": b"GET /v1.50/conta",
    "half a head": b"GET /_ping HTTP/1.1\r\nHost: x\r\n",
    "half a body": b"POST /v1.50/containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100\r\n\r\n{\"Image\":",
    "half a chunk": b"POST /v1.50/images/load HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\nabc",
    "an answer unread": b"GET /v1.50/events HTTP/1.1\r\nHost: x\r\n\r\n",
    "a followed log": b"GET /v1.50/containers/box/logs?follow=1&stdout=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "statistics": b"GET /v1.50/containers/box/stats HTTP/1.1\r\nHost: x\r\n\r\n",
    "an attachment": b"POST /v1.50/containers/box/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\n"
    b"Upgrade: tcp\r\nConnection: Upgrade\r\n\r\n",
    "a wait": b"POST /v1.50/containers/box/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "many requests at once": b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
    "a head without end": b"GET /_ping HTTP/1.1\r\n" + b"X: " + b"y" * 60000,
}  # fmt: skip


@pytest.mark.parametrize("ending", ["vanish", "half-close", "reset"])
def test_bad_clients_leave_nothing_and_disturb_nobody(target: ScratchEngine, ending: str) -> None:
    furnish(target)
    before = descriptors(target)
    sockets = []
    for sent in PIECES.values():
        for _ in range(4):
            sock = connect(target)
            sock.sendall(sent)
            sockets.append(sock)
    is_serving(target)  # while all of them sit there
    for sock in sockets:
        if ending == "half-close":
            sock.shutdown(socket.SHUT_WR)
        elif ending == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    is_serving(target)
    for sock in sockets:
        sock.close()
    await_until(lambda: descriptors(target) <= before + 4, "the engine to let go of them", 60)
    is_serving(target)


def test_a_slow_reader_holds_nobody_up(target: ScratchEngine) -> None:
    """A client that asks for megabytes and does not read them."""
    furnish(target)
    target.docker("rm", "-f", "loud", check=None)
    target.docker("run", "--name", "loud", "--network", "none", "busybox", "sh", "-c", "seq 60000")
    before = descriptors(target)
    slow = [connect(target) for _ in range(10)]
    try:
        for sock in slow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(b"GET /v1.50/containers/loud/logs?stdout=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert target.docker("logs", "loud").stdout.endswith("\n60000\n")
        memory = Path(f"/proc/{target.pid}/status").read_text().partition("VmRSS:")[2].split()[0]
        assert int(memory) < 200_000, "what they do not read must not be piled up"
    finally:
        for sock in slow:
            sock.close()
    await_until(lambda: descriptors(target) <= before + 4, "the engine to let go of them", 60)
