"""kill -9 in the middle of pushes, again and again: what was acknowledged is there, and what was cut goes on."""

from __future__ import annotations

import http.client
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_fixture import await_until
from tests.free_port import free_port
from tests.registry.server.box import Client, Image, digest_of, make_image

ROUNDS = 60

# Imports once; every line on its standard input is a port, for which it forks a registry and prints its pid.
NURSERY = """
import os, sys
import nakagin.registry.server.service, nakagin.registry.server.command as command
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        os._exit(command.main(["serve", "--root", sys.argv[1], "--listen", f"127.0.0.1:{line.strip()}"]))
    print(pid, flush=True)
    os.waitpid(pid, 0)
"""


class Mortal(Client):
    """A registry process that is killed and comes back."""

    def __init__(self, root: Path) -> None:
        super().__init__(free_port())
        self._nursery = subprocess.Popen(
            [sys.executable, "-c", NURSERY, str(root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.pid = 0

    def rise(self) -> None:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(f"{self.port}\n")
        self._nursery.stdin.flush()
        self.pid = int(self._nursery.stdout.readline())
        deadline = time.monotonic() + 20
        while True:
            try:
                if self.get("/v2/").status == 200:
                    return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.002)

    def fall(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        if self.pid:
            self.fall()
        assert self._nursery.stdin is not None
        self._nursery.stdin.close()
        self._nursery.wait(20)
        assert self._nursery.stdout is not None
        self._nursery.stdout.close()


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Mortal]:
    registry = Mortal(tmp_path / "root")
    try:
        yield registry
    finally:
        registry.close()


GONE = (OSError, http.client.HTTPException)


class Pushes:
    """What a client was told, over all lives of the registry."""

    def __init__(self) -> None:
        self.blobs: list[bytes] = []
        self.images: list[tuple[str, Image]] = []
        self.sessions: list[tuple[str, bytes]] = []

    @property
    def count(self) -> int:
        """How many pushes were acknowledged."""
        return len(self.blobs) + len(self.images)

    def push_on(self, registry: Mortal, number: int) -> None:
        """Push until the registry dies."""
        try:
            for turn in range(1000):
                image = make_image(2, 30_000)
                for data in image.blobs:
                    registry.push_blob(data)
                    self.blobs.append(data)
                tag = f"t{number}-{turn}"
                if registry.push_manifest(image.manifest, tag).status == 201:
                    self.images.append((tag, image))
        except GONE:
            return

    def upload_on(self, registry: Mortal, chance: random.Random) -> None:
        """Send chunks of one blob until the registry dies."""
        data = secrets.token_bytes(1 << 20)
        try:
            location = registry.begin()
            self.sessions.append((location, data))
            for start in range(0, len(data), 50_000):
                piece = data[start : start + 50_000]
                span = f"{start}-{start + len(piece) - 1}"
                assert registry.ask("PATCH", location, piece, {"Content-Range": span}).status == 202
                time.sleep(chance.random() / 1000)
        except GONE:
            return


def finish(registry: Mortal, location: str, data: bytes) -> None:
    """Go on with a session from before the registry's death, as a client does."""
    status = registry.get(location)
    assert status.status == 204, status
    there = int(status.headers["range"].partition("-")[2]) + 1
    if there == 1:  # nothing, or one byte
        registry.ask("DELETE", location)
        return
    answer = registry.ask(
        "PUT", f"{location}?digest={digest_of(data)}", data[there:],
        {"Content-Range": f"{there}-{len(data) - 1}"} if there < len(data) else {},
    )  # fmt: skip
    assert answer.status == 201, answer
    assert registry.get(answer.headers["location"]).body == data


@pytest.mark.alone
def test_kill_9_during_pushes(mortal: Mortal) -> None:
    chance = random.Random(1)
    told = Pushes()
    for number in range(ROUNDS):
        mortal.rise()
        for location, data in told.sessions:
            finish(mortal, location, data)
        told.sessions.clear()
        pushers = [
            threading.Thread(target=told.push_on, args=(mortal, number)),
            threading.Thread(target=told.upload_on, args=(mortal, chance)),
        ]
        for thread in pushers:
            thread.start()
        enough = told.count + chance.randrange(12)
        await_until(lambda enough=enough: told.count >= enough, "acknowledgements")  # type: ignore[misc]
        time.sleep(chance.random() / 200)  # any moment between two of them
        mortal.fall()
        for thread in pushers:
            thread.join(30)
    mortal.rise()
    assert len(told.images) >= ROUNDS // 4
    for data in told.blobs:
        assert mortal.get(f"/v2/app/blobs/{digest_of(data)}").body == data
    for tag, image in told.images:
        mortal.check(image, tag)
