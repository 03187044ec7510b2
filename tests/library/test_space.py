"""Space: what `system df` says is what du says, clean-up frees it, fsck mends, and in the end nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import close_clean
from tests.engine_fixture import ScratchEngine, await_until

pytestmark = pytest.mark.root

MEBI = 1 << 20


@pytest.fixture
def roomy() -> Iterator[ScratchEngine]:
    """An engine of its own, for what would disturb others."""
    engine = ScratchEngine()
    try:
        engine.start()
        engine.bootstrap_busybox()
        yield engine
    finally:
        close_clean(engine)


def du(*paths: Path) -> int:
    done = subprocess.run(
        ["du", "-s", "-c", "-B1", *map(str, paths)], capture_output=True, text=True, check=True
    )
    return int(done.stdout.splitlines()[-1].split()[0])


def df(engine: ScratchEngine) -> dict[str, dict[str, int]]:
    found = engine.client().df()
    kinds = {"images": "ImageUsage", "containers": "ContainerUsage", "volumes": "VolumeUsage"}
    return {name: {"size": found[key]["TotalSize"]} for name, key in kinds.items()}


def about(left: int, right: int) -> bool:
    return abs(left - right) <= max(left, right) * 0.01


FILL = (
    "mkdir -p /d; i=0; while [ $i -lt 400 ]; do echo $i > /d/$i; i=$((i+1)); done;"
    "dd if=/dev/urandom of=/big bs=1M count=6"
)


def test_df_agrees_with_du(roomy: ScratchEngine) -> None:
    roomy.docker(
        "run", "--name", "filled", "-v", "vol:/v", "busybox", "sh", "-c", f"{FILL}; cp /big /v/; cp -r /d /v/"
    )
    roomy.docker("commit", "filled", "filled:1")
    subprocess.run(["sync", "-f", str(roomy.data_root)], check=True)  # delayed allocation is not in du
    said, root = df(roomy), roomy.data_root
    assert about(said["images"]["size"], du(root / "blobs", root / "layers"))
    assert about(said["containers"]["size"], du(root / "snapshots", root / "containers"))
    assert about(said["volumes"]["size"], du(root / "volumes"))
    whole = sum(each["size"] for each in said.values())
    fixed = du(*root.glob("records.db*"))
    assert about(whole, du(root) - fixed)
    shown = roomy.docker("system", "df").stdout
    assert "Build Cache" in shown
    assert "filled" in roomy.docker("system", "df", "-v").stdout


def stored(engine: ScratchEngine) -> tuple[list[str], list[tuple[str, ...]]]:
    """What is below the data root of an engine that has ended: paths, and the keys of the database's rows."""
    with contextlib.closing(sqlite3.connect(engine.data_root / "records.db")) as database:
        found = [
            *database.execute("SELECT kind, id FROM documents"),
            *database.execute("SELECT kind, name FROM names"),
            *database.execute("SELECT kind, id, holder FROM holds"),
        ]
    return sorted(engine.stored_files()), sorted(found)


def test_after_removing_everything_nothing_is_left(tmp_path: Path) -> None:
    """The data root is as an engine leaves it that was started and did nothing."""
    engine = ScratchEngine()
    try:
        engine.start()
        engine.terminate()
        fresh = stored(engine)
        engine.restart()
        engine.bootstrap_busybox()
        engine.docker("network", "create", "net")
        engine.docker(
            "run", "-d", "--name", "one", "--net", "net", "-v", "vol:/v", "-v", "/w", "busybox", "sleep", "99"
        )
        text = "FROM busybox\nRUN --mount=type=cache,target=/c date > /c/x\nCOPY . /\n"
        (tmp_path / "Dockerfile").write_text(text)
        for cli in (engine.docker, engine.nakagin):
            cli("build", "-t", "built", str(tmp_path))
        cache = f"type=local,dest={tmp_path}/cache"
        engine.nakagin("build", "--cache-to", cache, "-o", f"{tmp_path}/o", str(tmp_path))
        engine.docker("commit", "one", "two")
        archive, layout = str(tmp_path / "a.tar"), tmp_path / "layout"
        engine.docker("save", "-o", archive, "two", "built")
        layout.mkdir()
        subprocess.run(["tar", "-xf", archive, "-C", str(layout)], check=True)
        engine.docker("load", "-i", archive)
        engine.nakagin("load", "-i", str(layout))
        engine.docker("rm", "-f", "-v", "one")
        engine.docker("system", "prune", "-af", "--volumes")
        engine.docker("volume", "rm", "vol", check=None)
        engine.nakagin("builder", "history", "--clear")
        assert engine.docker("image", "ls", "-aq").stdout == ""
        engine.terminate()
        assert stored(engine) == fresh
        engine.restart()
    finally:
        close_clean(engine)


