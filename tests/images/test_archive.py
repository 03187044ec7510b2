"""Archives by other tools, old and new, whole and broken."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from tests.storage.tars import directory, link, member, symlink, tar

from nakagin.errors import Damaged, Invalid, NakaginError
from nakagin.images.library import Images
from nakagin.images.model import Image
from nakagin.spec.digest import digest_of

pytestmark = pytest.mark.root
Make = Callable[..., Image]
ENCODERS = [gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress]
LAYERS = [tar(member("a", b"first")), tar(member("b", b"second"), member(".wh.a"))]


def config(*layers: bytes, **more: object) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]}
    document = {"architecture": "amd64", "os": "linux", "rootfs": rootfs, "config": {"Cmd": ["x"]}, **more}
    return json.dumps(document, indent=1).encode()


def old_docker(name: str | None = "app:1", *, broken: str = "") -> bytes:
    """As `docker save` wrote until 24: folders named by layer, some layers as symlinks, manifest.json last."""
    document = config(*LAYERS)
    item = {
        "Config": "cfg.json",
        "RepoTags": [name] if name else None,
        "Layers": ["one/layer.tar", "two/layer.tar"],
    }
    members = [
        directory("one/"), member("one/VERSION", b"1.0"), member("one/json", b"{}"), member("one/layer.tar", LAYERS[0]),
        directory("two/"), symlink("two/layer.tar", "../three/layer.tar"), member("three/layer.tar", LAYERS[1]),
        member("cfg.json", document), member("manifest.json", json.dumps([item]).encode()),
        member("repositories", b"{}"),
    ]  # fmt: skip
    return tar(*(each for each in members if each[0].name != broken))


def layout(*descriptors: dict[str, object], blobs: list[bytes]) -> bytes:
    index = json.dumps({"schemaVersion": 2, "manifests": list(descriptors)}).encode()
    files = [member(f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob) for blob in blobs]
    return tar(member("index.json", index), member("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), *files)


def manifest(document: bytes, *layers: bytes) -> bytes:
    described = [{"mediaType": "x", "digest": digest_of(layer), "size": len(layer)} for layer in layers]
    target = {"digest": digest_of(document), "size": len(document)}
    return json.dumps({"schemaVersion": 2, "config": target, "layers": described}).encode()


def descriptor(blob: bytes, kind: str = "manifest", **more: object) -> dict[str, object]:
    return {
        "mediaType": f"application/vnd.oci.image.{kind}.v1+json",
        "digest": digest_of(blob),
        "size": len(blob),
        **more,
    }


def nothing_left(images: Images, tmp_path: Path) -> None:
    assert images.list() == []
    for folder in ("blobs/sha256", "layers", "tmp"):
        assert not (tmp_path / folder).exists() or os.listdir(tmp_path / folder) == []


@pytest.mark.parametrize(
    "encode", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress]
)
def test_the_old_layout_in_any_compression(images: Images, encode: Callable[[bytes], bytes]) -> None:
    assert images.load(io.BytesIO(encode(old_docker()))) == ["app:1"]
    image = images.resolve("app:1")
    assert image.id == digest_of(config(*LAYERS))
    assert (image.cmd, image.size) == (["x"], 11)


@pytest.mark.parametrize(
    "encode", [gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress]
)
def test_layers_in_any_compression(images: Images, tmp_path: Path, encode: Callable[[bytes], bytes]) -> None:
    document, packed = config(*LAYERS), [encode(layer) for layer in LAYERS]
    written = manifest(document, *packed)
    named = descriptor(written, annotations={"io.containerd.image.name": "docker.io/library/app:1"})
    assert images.load(io.BytesIO(layout(named, blobs=[document, written, *packed]))) == ["app:1"]
    kinds = {layer.media_type for layer in images.resolve("app:1").record.layers}
    assert kinds <= {f"application/vnd.oci.image.layer.v1.tar{suffix}" for suffix in ("", "+gzip", "+zstd")}
    saved = b"".join(images.save(["app:1"]))
    images.remove("app:1")
    nothing_left(images, tmp_path)
    assert images.load(io.BytesIO(saved)) == ["app:1"]


def test_without_a_name(images: Images) -> None:
    assert images.load(io.BytesIO(old_docker(None))) == [digest_of(config(*LAYERS))]
    document = config(LAYERS[0])
    written = manifest(document, LAYERS[0])
    bare_tag = descriptor(written, annotations={"org.opencontainers.image.ref.name": "latest"})
    assert images.load(io.BytesIO(layout(bare_tag, blobs=[document, written, LAYERS[0]]))) == [
        digest_of(document)
    ]


def test_of_several_platforms_ours_is_taken(images: Images) -> None:
    ours = images.platform
    documents = [config(LAYERS[0], architecture=arch) for arch in ("s390x", ours.architecture)]
    manifests = [manifest(document, LAYERS[0]) for document in documents]
    entries = [
        descriptor(manifests[0], platform={"os": "linux", "architecture": "s390x"}),
        descriptor(b"not there", platform={"os": "linux", "architecture": ours.architecture}),
        descriptor(manifests[1], platform={"os": "linux", "architecture": ours.architecture}),
        descriptor(manifests[0], platform={"os": "unknown", "architecture": "unknown"}),
    ]
    inner = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    name = {"org.opencontainers.image.ref.name": "quay.io/team/app:2"}
    outer = descriptor(inner, "index", annotations=name)
    data = layout(outer, blobs=[inner, *documents, *manifests, LAYERS[0]])
    assert images.load(io.BytesIO(data)) == ["quay.io/team/app:2"]
    assert images.resolve("quay.io/team/app:2").id == digest_of(documents[1])


def test_several_images(images: Images, make: Make, tmp_path: Path) -> None:
    one, two = make("one:a", "1"), make("two:b", "2")
    images.tag("one:a", "one:z")
    saved = b"".join(images.save(["one", "two:b", "one:a"]))
    for image in (one, two):
        images.remove(image.id, force=True)
    nothing_left(images, tmp_path)
    assert sorted(images.load(io.BytesIO(saved))) == ["one:a", "one:z", "two:b"]
    assert images.resolve("one:z").id == one.id


def test_saving_is_deterministic_and_by_id_nameless(images: Images, make: Make) -> None:
    image = make("app")
    assert b"".join(images.save(["app"])) == b"".join(images.save(["app:latest"]))
    with tarfile.open(fileobj=io.BytesIO(b"".join(images.save([image.id])))) as archive:
        written = archive.extractfile("manifest.json")
        assert written
        assert json.load(written)[0]["RepoTags"] is None


def test_links_inside_the_archive(images: Images) -> None:
    document = config(LAYERS[0])
    item = {"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["hard.tar"]}
    data = tar(
        member("real.tar", LAYERS[0]), link("hard.tar", "real.tar"), symlink("c.json", "config"),
        member("config", document), member("./manifest.json", json.dumps([item]).encode()),
    )  # fmt: skip
    assert images.load(io.BytesIO(data)) == ["app:1"]


BROKEN = {
    "no tar": b"hello" * 300,
    "empty": b"",
    "no manifest": tar(member("f", b"x")),
    "cut": old_docker()[:3000],
    "manifest is no JSON": tar(member("manifest.json", b"{")),
    "manifest of another shape": tar(member("manifest.json", b'{"a": 1}')),
    "no config": old_docker(broken="cfg.json"),
    "no layer": old_docker(broken="three/layer.tar"),
    "bad name": old_docker("App::1"),
    "symlink loop": tar(symlink("manifest.json", "manifest.json")),
    "symlink out": tar(symlink("manifest.json", "/etc/passwd")),
    "wrong blob": tar(member("blobs/sha256/" + "0" * 64, b"x")),
    "index without digest": layout({"mediaType": "application/vnd.oci.image.manifest.v1+json"}, blobs=[]),
    "config without layers": tar(
        member("c", b"{}"), member("manifest.json", b'[{"Config":"c","RepoTags":null,"Layers":[]}]')
    ),
    "too few layers": tar(
        member("c", config(*LAYERS)),
        member("l", LAYERS[0]),
        member("manifest.json", b'[{"Config":"c","RepoTags":null,"Layers":["l"]}]'),
    ),
    "wrong diff id": tar(
        member("c", config(LAYERS[1])),
        member("l", LAYERS[0]),
        member("manifest.json", b'[{"Config":"c","RepoTags":null,"Layers":["l"]}]'),
    ),
    "hostile layer": tar(
        member("c", config(tar(member("../../x")))),
        member("l", tar(member("../../x"))),
        member("manifest.json", b'[{"Config":"c","RepoTags":null,"Layers":["l"]}]'),
    ),
    "foreign system": tar(
        member("c", config(os="windows")),
        member("manifest.json", b'[{"Config":"c","RepoTags":null,"Layers":null}]'),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_archives(images: Images, tmp_path: Path, case: str) -> None:
    with pytest.raises(NakaginError) as caught:
        images.load(io.BytesIO(BROKEN[case]))
    assert caught.value.message
    nothing_left(images, tmp_path)


def test_what_is_here_already_is_not_disturbed(images: Images) -> None:
    images.load(io.BytesIO(old_docker()))
    for case in ("cut", "wrong diff id"):
        with pytest.raises(Damaged):
            images.load(io.BytesIO(BROKEN[case]))
    assert images.load(io.BytesIO(old_docker("again:1"))) == ["again:1"]
    assert images.resolve("app:1").repo_tags == ("again:1", "app:1")
    with pytest.raises(Invalid):
        images.load(io.BytesIO(BROKEN["no manifest"]))


@pytest.fixture
def skopeo(tmp_path: Path) -> Callable[..., None]:
    """Runs skopeo; it knows what other tools read and write."""
    policy = tmp_path / "policy.json"
    policy.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')

    def run(*words: str) -> None:
        command = ["skopeo", "--policy", str(policy), "--tmpdir", str(tmp_path), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return run


@pytest.mark.skipif(not os.path.exists("/usr/bin/skopeo"), reason="skopeo is not installed")
@pytest.mark.parametrize(
    ("target", "option"),
    [
        ("docker-archive:{0}:docker.io/library/app:1", "--all"),
        ("oci-archive:{0}:docker.io/library/app:1", "--dest-compress-format=gzip"),
        ("oci-archive:{0}:docker.io/library/app:1", "--dest-compress-format=zstd"),
    ],
)
def test_there_and_back_through_skopeo(
    images: Images, make: Make, tmp_path: Path, skopeo: Callable[..., None], target: str, option: str
) -> None:
    make("app:1", "hello")
    ours, theirs = tmp_path / "ours.tar", tmp_path / "theirs.tar"
    ours.write_bytes(b"".join(images.save(["app:1"])))
    images.remove("app:1")
    skopeo("copy", option, f"docker-archive:{ours}:docker.io/library/app:1", target.format(theirs))
    with theirs.open("rb") as stream:
        assert images.load(stream) == ["app:1"]
    image = images.resolve("app:1")
    assert (image.size, image.env[0][:5]) == (5, "PATH=")


@pytest.mark.skipif(not os.path.exists("/usr/bin/skopeo"), reason="skopeo is not installed")
def test_what_is_saved_is_also_an_oci_layout(
    images: Images, make: Make, tmp_path: Path, skopeo: Callable[..., None]
) -> None:
    make("app:1", "hello")
    ours = tmp_path / "ours.tar"
    ours.write_bytes(b"".join(images.save(["app:1"])))
    skopeo("copy", f"oci-archive:{ours}", f"oci:{tmp_path}/layout:app")
    assert json.loads((tmp_path / "layout" / "index.json").read_text())["manifests"]
