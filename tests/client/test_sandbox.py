"""The sandbox, leases, commands like Popen and files, against a real engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nakagin.client import Client
from nakagin.client.containers import Container
from nakagin.client.execution import TimeoutExpired
from nakagin.errors import Invalid, NotFound
from tests.engine_fixture import ScratchEngine, await_until

pytestmark = pytest.mark.root


@pytest.fixture
def client(engine: ScratchEngine) -> Iterator[Client]:
    with Client(engine.host) as client:
        yield client


@pytest.fixture(scope="module")
def box(engine: ScratchEngine) -> Iterator[Container]:
    with Client(engine.host) as client:
        made = client.containers.run("busybox", ["sleep", "1000"], detach=True, network="none", init=True)
        assert isinstance(made, Container)
        yield made
        made.remove(force=True)


def test_what_a_sandbox_did(client: Client) -> None:
    script = "cat; cat in.txt; echo bad >&2; echo new > out/made; echo more >> in.txt; exit 3"
    done = client.sandbox(
        "busybox", ["sh", "-c", script], files={"in.txt": b"given\n", "out/kept": b"x"}, stdin=b"typed\n"
    )
    assert (done.exit_code, done.output, done.errors) == (3, b"typed\ngiven\n", b"bad\n")
    assert done.changed == {"out/made": b"new\n", "in.txt": b"given\nmore\n"}
    assert not done.timed_out


def test_what_a_sandbox_cannot_do(client: Client) -> None:
    script = "touch /x; id -u; ls /sys/class/net; chown 0 f; grep NoNewPrivs /proc/self/status"
    done = client.sandbox("busybox", ["sh", "-c", script], files={"f": b""})
    assert done.output.split() == [b"65534", b"lo", b"NoNewPrivs:", b"1"]
    assert b"Read-only file system" in done.errors
    assert b"not permitted" in done.errors
    assert client.sandbox("busybox", ["sh", "-c", "dd if=/dev/zero of=big bs=1M count=20"]).exit_code != 0
    with pytest.raises(Invalid, match="not a name of a file below"):
        client.sandbox("busybox", ["true"], files={"../etc/passwd": b""})


def test_a_sandbox_ends_in_time_and_leaves_nothing(client: Client) -> None:
    before = {each["Id"] for each in client.containers.list(all=True)}
    begun = time.monotonic()
    done = client.sandbox("busybox", ["sh", "-c", "echo begun; touch here; sleep 1000"], seconds=0.5)
    assert (done.exit_code, done.output, done.timed_out) == (137, b"begun\n", True)
    assert done.changed == {"here": b""}
    assert time.monotonic() - begun < 60
    assert {each["Id"] for each in client.containers.list(all=True)} == before


def test_a_command_like_popen(box: Container) -> None:
    script = "read line; echo got $line; echo warned >&2; cat; exit 7"
    with box.exec(["sh", "-c", script], stdin=True) as command:
        assert command.stdin is not None
        command.stdin.write(b"hello\n")
        assert command.stdout.readline() == b"got hello\n"
        assert command.poll() is None
        command.stdin.write(b"rest")
        command.stdin.close()
        assert command.stdout.read() == b"rest"
        assert command.stderr.read() == b"warned\n"
        assert command.wait() == 7
    many = box.exec(["sh", "-c", "cat | tee /dev/stderr"], stdin=True)
    assert many.communicate(b"x" * 3_000_000) == (b"x" * 3_000_000,) * 2
    assert many.returncode == 0


def test_a_timeout_raises_and_the_command_can_be_ended(box: Container) -> None:
    command = box.exec(["sh", "-c", "echo so far; sleep 1000"])
    with pytest.raises(TimeoutExpired, match=r"did not end within 0.5 seconds") as caught:
        command.communicate(timeout=0.5)
    assert caught.value.output == b"so far\n"
    assert command.poll() is None
    command.kill()
    assert command.communicate() == (b"so far\n", b"")
    assert command.returncode == 137


def test_files_without_tars(box: Container, tmp_path: Path) -> None:
    box.put_bytes(b"content", "/tmp/file", mode=0o600, uid=7)
    assert box.get_bytes("/tmp/file") == b"content"
    found = box.archive_stat("/tmp/file")
    assert (found.size, found.mode & 0o777) == (7, 0o600)
    (tmp_path / "tree/deep").mkdir(parents=True)
    (tmp_path / "tree/deep/f").write_text("x")
    box.put(tmp_path / "tree", "/tmp/copied")
    box.get("/tmp/copied", tmp_path / "back")
    assert (tmp_path / "back/deep/f").read_text() == "x"
    with pytest.raises(NotFound):
        box.get_bytes("/tmp/missing")
    with pytest.raises(Invalid, match="not a file"):
        box.get_bytes("/tmp")


def test_what_is_under_a_lease_ends_with_it(client: Client, name: str) -> None:
    with client.lease() as lease:
        container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
        assert isinstance(container, Container)
        client.volumes.create(name)
        network = client.networks.create({"Name": name})["Id"]
        assert container.labels["org.nakagin.lease"] == lease.id
    for gone in (container.reload, lambda: client.volumes.get(name), lambda: client.networks.get(network)):
        with pytest.raises(NotFound):
            gone()
    assert not client.session.labels


HOLDER = """
import sys
from nakagin.client import Client
engine = Client(sys.argv[1])
engine.lease().__enter__()
print(engine.containers.run("busybox", ["sleep", "1000"], detach=True, network="none").id, flush=True)
sys.stdin.read()
"""


def test_a_lease_ends_with_a_killed_holder(engine: ScratchEngine, client: Client) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, engine.host], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    id = holder.stdout.readline().strip()
    assert client.containers.get(id).status == "running"
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    await_until(
        lambda: id not in {each["Id"] for each in client.containers.list(all=True)}, "the lease to end"
    )