def test_retention(roomy: ScratchEngine) -> None:
    for number in range(4):
        roomy.docker("run", "--name", "rr", "busybox", "sh", "-c", f"echo {number} > /n")
        roomy.docker("commit", "rr", f"app:{number}")
        roomy.docker("rm", "rr")
    roomy.docker("run", "--name", "user", "app:0", "true")
    out = roomy.nakagin("image", "prune", "-f", "--keep", "2").stdout
    assert "untagged: app:1" in out
    left = roomy.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    assert sorted(left) == ["app:0", "app:2", "app:3", "busybox:latest"]
    roomy.nakagin("image", "prune", "-f", "--unused-for", "1h")
    assert len(roomy.docker("images", "-q").stdout.split()) == 4
    roomy.nakagin("image", "prune", "-f", "--unused-for", "0s")
    assert roomy.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split() == ["app:0"]
    refused = roomy.nakagin("image", "prune", "-f", "--unused-for", "soon", check=1)
    assert "write 7d, 36h or 90m" in refused.stderr


def test_fsck_finds_and_mends(roomy: ScratchEngine) -> None:
    assert "as it should be" in roomy.nakagin("system", "fsck").stdout
    root = roomy.data_root
    layer = next((root / "layers").iterdir())
    stray = root / "blobs" / "sha256" / ("a" * 64)
    stray.write_bytes(b"stray")
    (root / "layers" / "stranger").mkdir()
    told = roomy.nakagin("system", "fsck", "--dry-run", check=1).stdout
    assert f"orphan blob sha256:{'a' * 64}" in told
    assert stray.exists()
    roomy.nakagin("system", "fsck")
    assert not stray.exists()
    assert not (root / "layers" / "stranger").exists()
    subprocess.run(["rm", "-rf", str(layer)], check=True)
    assert "missing layer" in roomy.nakagin("system", "fsck").stdout
    assert roomy.docker("run", "--rm", "busybox", "echo", "back").stdout == "back\n"
    blob = max((root / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(blob.read_bytes())
    data[1000] ^= 255
    blob.write_bytes(data)
    told = roomy.nakagin("system", "fsck", check=1).stdout
    assert "damaged blob" in told
    assert "busybox:latest" in told
    assert "pull or load" in told


def test_last_use_outlives_the_engine(roomy: ScratchEngine) -> None:
    roomy.docker("tag", "busybox", "used:1")
    roomy.docker("run", "--rm", "used:1", "true")
    assert roomy.terminate() == 0
    roomy.restart()
    out = roomy.nakagin("image", "prune", "-f", "--unused-for", "30s").stdout
    assert "Total reclaimed space: 0B" in out


@pytest.mark.alone
def test_high_water_takes_the_longest_unused(tmp_path: Path) -> None:
    """On a small file system of its own: what is used stays, what is unused goes, the longest unused first, and the
    build cache before images."""
    place = tempfile.mkdtemp(prefix="nks-", dir="/var/tmp")  # a socket's path is short
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=240m", "tmpfs", place], check=True)
    engine = ScratchEngine("--storage-opt", "high-water=30%", parent=place)
    try:
        engine.start()
        engine.bootstrap_busybox()
        engine.docker("run", "--name", "keeper", "busybox", "true")
        (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN dd if=/dev/urandom of=/c bs=1M count=4\n")
        engine.nakagin("build", "-t", "cached:1", str(tmp_path))
        engine.docker("rmi", "cached:1")
        for number in range(2):
            engine.docker(
                "run",
                "--name",
                "ff",
                "busybox",
                "dd",
                "if=/dev/urandom",
                f"of=/{number}",
                "bs=1M",
                "count=20",
            )
            engine.docker("commit", "ff", f"fat:{number}")
            engine.docker("rm", "ff")
        await_until(lambda: "fat:0" not in _names(engine), "the oldest to go", 40)
        assert "busybox:latest" in _names(engine)
        assert engine.client().df()["BuildCacheUsage"]["TotalCount"] == 0
        told = engine.log.read_text()
        assert 0 < told.index("removed 1 from the build cache") < told.index("removed fat:0")
    finally:
        found = engine.close()
        subprocess.run(["umount", place], check=True)
        os.rmdir(place)
    assert found == []


def _names(engine: ScratchEngine) -> list[str]:
    return engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()


def test_bad_storage_options() -> None:
    from nakagin.errors import Invalid
    from nakagin.storage.options import parse_options

    assert parse_options(["layer-size=1g", "layer-entries=10", "high-water=80%"]).bounds.entries == 10
    assert parse_options(["overlay2.size=1G"]).container_size == 1 << 30
    with pytest.raises(Invalid, match="at least 8 MiB"):
        parse_options(["overlay2.size=1m"])
    for wrong in ("high-water=0%", "high-water=120%", "layer-entries=x", "what"):
        with pytest.raises(Invalid, match="invalid storage option"):
            parse_options([wrong])


def test_the_bound_of_a_layer_is_named(tmp_path: Path) -> None:
    engine = ScratchEngine("--storage-opt", "layer-size=1m")
    try:
        engine.start()
        data = json.dumps({"x": "y" * (2 * MEBI)})
        (tmp_path / "f").write_text(data)
        subprocess.run(["tar", "-C", str(tmp_path), "-cf", str(tmp_path / "f.tar"), "f"], check=True)
        refused = engine.docker("import", str(tmp_path / "f.tar"), "big", check=1)
        assert "--storage-opt layer-size" in refused.stderr
    finally:
        close_clean(engine)
