"""The command line starts the engine by itself; in a mount and network namespace whose default places are empty."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_fixture import CLI, await_until
from tests.spine.observe import is_gone

# alone: the mount points are made in the machine's own folders.
pytestmark = [pytest.mark.root, pytest.mark.alone]

ROOM = """
set -e
mount --make-rprivate /
for place in /run/nakagin /var/lib/nakagin /var/log/nakagin /etc/nakagin; do
  mkdir -p $place && mount -t tmpfs -o mode=755 tmpfs $place
done
ip link set lo up
exec "$@"
"""


class Room:
    """Where the default engine is ours alone."""

    def __init__(self) -> None:
        self.instance = "a" + secrets.token_hex(3)
        self.made = [place for place in ("/run/nakagin", "/var/lib/nakagin", "/var/log/nakagin", "/etc/nakagin")
                     if not os.path.lexists(place)]  # fmt: skip
        argv = ["unshare", "--mount", "--net", "bash", "-c", ROOM, "bash", "sleep", "300"]
        self.holder = subprocess.Popen(argv)
        await_until(lambda: b"sleep" in Path(f"/proc/{self.holder.pid}/cmdline").read_bytes()[:6], "the room")
        self.configure(instance=self.instance)

    def configure(self, **keys: object) -> None:
        """Write daemon.json."""
        self.path("/etc/nakagin/daemon.json").write_text(json.dumps(keys))

    def path(self, name: str) -> Path:
        """A file in there, seen from here."""
        return Path(f"/proc/{self.holder.pid}/root{name}")

    def nakagin(self, *words: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Our command line in there, with nothing said about where the engine is."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DOCKER_")}
        enter = ["nsenter", "--mount", "--net", "--target", str(self.holder.pid)]
        return subprocess.run(
            [*enter, *before, sys.executable, "-c", CLI, *words],
            env={**environment, "HOME": "/nonexistent"}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    @property
    def engine_pid(self) -> int:
        """The engine's process; 0 while there is none."""
        try:
            return int(self.path("/run/nakagin/nakagin.pid").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def close(self) -> None:
        """End the engine, then the namespaces."""
        if pid := self.engine_pid:
            os.kill(pid, signal.SIGTERM)
            await_until(lambda: is_gone(pid), "the engine to end")
        self.holder.kill()
        self.holder.wait()
        for place in self.made:
            os.rmdir(place)


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    try:
        yield made
    finally:
        made.close()


def test_the_first_command_starts_it_and_the_next_ones_use_it(room: Room) -> None:
    first = room.nakagin("ps", "-q")
    assert (first.returncode, first.stdout) == (0, ""), first.stderr
    assert "Starting the engine (log: /var/log/nakagin/engine.log)" in first.stderr
    pid = room.engine_pid
    second = room.nakagin("version", "--format", "{{.Server.APIVersion}}")
    assert (second.returncode, second.stderr) == (0, "")
    assert room.engine_pid == pid
    assert not is_gone(pid)
    assert "API listen on" in room.path("/var/log/nakagin/engine.log").read_text()


def test_an_engine_that_cannot_start_says_why(room: Room) -> None:
    room.configure(instance=room.instance, bip="nonsense")
    done = room.nakagin("ps")
    assert done.returncode == 1
    assert "the engine ended while starting" in done.stderr
    assert "nonsense" in done.stderr
    assert room.nakagin("run", "busybox", "true").returncode == 125


def test_who_is_not_root_is_told_who_can(room: Room) -> None:
    done = room.nakagin("ps", before=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"))
    # setpriv still has root's rights when it calls execve(2), so Python may begin, and not find its modules.
    if sys.executable in done.stderr or "No module named 'nakagin'" in done.stderr:
        pytest.skip("the checkout is closed to other users")
    assert done.returncode == 1
    assert "only root can start one" in done.stderr
    assert room.engine_pid == 0
