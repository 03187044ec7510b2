"""Damaged blobs: `system fsck` fetches them again, and a start after a crash of the machine trusts nothing unproved."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.conftest import close_clean
from tests.engine_fixture import ScratchEngine
from tests.transfer.peers import LocalRegistry, unique

pytestmark = pytest.mark.root


@pytest.fixture
def alone() -> Iterator[ScratchEngine]:
    """An engine of its own, as its store is damaged here."""
    engine = ScratchEngine()
    try:
        engine.start()
        engine.bootstrap_busybox()
        yield engine
    finally:
        close_clean(engine)


def pushed(engine: ScratchEngine, peer: LocalRegistry) -> str:
    """An image of two layers of its own that is here and at the registry; its name."""
    name = f"{peer.host}/{unique('mend')}:1"
    engine.docker("run", "--name", "made", "busybox", "sh", "-c", f"echo {name} > /name")
    engine.docker("commit", "made", name)
    engine.docker("rm", "made")
    engine.docker("push", "-q", name)
    return name


def blob(engine: ScratchEngine, digest: str) -> Path:
    return engine.data_root / "blobs" / digest.replace(":", "/")


def parts(engine: ScratchEngine, peer: LocalRegistry, name: str) -> list[str]:
    """The digests of the manifest, the config and the layers, top first."""
    digest = engine.docker("inspect", "-f", "{{index .RepoDigests 0}}", name).stdout.strip().partition("@")[2]
    manifest = json.loads(peer.manifest(name.partition("/")[2].partition(":")[0], digest))
    layers = [layer["digest"] for layer in reversed(manifest["layers"])]
    return [digest, manifest["config"]["digest"], *layers]


def works(engine: ScratchEngine, name: str) -> bool:
    return engine.docker("run", "--rm", name, "cat", "/name").stdout == f"{name}\n"


def test_fsck_fetches_what_is_damaged(alone: ScratchEngine, peer: LocalRegistry) -> None:
    name = pushed(alone, peer)
    manifest, config, top, bottom = parts(alone, peer, name)
    before = {digest: blob(alone, digest).read_bytes() for digest in (manifest, config, top, bottom)}
    blob(alone, manifest).write_bytes(bytes(len(before[manifest])))  # as a power failure leaves files
    blob(alone, config).write_bytes(before[config][:40])
    flipped = bytearray(before[top])
    flipped[-9] ^= 1
    blob(alone, top).write_bytes(flipped)
    blob(alone, bottom).unlink()

    told = alone.nakagin("system", "fsck").stdout.splitlines()

    for digest, problem in (
        (manifest, "damaged"),
        (config, "damaged"),
        (top, "damaged"),
        (bottom, "missing"),
    ):
        (line,) = [each for each in told if digest in each]
        assert line.startswith(f"{problem} blob {digest} (of ")
        assert line.endswith(": fetched again")
        assert blob(alone, digest).read_bytes() == before[digest]
    assert "as it should be" in alone.nakagin("system", "fsck").stdout
    assert works(alone, name)


def test_fsck_tells_of_what_the_registry_has_no_more(alone: ScratchEngine, peer: LocalRegistry) -> None:
    name = pushed(alone, peer)
    *_, top, _ = parts(alone, peer, name)
    repository = name.partition("/")[2].partition(":")[0]
    shutil.rmtree(peer.folder / "data/docker/registry/v2/repositories" / repository)
    damaged = bytes(blob(alone, top).stat().st_size)
    blob(alone, top).write_bytes(damaged)
    (line,) = alone.nakagin("system", "fsck", check=1).stdout.splitlines()
    assert f"damaged blob {top} (of {name}): not repaired: remove {name}, and pull or load it again" in line
    assert blob(alone, top).read_bytes() == damaged
    assert works(alone, name)  # its unpacked layers are whole
    # As it says: load it again, and all is well.
    alone.docker("rmi", name)
    assert "as it should be" in alone.nakagin("system", "fsck").stdout


def test_an_image_whose_config_is_damaged_outlives_a_restart(
    alone: ScratchEngine, peer: LocalRegistry
) -> None:
    """It is listed, nothing starts from it, and fsck, or simply the next pull, makes it whole."""
    name = pushed(alone, peer)
    _, config, top, _ = parts(alone, peer, name)
    look = ("inspect", "-f", "{{.Id}} {{json .Config}} {{.Size}} {{.RepoTags}} {{.RepoDigests}}", name)
    shown = alone.docker(*look).stdout
    whole = blob(alone, config).read_bytes()
    for mend in (("system", "fsck"), ("pull", name)):
        alone.terminate()
        blob(alone, config).write_bytes(whole[:-7])
        blob(alone, top).unlink()
        alone.restart()
        assert name in alone.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout
        refused = alone.docker("run", "--rm", "--pull", "never", name, "true", check=125)
        assert f"No such image: {name} (it is damaged: " in refused.stderr
        told = alone.nakagin(*mend).stdout
        if mend[0] == "system":
            assert f"damaged blob {config} (of {name}): fetched again" in told
            assert f"missing blob {top} (of {name}): fetched again" in told
        assert alone.docker(*look).stdout == shown
        assert works(alone, name)
        assert "as it should be" in alone.nakagin("system", "fsck").stdout
    # Where a container is to be made, clients fetch it by themselves.
    alone.terminate()
    blob(alone, config).unlink()
    alone.restart()
    assert works(alone, name)


def test_after_a_crash_of_the_machine(alone: ScratchEngine, peer: LocalRegistry) -> None:
    """What was not yet on disk is verified: whole blobs are unpacked again, an image with a torn one is given up,
    and the next pull brings it back. What was settled before is not touched."""
    settled = alone.docker("inspect", "-f", "{{.Id}}", "busybox").stdout
    before = set(documents(alone))
    whole, torn = pushed(alone, peer), pushed(alone, peer)
    _, config, top, _ = parts(alone, peer, torn)
    alone.kill9()
    doubtful = crash_the_machine(alone, before)
    blob(alone, top).write_bytes(bytes(blob(alone, top).stat().st_size))
    assert len(doubtful) == 2
    for layer in doubtful:
        for path in layer.rglob("*"):
            if path.is_file() and not path.is_symlink():
                path.write_bytes(b"")
    alone.restart()
    assert alone.docker("inspect", "-f", "{{.Id}}", "busybox").stdout == settled
    assert works(alone, whole)
    assert torn not in alone.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout
    assert f"the image {config} is damaged and is forgotten" in alone.log.read_text()
    assert not blob(alone, top).exists()
    alone.docker("pull", "-q", torn)
    assert works(alone, torn)
    assert "as it should be" in alone.nakagin("system", "fsck").stdout


def documents(engine: ScratchEngine) -> dict[tuple[str, str], dict[str, object]]:
    """The records of images and layers, by kind and id."""
    with closing(sqlite3.connect(engine.data_root / "records.db")) as records:
        rows = records.execute("SELECT kind, id, data FROM documents WHERE kind IN ('image', 'layer')")
        return {(kind, id): json.loads(data) for kind, id, data in rows}


def crash_the_machine(engine: ScratchEngine, before: set[tuple[str, str]]) -> list[Path]:
    """Let what came in since `before` have come in an earlier boot, and not be on disk; its layers' folders."""
    fresh = {key: data for key, data in documents(engine).items() if key not in before}
    with closing(sqlite3.connect(engine.data_root / "records.db")) as records, records:
        for (kind, id), data in fresh.items():
            earlier = json.dumps({**data, "boot": "an earlier boot"}).encode()
            records.execute("UPDATE documents SET data = ? WHERE kind = ? AND id = ?", (earlier, kind, id))
    return [engine.data_root / "layers" / str(data["folder"]) for data in fresh.values() if "folder" in data]
