"""Images between us, docker-registry, skopeo, podman and dockerd: what goes round comes back byte for byte."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine
from tests.transfer.peers import LocalRegistry, run, skopeo_copy, unique

pytestmark = pytest.mark.root


@pytest.fixture
def pushed(engine: ScratchEngine, peer: LocalRegistry) -> Iterator[str]:
    """A repository on the peer with our busybox image, tag 1."""
    repository = unique()
    engine.docker("tag", "busybox", f"{peer.host}/{repository}:1")
    engine.docker("push", f"{peer.host}/{repository}:1")
    yield repository
    forget(engine, f"{peer.host}/{repository}:1")


def forget(engine: ScratchEngine, *names: str) -> None:
    """Take images away with all that belongs to them."""
    for name in names:
        engine.docker("rmi", "-f", name)


@pytest.mark.parametrize("kind", ["oci", "v2s2"])
def test_skopeo_to_us_and_back(
    engine: ScratchEngine, peer: LocalRegistry, pushed: str, tmp_path: Path, kind: str
) -> None:
    """What skopeo wrote, in OCI's or Docker's form, leaves us as it came: the manifest and every layer."""
    theirs, back = unique(), unique()
    skopeo_copy(f"docker://{peer.host}/{pushed}:1", f"docker://{peer.host}/{theirs}:1", "--format", kind)
    original = peer.manifest(theirs, "1")
    engine.docker("pull", f"{peer.host}/{theirs}:1")
    engine.docker("tag", f"{peer.host}/{theirs}:1", f"{peer.host}/{back}:2")
    engine.docker("push", f"{peer.host}/{back}:2")
    assert peer.manifest(back, "2") == original
    skopeo_copy(f"docker://{peer.host}/{back}:2", f"dir:{tmp_path}")
    for digest in peer.layers(theirs, "1"):
        assert run("sha256sum", str(tmp_path / digest.partition(":")[2])).stdout.startswith(digest[7:])
    forget(engine, f"{peer.host}/{theirs}:1", f"{peer.host}/{back}:2")


def test_what_stands_on_dockers_layers_is_oci_throughout(
    engine: ScratchEngine, peer: LocalRegistry, pushed: str, tmp_path: Path
) -> None:
    """Committed or built upon an image in Docker's form: no manifest has types of both."""
    base, name = f"{peer.host}/{unique()}:1", unique()
    skopeo_copy(f"docker://{peer.host}/{pushed}:1", f"docker://{base}", "--format", "v2s2")
    engine.docker("pull", base)
    engine.docker("run", "--name", name, base, "touch", "/more")
    engine.docker("commit", name, f"{peer.host}/{name}:committed")
    engine.docker("rm", name)
    (tmp_path / "Dockerfile").write_text(f"FROM {base}\nRUN touch /more\n")
    engine.nakagin("build", "-t", f"{peer.host}/{name}:built", str(tmp_path))
    for tag in ("committed", "built"):
        engine.docker("push", "-q", f"{peer.host}/{name}:{tag}")
        manifest = json.loads(peer.manifest(name, tag))
        kinds = {each["mediaType"] for each in (manifest, manifest["config"], *manifest["layers"])}
        assert all(kind.startswith("application/vnd.oci.image.") for kind in kinds), kinds
        engine.docker("save", "-o", f"{tmp_path}/{tag}.tar", f"{peer.host}/{name}:{tag}")
        skopeo_copy(f"oci-archive:{tmp_path}/{tag}.tar", f"dir:{tmp_path}/{tag}")
    forget(engine, base, f"{peer.host}/{name}:committed", f"{peer.host}/{name}:built")


def test_a_plain_layer_is_pushed_small_and_the_same_each_time(
    engine: ScratchEngine, peer: LocalRegistry
) -> None:
    one, two = unique(), unique()
    name = unique("made")
    engine.docker("import", str(_tar(engine)), name)
    engine.docker("tag", name, f"{peer.host}/{one}:1")
    engine.docker("push", f"{peer.host}/{one}:1")
    first = peer.manifest(one, "1")
    assert b"tar+gzip" in first
    forget(engine, f"{peer.host}/{one}:1")
    skopeo_copy(f"docker://{peer.host}/{one}:1", f"docker://{peer.host}/{two}:1")
    engine.docker("tag", name, f"{peer.host}/{two}:2")
    out = engine.docker("push", f"{peer.host}/{two}:2").stdout
    assert "Layer already exists" in out
    assert peer.manifest(two, "2") == first
    forget(engine, f"{peer.host}/{two}:2", name)


def _tar(engine: ScratchEngine) -> Path:
    path = engine.root / f"{unique('tar')}.tar"
    from tests.dockerd_fixture import busybox_tar

    path.write_bytes(busybox_tar())
    return path


def test_mounts_between_repositories(engine: ScratchEngine, peer: LocalRegistry, pushed: str) -> None:
    other = unique()
    engine.docker("tag", f"{peer.host}/{pushed}:1", f"{peer.host}/{other}:1")
    out = engine.docker("push", f"{peer.host}/{other}:1").stdout
    assert "Mounted from" in out
    assert peer.manifest(other, "1") == peer.manifest(pushed, "1")


def test_podman_runs_what_we_pushed_and_we_what_podman_pushed(
    engine: ScratchEngine, peer: LocalRegistry, pushed: str
) -> None:
    if not shutil.which("podman"):
        pytest.skip("no podman")
    folder = tempfile.mkdtemp(prefix="nk-p", dir="/var/tmp")  # podman bounds the length of its paths
    podman = ("podman", "--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs")
    theirs = unique()
    try:
        run(*podman, "pull", "--tls-verify=false", f"{peer.host}/{pushed}:1")
        run(*podman, "push", "--tls-verify=false", f"{peer.host}/{pushed}:1", f"{peer.host}/{theirs}:1")
    finally:
        shutil.rmtree(folder)
    engine.docker("pull", f"{peer.host}/{theirs}:1")
    assert engine.docker("run", "--rm", f"{peer.host}/{theirs}:1", "echo", "podman").stdout == "podman\n"
    forget(engine, f"{peer.host}/{theirs}:1")


@pytest.mark.alone
def test_dockerd_runs_what_we_pushed_and_we_what_dockerd_pushed(
    engine: ScratchEngine, peer: LocalRegistry, pushed: str
) -> None:
    from tests.dockerd_fixture import ScratchDockerd

    dockerd = ScratchDockerd()
    theirs = unique()
    try:
        dockerd.start()
        dockerd.docker("pull", f"{peer.host}/{pushed}:1")
        assert dockerd.docker("images", "-q", "--no-trunc").stdout == engine.docker(
            "images", "-q", "--no-trunc", f"{peer.host}/{pushed}"
        ).stdout  # fmt: skip
        dockerd.docker("tag", f"{peer.host}/{pushed}:1", f"{peer.host}/{theirs}:1")
        dockerd.docker("push", f"{peer.host}/{theirs}:1")
    finally:
        dockerd.close()
    original = peer.manifest(theirs, "1")
    engine.docker("pull", f"{peer.host}/{theirs}:1")
    assert engine.docker("run", "--rm", f"{peer.host}/{theirs}:1", "echo", "dockerd").stdout == "dockerd\n"
    back = unique()
    engine.docker("tag", f"{peer.host}/{theirs}:1", f"{peer.host}/{back}:1")
    engine.docker("push", f"{peer.host}/{back}:1")
    assert peer.manifest(back, "1") in (original, peer.manifest(pushed, "1"))
    forget(engine, f"{peer.host}/{theirs}:1", f"{peer.host}/{back}:1")
