"""What comes out of a build: files, archives, images here and at registries, and what is written about them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.building.by_command import build
from tests.engine_fixture import ScratchEngine
from tests.registry.faulty import FaultyRegistry

pytestmark = pytest.mark.root

_FILES = """
FROM busybox AS made
RUN mkdir -p /out/deep && echo one > /out/one && ln -s one /out/link && ln /out/one /out/hard && chmod 4755 /out/deep
FROM scratch
COPY --from=made /out /
CMD ["/one"]
"""


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with FaultyRegistry() as found:
        yield found


def inspect(engine: ScratchEngine, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.nakagin("image", "inspect", name).stdout)[0]
    return found


def test_files_go_to_a_folder_and_a_tar(engine: ScratchEngine, folder: Path) -> None:
    """DF.output.local DF.output.tar DF.output.multiple"""
    out, tar = folder.parent / "out", folder.parent / "out.tar"
    before = engine.nakagin("images", "-aq").stdout
    build(engine, folder, _FILES, "-o", str(out), "--output", f"type=tar,dest={tar}")
    assert (out / "one").read_text() == "one\n"
    assert (out / "link").readlink() == Path("one")
    assert (out / "hard").stat().st_ino == (out / "one").stat().st_ino
    assert (out / "deep").stat().st_mode & 0o7777 == 0o755
    with tarfile.open(tar) as archive:
        assert sorted(archive.getnames()) == ["deep", "hard", "link", "one"]
    assert engine.nakagin("images", "-aq").stdout == before
    (folder / "Dockerfile").write_text(_FILES)
    raw = subprocess.run(
        engine.nakagin_argv("build", "-o", "-", str(folder)),
        capture_output=True,
        check=True,
        env=engine.environment(),
    )
    (folder.parent / "raw.tar").write_bytes(raw.stdout)
    with tarfile.open(folder.parent / "raw.tar") as archive:
        assert "one" in archive.getnames()


def test_archives_of_images(engine: ScratchEngine, folder: Path) -> None:
    """DF.output.oci DF.output.docker"""
    oci, docker, layout = (folder.parent / name for name in ("oci.tar", "docker.tar", "layout"))
    build(
        engine, folder, _FILES, "-t", "archived:1", "-o", f"type=oci,dest={oci}", "-o", f"type=docker,dest={docker}",
        "-o", f"type=oci,tar=false,dest={layout}",
    )  # fmt: skip
    assert "archived" not in engine.nakagin("images").stdout
    assert (layout / "oci-layout").is_file()
    for archive in (oci, docker):
        assert "archived:1" in engine.nakagin("load", "-i", str(archive)).stdout
        assert inspect(engine, "archived:1")["Config"]["Cmd"] == ["/one"]
        engine.nakagin("rmi", "archived:1")


def test_an_image_goes_to_a_registry(engine: ScratchEngine, folder: Path, registry: FaultyRegistry) -> None:
    """DF.output.registry DF.output.image DF.output.iidfile DF.output.metadata-file DF.build.opts.tag-multi"""
    at = f"{registry.host}/made"
    written, metadata = folder.parent / "iid", folder.parent / "metadata"
    build(
        engine, folder, _FILES, "-t", f"{at}:1", "-t", f"{at}:2", "--push", "--iidfile", str(written),
        "--metadata-file", str(metadata),
    )  # fmt: skip
    image = inspect(engine, f"{at}:1")
    assert written.read_text() == image["Id"]
    told = json.loads(metadata.read_text())
    assert told["containerimage.config.digest"] == image["Id"]
    assert f"{at}@{told['containerimage.digest']}" in image["RepoDigests"]
    engine.nakagin("rmi", f"{at}:1", f"{at}:2")
    engine.nakagin("pull", "-q", f"{at}:2")
    assert inspect(engine, f"{at}:2")["Id"] == image["Id"]
    build(engine, folder, _FILES, "--output", f"type=image,name={at}:3,push=true")
    with urllib.request.urlopen(f"http://{at.replace('/', '/v2/', 1)}/tags/list") as answer:
        assert json.load(answer)["tags"] == ["1", "2", "3"]
    engine.nakagin("rmi", f"{at}:2", f"{at}:3")


def test_several_platforms_make_an_index(engine: ScratchEngine, folder: Path) -> None:
    """DF.output.multi-platform DF.output.annotations DF.arg.platform.TARGETPLATFORM DF.arg.platform.TARGETARCH
    DF.from.platform-arg DF.output.oci-mediatypes"""
    text = """
