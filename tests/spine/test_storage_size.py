"""`--storage-opt size=`: what a container may write, whatever happens to it and to the engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import running_engine
from tests.engine_fixture import ScratchEngine
from tests.spine.observe import inspect

pytestmark = pytest.mark.root

_FILL = "dd if=/dev/zero of=/large bs=1M count=40; df -k / | tail -1 | awk '{print $2}'"


def mounts(engine: ScratchEngine) -> list[str]:
    """Where something of this engine is mounted on the machine."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if str(engine.root) in line]


@pytest.fixture(scope="module")
def bounding(pytestconfig: pytest.Config) -> Iterator[ScratchEngine]:
    """An engine whose containers may write 64 MiB unless they say otherwise."""
    with running_engine(pytestconfig, "--storage-opt", "overlay2.size=64m") as engine:
        yield engine


def test_a_container_cannot_write_more_and_loses_nothing(bounding: ScratchEngine, tmp_path: Path) -> None:
    engine = bounding
    engine.docker("create", "--name", "small", "--storage-opt", "size=16m", "busybox", "sh", "-c", _FILL)
    assert inspect(engine, "small", "{{.HostConfig.StorageOpt.size}}") == "16m"
    shown = engine.docker("start", "-a", "small")
    assert "No space left" in shown.stderr
    assert int(shown.stdout) <= 16 << 10
    engine.docker("run", "--name", "standard", "busybox", "sh", "-c", _FILL)
    assert engine.docker("logs", "standard").stdout.strip() != shown.stdout.strip()
    # Everything that reads a layer finds it where it is.
    assert "A /large" in engine.docker("diff", "small").stdout.splitlines()
    assert int(inspect_size(engine, "small")) > 8 << 20
    (tmp_path / "f").write_text("given")
    engine.docker("exec", "small", "true", check=1)
    engine.docker("start", "small")
    engine.docker("wait", "small")
    engine.docker("commit", "standard", "bounded:1")
    assert "40.0M" in engine.docker("run", "--rm", "bounded:1", "ls", "-lh", "/large").stdout
    engine.docker("rmi", "bounded:1")
    engine.docker("rm", "small", "standard")
    assert mounts(engine) == []
    assert os.listdir(engine.data_root / "snapshots") == []


def inspect_size(engine: ScratchEngine, name: str) -> str:
    return engine.docker("inspect", "-s", "-f", "{{.SizeRw}}", name).stdout.strip()


def test_it_outlives_the_engine_and_nothing_else_does(bounding: ScratchEngine) -> None:
    engine = bounding
    flags = ("--storage-opt", "size=16m", "busybox", "sh", "-c")
    engine.docker("run", "-d", "--init", "--name", "living", *flags, "echo kept > /f; exec sleep 1000")
    engine.docker("exec", "living", "sh", "-c", "until test -s /f; do sleep 0.05; done")
    engine.docker("run", "--name", "ended", *flags, "echo kept > /f")
    # A crash: the living one's files stay where they are. What has no record is taken away.
    engine.kill9()
    (engine.data_root / "snapshots/.stray.disk").write_bytes(b"x")
    engine.restart()
    assert not (engine.data_root / "snapshots/.stray.disk").exists()
    for name in ("living", "ended"):
        assert engine.docker("cp", f"{name}:/f", "-").stdout
    engine.docker("exec", "living", "dd", "if=/dev/zero", "of=/large", "bs=1M", "count=40", check=1)
    engine.docker("rm", "-f", "living")
    # An orderly end leaves nothing mounted; the next engine finds all of it.
    assert engine.terminate() == 0
    assert mounts(engine) == []
    engine.restart()
    assert engine.docker("start", "ended").stdout == "ended\n"
    assert engine.docker("wait", "ended").stdout == "0\n"
    assert "orphan" not in engine.nakagin("system", "fsck", "--dry-run").stdout
    engine.docker("rm", "ended")
    assert mounts(engine) == []


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("size=1k", "at least 8 MiB"),
        ("size=large", "invalid size"),
        ("inodes=7", "Unknown option inodes"),
    ],
)
def test_what_makes_no_sense_makes_nothing(bounding: ScratchEngine, option: str, words: str) -> None:
    refused = bounding.docker("create", "--name", "wrong", "--storage-opt", option, "busybox", check=1)
    assert words in refused.stderr
    assert mounts(bounding) == []


def test_what_is_refused_late_leaves_no_disk(bounding: ScratchEngine, tmp_path: Path) -> None:
    flags = ("--storage-opt", "size=16m", "--rootfs", str(tmp_path), "true")
    assert "on a folder" in bounding.nakagin("create", *flags, check=1).stderr
    taken = ("create", "--name", "taken", "--storage-opt", "size=16m", "busybox")
    bounding.docker(*taken)
    bounding.docker(*taken, check=1)
    assert len(mounts(bounding)) <= 1
    assert len(list((bounding.data_root / "snapshots").glob(".*.disk"))) <= 1
    bounding.docker("rm", "taken")
    assert mounts(bounding) == []
