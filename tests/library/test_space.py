"""Space: what `system df` says is what du says, clean-up frees it, fsck mends, and in the end nothing is left."""

from __future__ import annotations

import json
import os
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


@pytest.mark.docker(28)
def test_after_removing_everything_nothing_is_left(roomy: ScratchEngine) -> None:
    roomy.docker("run", "-d", "--name", "one", "-v", "vol:/v", "busybox", "sleep", "1000")
    roomy.docker("commit", "one", "two:1")
    roomy.docker("rm", "-f", "one")
    out = roomy.docker("system", "prune", "-a", "-f", "--volumes").stdout
    assert "Total reclaimed space" in out
    roomy.docker("volume", "rm", "vol")

    def files() -> list[str]:
        found = subprocess.run(
            ["find", roomy.data_root, "-path", roomy.data_root / "places", "-prune", "-o", "-type", "f", "-print"],
            capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        return [each for each in found if os.path.basename(each).split(".")[0] not in ("records", "engine")]

    await_until(lambda: not files(), f"nothing to be left: {files()}")


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