FROM --platform=$BUILDPLATFORM busybox AS made
ARG TARGETPLATFORM TARGETARCH TARGETVARIANT BUILDARCH
RUN echo $TARGETPLATFORM $TARGETARCH $TARGETVARIANT $BUILDARCH > /r
FROM scratch
COPY --from=made /r /
"""
    layout, out = folder.parent / "layout", folder.parent / "out"
    build(
        engine, folder, text, "--platform", "linux/amd64,linux/arm/v7", "--annotation", "index:who=index",
        "--annotation", "manifest:who=manifest", "--annotation", "manifest-descriptor:who=described",
        "-o", f"type=oci,tar=false,dest={layout}", "-o", str(out), "-t", "several:1",
        "-o", f"type=tar,dest={out}.tar",
    )  # fmt: skip
    with tarfile.open(f"{out}.tar") as packed:
        assert packed.getnames() == ["linux_amd64", "linux_amd64/r", "linux_arm_v7", "linux_arm_v7/r"]
    assert (out / "linux_amd64" / "r").read_text() == "linux/amd64 amd64 amd64\n"
    assert (out / "linux_arm_v7" / "r").read_text() == "linux/arm/v7 arm v7 amd64\n"

    def blob(descriptor: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            (layout / "blobs" / descriptor["digest"].replace(":", "/")).read_text()
        )
        return found

    index = blob(json.loads((layout / "index.json").read_text())["manifests"][0])
    assert index["annotations"] == {"who": "index"}
    assert [each["platform"]["architecture"] for each in index["manifests"]] == ["amd64", "arm"]
    assert index["manifests"][1]["platform"]["variant"] == "v7"
    assert index["manifests"][0]["annotations"] == {"who": "described"}
    manifest = blob(index["manifests"][1])
    assert manifest["annotations"] == {"who": "manifest"}
    assert blob(manifest["config"])["architecture"] == "arm"


@pytest.mark.parametrize("kind", ["gzip", "zstd", "uncompressed", "estargz"])
def test_the_compression_of_layers(engine: ScratchEngine, folder: Path, kind: str) -> None:
    """DF.output.compression"""
    target = folder.parent / "layout"
    build(engine, folder, _FILES, "-o", f"type=oci,tar=false,dest={target},compression={kind}")
    top = json.loads((target / "index.json").read_text())["manifests"][0]
    manifest = json.loads((target / "blobs" / top["digest"].replace(":", "/")).read_text())
    suffix = {"gzip": ".tar+gzip", "zstd": ".tar+zstd", "uncompressed": ".tar", "estargz": ".tar+gzip"}[kind]
    assert manifest["layers"][0]["mediaType"] == f"application/vnd.oci.image.layer.v1{suffix}"
    layer = (target / "blobs" / manifest["layers"][0]["digest"].replace(":", "/")).read_bytes()
    begin = {"zstd": b"\x28\xb5\x2f\xfd", "uncompressed": b""}.get(kind, b"\x1f\x8b")
    assert layer.startswith(begin)
    if kind == "estargz":
        config = json.loads((target / "blobs" / manifest["config"]["digest"].replace(":", "/")).read_text())
        plain = gzip.decompress(layer)
        assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(plain).hexdigest()}"]
        said = manifest["layers"][0]["annotations"]
        assert said["io.containers.estargz.uncompressed-size"] == str(len(plain))
        with tarfile.open(fileobj=io.BytesIO(plain)) as packed:
            table = packed.extractfile("stargz.index.json")
            assert table is not None
            digest = f"sha256:{hashlib.sha256(table.read()).hexdigest()}"
        assert said["containerd.io/snapshot/stargz/toc.digest"] == digest
        with tarfile.open(folder.parent / "lazy.tar", "w") as packed:
            packed.add(target, ".")
        loaded = engine.nakagin("load", "-q", "-i", str(folder.parent / "lazy.tar")).stdout.split()[-1]
        engine.nakagin("rmi", loaded)


def test_docker_s_own_media_types(engine: ScratchEngine, folder: Path, registry: FaultyRegistry) -> None:
    """DF.output.oci-mediatypes"""
    name = f"{registry.host}/dockers:1"
    options = (
        "--platform",
        "linux/amd64,linux/arm64",
        "-o",
        f"type=registry,name={name},oci-mediatypes=false",
    )
    build(engine, folder, "FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /$TARGETARCH\n", *options)
    docker = "application/vnd.docker"
    kind, data = registry.manifests["dockers", "1"]
    index = json.loads(data)
    assert kind == index["mediaType"] == f"{docker}.distribution.manifest.list.v2+json"
    for each in index["manifests"]:
        assert each["mediaType"] == f"{docker}.distribution.manifest.v2+json"
        manifest = json.loads(registry.manifests["dockers", each["digest"]][1])
        assert manifest["config"]["mediaType"] == f"{docker}.container.image.v1+json"
        assert manifest["layers"][0]["mediaType"] == f"{docker}.image.rootfs.diff.tar.gzip"
    engine.nakagin("rmi", name)


def test_layers_of_the_base_are_made_anew_on_demand(engine: ScratchEngine, folder: Path) -> None:
    """DF.output.compression"""
    target = folder.parent / "layout"
    wanted = f"type=oci,tar=false,dest={target},compression=zstd,compression-level=19,force-compression=true"
    build(engine, folder, "FROM busybox\nRUN echo x > /x\n", "-o", wanted)
    top = json.loads((target / "index.json").read_text())["manifests"][0]
    manifest = json.loads((target / "blobs" / top["digest"].replace(":", "/")).read_text())
    assert len(manifest["layers"]) == 2
    for layer in manifest["layers"]:
        assert layer["mediaType"].endswith("+zstd")
        data = (target / "blobs" / layer["digest"].replace(":", "/")).read_bytes()
        assert data.startswith(b"\x28\xb5\x2f\xfd")
    archive = folder.parent / "again.tar"
    with tarfile.open(archive, "w") as packed:
        packed.add(target, ".")
    loaded = engine.nakagin("load", "-i", str(archive)).stdout.split()[-1]
    assert engine.nakagin("run", "--rm", loaded, "cat", "/x").stdout == "x\n"
    engine.nakagin("rmi", "-f", loaded)


def test_squash_keeps_what_is_seen(engine: ScratchEngine, folder: Path) -> None:
    text = """
