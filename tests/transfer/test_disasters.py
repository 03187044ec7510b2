"""A kill -9 in the middle of a pull, and a disk that fills up: clear words, nothing lost, and the next pull goes on."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.conftest import close_clean
from tests.engine_fixture import ScratchEngine, await_until
from tests.registry import faulty
from tests.registry.faulty import FaultyRegistry
from tests.registry.made import Made, layer_of, made
from tests.storage.tars import member, tar

pytestmark = pytest.mark.root


@pytest.fixture
def lonely() -> Iterator[ScratchEngine]:
    """An engine without images."""
    engine = ScratchEngine()
    try:
        engine.start()
        yield engine
    finally:
        close_clean(engine)


def test_kill_nine_again_and_again(lonely: ScratchEngine, faulty_registry: FaultyRegistry) -> None:
    """Each engine gets some bytes of each layer and is killed; what it had got is not fetched again."""
    image = made(layer_of("one", 5_000_000), layer_of("two", 3_000_000), layer_of("three"))
    faulty_registry.put("r", "1", image)
    name = f"{faulty_registry.host}/r:1"
    for moment in range(6):
        held = Held(200_000 + moment * 7000)
        faulty_registry.faults[:] = [held.hold]
        pull = subprocess.Popen(
            lonely.docker_argv("pull", "-q", name), env=lonely.environment(),
            stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await_until(partial(held.both_are_kept, lonely), "bytes of both layers")
            lonely.kill9()
        finally:
            pull.wait(20)
        lonely.restart()
    faulty_registry.faults.clear()
    lonely.docker("pull", name)
    assert lonely.docker("images", "-q", "--no-trunc", name).stdout.strip() == image.image_id
    assert faulty_registry.sent <= image.size * 1.05
    assert not list((lonely.data_root / "partial").iterdir())


class Held:
    """Some bytes of each large blob, and then silence until the engine is gone."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.reached: dict[str, int] = {}

    def hold(self, request: faulty.Handler) -> bool:
        """The fault."""
        digest = request.plain.rpartition("/")[2]
        data = request.home.blobs.get(digest, b"")
        if not faulty.is_blob(request) or len(data) < 100_000:
            return False
        begin = request.range_begin()
        request.begin_blob(data, begin)
        request.send_blob(data[begin : begin + self.count])
        self.reached[digest] = begin + self.count
        request.connection.recv(1)
        request.hang_up()
        return True

    def both_are_kept(self, engine: ScratchEngine) -> bool:
        """Whether the engine has written what it was sent."""
        files = {digest: engine.data_root / "partial" / digest.replace(":", "-") for digest in self.reached}
        sizes = {digest: path.stat().st_size for digest, path in files.items() if path.exists()}
        return len(self.reached) == 2 and sizes == self.reached


@pytest.fixture
def cramped(tmp_path: Path) -> Iterator[ScratchEngine]:
    """An engine on a file system of 130 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=130m", "tmpfs", str(disk)], check=True)
    try:
        engine = ScratchEngine(parent=str(disk))
        try:
            engine.start()
            yield engine
        finally:
            close_clean(engine)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up(cramped: ScratchEngine, faulty_registry: FaultyRegistry) -> None:
    """Half of the layer fits; when there is room again, the other half is fetched."""
    image = made(layer_of("large", 24_000_000))
    faulty_registry.put("r", "1", image)
    filler = cramped.root / "filler"
    filler.write_bytes(bytes(free(cramped.root) - 12_000_000))
    done = cramped.docker("pull", f"{faulty_registry.host}/r:1", check=1)
    assert "no space left to store a blob" in done.stderr
    assert cramped.docker("images", "-q").stdout == ""
    filler.unlink()
    cramped.docker("pull", f"{faulty_registry.host}/r:1")
    wanted = faulty_registry.requests("GET", image.layers[0])[-1].headers["Range"]
    assert int(wanted.removeprefix("bytes=").rstrip("-")) > 8_000_000


@pytest.mark.parametrize("verb", ["load", "import"])
def test_a_disk_that_fills_up_under_an_archive(cramped: ScratchEngine, tmp_path: Path, verb: str) -> None:
    """Whether the blob still fits or not: clear words, nothing left, and the same works when there is room."""
    image = made(layer_of("large", 24_000_000), pack="")
    archive = tmp_path / "a.tar"
    if verb == "import":
        archive.write_bytes(next(each for each in image.blobs.values() if len(each) > 1_000_000))
    else:
        archive.write_bytes(layout_of(image))
    words = ("load", "-i", str(archive)) if verb == "load" else ("import", str(archive), "large:1")
    filler = cramped.root / "filler"
    for room in (12_000_000, 40_000_000):  # not for the blob, not for its files
        filler.write_bytes(bytes(free(cramped.root) - room))
        refused = cramped.docker(*words, check=1)
        assert "no space left" in refused.stderr.lower()
        assert cramped.docker("images", "-q").stdout == ""
        for folder in ("tmp", "blobs/sha256", "layers"):
            await_until(partial(is_empty, cramped.data_root / folder), f"nothing in {folder}")
        filler.unlink()
    cramped.docker(*words)
    assert len(cramped.docker("images", "-q").stdout.split()) == 1


def layout_of(image: Made) -> bytes:
    """An OCI layout with one image, as a tar."""
    index = {"schemaVersion": 2, "manifests": [
        {"mediaType": image.media_type, "digest": image.digest, "size": len(image.manifest)}
    ]}  # fmt: skip
    blobs = {**image.blobs, image.digest: image.manifest}
    return tar(
        member("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'), member("index.json", json.dumps(index).encode()),
        *(member("blobs/" + digest.replace(":", "/"), data) for digest, data in blobs.items()),
    )  # fmt: skip


def is_empty(folder: Path) -> bool:
    return not folder.exists() or not list(folder.iterdir())


def free(path: Path) -> int:
    """Bytes that still fit on a file system."""
    space = os.statvfs(path)
    return space.f_bavail * space.f_frsize
