"""Other people's clients push to our registry and pull from it: skopeo, podman, buildah and dockerd."""

from __future__ import annotations

import gzip
import io
import json
import os
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.dockerd_fixture import ScratchDockerd
from tests.registry.server.box import Image, Served, descriptor, digest_of

from nakagin.spec.image import MEDIA_CONFIG, MEDIA_INDEX, MEDIA_LAYER_GZIP, MEDIA_MANIFEST

pytestmark = pytest.mark.root


def layer(name: str, size: int) -> tuple[bytes, bytes]:
    """A layer with one file: (plain, compressed)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = size
        archive.addfile(entry, io.BytesIO(secrets.token_bytes(size)))
    return stream.getvalue(), gzip.compress(stream.getvalue(), 1)


def runnable_image() -> Image:
    """An image that engines unpack: layers are tars, the config knows their digests."""
    layers = [layer(f"file{number}", 200_000) for number in range(3)]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/file0"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(plain) for plain, _ in layers]},
    }
    data = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MEDIA_MANIFEST,
        "config": descriptor(data, MEDIA_CONFIG),
        "layers": [descriptor(packed, MEDIA_LAYER_GZIP) for _, packed in layers],
    }
    return Image(data, tuple(packed for _, packed in layers), json.dumps(manifest).encode())


def run(*argv: str, **environment: str) -> str:
    """The program's output; AssertionError with its words where it fails."""
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=120, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


def write_layout(folder: Path, image: Image, tag: str) -> None:
    """The image as an OCI layout."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)
    for data in (*image.blobs, image.manifest):
        (blobs / digest_of(data).partition(":")[2]).write_bytes(data)
    entry = {
        **descriptor(image.manifest, image.media_type),
        "annotations": {"org.opencontainers.image.ref.name": tag},
    }
    index = {"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": [entry]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


@pytest.mark.skipif(not shutil.which("skopeo"), reason="no skopeo")
def test_skopeo(registry: Served, name: str, tmp_path: Path) -> None:
    image = runnable_image()
    write_layout(tmp_path / "in", image, "v1")
    there = f"docker://{registry.address}/{name}"
    run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{tmp_path}/in:v1", f"{there}:v1")
    registry.check(image, "v1", name)
    run("skopeo", "copy", "--src-tls-verify=false", f"{there}:v1", f"oci:{tmp_path}/out:v1")
    found = {path.name: path.read_bytes() for path in (tmp_path / "out/blobs/sha256").iterdir()}
    assert found == {digest_of(data).partition(":")[2]: data for data in (*image.blobs, image.manifest)}
    shown = json.loads(run("skopeo", "inspect", "--tls-verify=false", f"{there}:v1"))
    assert (shown["Digest"], shown["RepoTags"]) == (image.digest, ["v1"])
    # From repository to repository: mounts instead of uploads.
    both = ("--src-tls-verify=false", "--dest-tls-verify=false")
    run("skopeo", "copy", *both, f"{there}:v1", f"{there}/mounted:v2")
    registry.check(image, "v2", f"{name}/mounted")
    run("skopeo", "delete", "--tls-verify=false", f"{there}/mounted:v2")
    assert registry.get(f"/v2/{name}/mounted/tags/list").json["tags"] == []


@pytest.fixture
def storage() -> Iterator[tuple[str, ...]]:
    """Storage flags of podman and buildah, away from the machine's own; podman wants short paths."""
    folder = tempfile.mkdtemp(prefix="nk-", dir="/var/tmp")
    yield "--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs"
    shutil.rmtree(folder)


@pytest.mark.parametrize("program", ["podman", "buildah"])
def test_podman_and_buildah(registry: Served, name: str, storage: tuple[str, ...], program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"no {program}")
    image = runnable_image()
    registry.push(image, "v1", name)
    there = f"{registry.address}/{name}"
    run(program, *storage, "pull", "--tls-verify=false", f"{there}:v1")
    # A fresh repository, and the manifest as it came: what podman has not pulled it has to recompress.
    run(program, *storage, "push", "--tls-verify=false", f"{there}:v1", f"docker://{there}/back:v1")
    back = registry.get(f"/v2/{name}/back/manifests/v1", Accept="*/*").json
    assert back["config"]["digest"] == digest_of(image.config)
    assert [each["digest"] for each in back["layers"]] == [digest_of(each) for each in image.layers]
    for data in image.blobs:
        assert registry.get(f"/v2/{name}/back/blobs/{digest_of(data)}").body == data


@pytest.fixture
def dockerd() -> Iterator[ScratchDockerd]:
    """Debian's dockerd."""
    engine = ScratchDockerd()
    try:
        engine.start()
        yield engine
    finally:
        found = engine.close()
        assert not found


def test_dockerd(registry: Served, name: str, dockerd: ScratchDockerd) -> None:
    image = runnable_image()
    registry.push(image, "v1", name)
    there = f"{registry.address}/{name}"
    dockerd.docker("pull", f"{there}:v1")
    inspected = json.loads(dockerd.docker("image", "inspect", f"{there}:v1").stdout)[0]
    assert inspected["Id"] == digest_of(image.config)
    assert inspected["RepoDigests"] == [f"{there}@{image.digest}"]
    dockerd.docker("tag", f"{there}:v1", f"{there}/back:v2")
    pushed = dockerd.docker("push", f"{there}/back:v2").stdout
    assert "digest: sha256:" in pushed
    back = registry.get(f"/v2/{name}/back/manifests/v2", Accept="*/*").json
    assert back["config"]["digest"] == digest_of(image.config)
    assert [each["digest"] for each in back["layers"]] == [digest_of(each) for each in image.layers]
    dockerd.docker("rmi", f"{there}:v1", f"{there}/back:v2")
    dockerd.docker("pull", f"{there}/back:v2")
    again = json.loads(dockerd.docker("image", "inspect", f"{there}/back:v2").stdout)[0]
    assert again["Id"] == inspected["Id"]