FROM busybox
RUN mkdir /a /b && echo 1 > /a/x && echo 2 > /b/y && echo gone > /gone && rm /bin/vi
RUN rm -r /a /gone && mkdir /a && echo 3 > /a/z && rm -r /home && mkdir /home && ln -s /b /l
COPY Dockerfile /b/
"""
    build(engine, folder, text, "-t", "whole")
    build(engine, folder, text, "-t", "squashed", "--squash")
    apart = "-path /proc -o -path /sys -o -path /dev -o -path /etc"
    command = f"find / -xdev \\( {apart} \\) -prune -o -print | sort; cat /a/z /l/y"
    seen = [engine.nakagin("run", "--rm", name, "sh", "-c", command).stdout for name in ("whole", "squashed")]
    assert seen[0] == seen[1]
    assert "/a/z" in seen[0]
    assert "/gone" not in seen[0]
    assert len(inspect(engine, "whole")["RootFS"]["Layers"]) == 4
    squashed = inspect(engine, "squashed")
    assert len(squashed["RootFS"]["Layers"]) == 2
    assert "merge sha256:" in engine.nakagin("history", "--no-trunc", "squashed").stdout
    engine.nakagin("rmi", "whole", "squashed")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "type=nothing"], "unknown output type"),
        (["-o", "type=local"], "dest is required"),
        (["-o", "type=image,what=1"], "does not know 'what'"),
        (["-o", "type=image,compression-level=99"], "invalid compression-level"),
        (["-o", "type=image,oci-mediatypes=false,compression=zstd"], "needs OCI's media types"),
        (["--push"], "a push needs a name"),
        (["--annotation", "x"], "invalid annotation"),
        (["--secret", "id=x,src=/nowhere/at/all"], "is no file"),
        (["--build-context", "x"], "invalid context value"),
        (["--ssh", "k=/nowhere/at/all"], "required"),
    ],
)
def test_what_can_not_be_is_told(engine: ScratchEngine, folder: Path, options: list[str], words: str) -> None:
    text = "FROM busybox\nRUN --mount=type=ssh,id=other,required true\n" if "--ssh" in options else _FILES
    assert words in build(engine, folder, text, *options, check=1)


def test_false_attestations_are_accepted(engine: ScratchEngine, folder: Path) -> None:
    build(engine, folder, "FROM busybox\n", "--sbom=false", "--provenance=false", "--load")
