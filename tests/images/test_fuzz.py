"""Hostile manifests, indexes, configs, tars and archives: no crash, no escape from the data root, nothing half stored.

Every input either becomes a whole image or raises an error of ours. `--fuzz-rounds 100` goes on much longer.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.storage.tars import directory, link, member, symlink, tar

from nakagin.errors import NakaginError, NotFound
from nakagin.images.intake import blobs_of
from nakagin.images.library import Images
from nakagin.storage.blobs import Blobs
from nakagin.storage.layers import Layers
from nakagin.storage.records import Records
from nakagin.storage.snapshots import Snapshots
from nakagin.storage.unpack import Bounds

pytestmark = pytest.mark.root

LAYER = tar(directory("d"), member("d/f", b"data"), symlink("d/l", "/etc"), link("d/h", "d/f"))
KINDS = [
    "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json", "", "x",
]  # fmt: skip


class Store:
    """A data root with a canary beside it."""

    def __init__(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="nk-fuzz-", dir="/dev/shm"))
        self.root = self.place / "data"
        self.root.mkdir()
        (self.place / "canary").write_text("sings")
        self.records = Records(str(self.root / "records.db"))
        layers = Layers(str(self.root), self.records, Bounds(size=1 << 24, entries=1000))
        snapshots = Snapshots(str(self.root), self.records, layers)
        self.images = Images(self.records, Blobs(str(self.root)), layers, snapshots)
        self.loads = 0

    def load(self, archive: bytes) -> None:
        self.loads += 1
        try:
            self.images.load(io.BytesIO(archive))
        except NakaginError:
            pass
        self.check()
        for image in list(self.images.list()):
            try:
                assert b"".join(self.images.save([image.id]))
                self.images.remove(image.id, force=True)
            except NotFound:
                continue  # it went with another platform

    def apply(self, layer: bytes) -> None:
        self.loads += 1
        layers = self.images.layers
        try:
            made = layers.apply(io.BytesIO(layer), None)
        except NakaginError:
            pass
        else:
            layers.remove(made.chain_id)
        self.check()

    def check(self) -> None:
        images = self.images.list()
        assert set(self.images.blobs.all()) == {digest for image in images for digest in blobs_of(image)} | {
            image.index for image in images if image.index
        }
        assert os.listdir(self.root / "tmp") == []
        assert sorted(os.listdir(self.place)) == ["canary", "data"]
        assert (self.place / "canary").read_text() == "sings"
        if self.loads % 50 == 0:
            self.images.collect()

    def close(self) -> None:
        self.records.close()
        shutil.rmtree(self.place)


@pytest.fixture
def store() -> Iterator[Store]:
    found = Store()
    yield found
    found.close()


@pytest.fixture
def rounds(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--fuzz-rounds"))


def fuzz(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


# --- Tars

NAMES = st.sampled_from(
    [
        "a", "a/b", "d/f", "d/l/passwd", "../x", "/abs", "a/../../x", ".", "..", "", "./", "d", "d/h", "a" * 300,
        "/".join("abcdefgh" * 20), ".wh.a", ".wh..wh..opq", "a/.wh.b", ".wh.", ".wh..", ".wh...", ".wh..wh.plnk",
        "\udcff", "a\nb", "d/l", "l", "../../canary", "d/l/../../canary",
    ]
)  # fmt: skip
TYPES = st.sampled_from([bytes([kind]) for kind in b"0512346SxgLK?7"])
NUMBERS = st.sampled_from([0, 1, 1000, 65534, 2**31, 2**32 - 1, 2**32, -1])


@st.composite
def entries(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    data = draw(st.binary(max_size=700))
    kind = draw(TYPES)
    pax = draw(st.dictionaries(
        st.sampled_from(["path", "size", "uid", "mtime", "linkpath", "GNU.sparse.major", "GNU.sparse.map",
                         "GNU.sparse.realsize", "SCHILY.xattr.user.a", "SCHILY.xattr.security.capability",
                         "SCHILY.xattr.trusted.overlay.opaque", "SCHILY.xattr.system.posix_acl_access"]),
        st.sampled_from(["", "1", "0", "-1", "../../canary", "9" * 30, "0,1", "1,2,3", "y", "\udcff\x01", "1.5"]),
        max_size=2,
    ))  # fmt: skip
    return member(
        draw(NAMES), data, type=kind, linkname=draw(NAMES), uid=draw(NUMBERS), gid=draw(NUMBERS),
        mode=draw(st.integers(0, 0o7777)), mtime=draw(st.sampled_from([0, -5, 1 << 40])), pax_headers=pax,
        devmajor=draw(NUMBERS), devminor=draw(NUMBERS),
    )  # fmt: skip


FORMATS = st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])


def packed(members: list[tuple[tarfile.TarInfo, bytes]], form: int) -> bytes:
    try:
        return tar(*members, format=form)
    except (ValueError, UnicodeError, OverflowError):
        return b""


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    found = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(found) - 1, 0)))
        kind = draw(st.integers(0, 3))
        if kind == 0 and found:
            found[at] = draw(st.integers(0, 255))
        elif kind == 1:
            del found[at : at + draw(st.integers(1, 600))]
        elif kind == 2:
            found[at:at] = draw(st.binary(max_size=40))
        else:
            found[at : at + 12] = draw(
                st.sampled_from([b"\x80" + b"\xff" * 11, b"77777777777\0", b"\0" * 12])
            )
    return bytes(found)


def test_layers_of_odd_entries(store: Store, rounds: int) -> None:
    @fuzz(800 * rounds)
    @given(st.lists(entries(), max_size=6), FORMATS)
    def run(members: list[tuple[tarfile.TarInfo, bytes]], form: int) -> None:
        store.apply(packed(members, form))

    run()
    assert store.loads >= 600


def test_layers_with_broken_bytes(store: Store, rounds: int) -> None:
    @fuzz(1000 * rounds)
    @given(st.sampled_from([LAYER, gzip.compress(LAYER, mtime=0)]).flatmap(mutated))
    def run(layer: bytes) -> None:
        store.apply(layer)

    run()
    assert store.loads >= 900


# --- Archives

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8) | st.sampled_from(
        ["sha256:" + "0" * 64, "linux", "../../canary", "blobs/sha256/../../../canary", *KINDS]
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["digest", "mediaType", "size", "manifests", "layers", "config", "platform", "os",
                         "annotations", "rootfs", "diff_ids", "architecture", "history", "Config", "Layers",
                         "RepoTags"]),
        inner, max_size=4,
    ),
    max_leaves=8,
)  # fmt: skip


def whole() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[Any]]:
    """Config, manifest, index and docker manifest that belong together; digests are filled in by `archive`."""
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": ["LAYER"]},
        "config": {},
    }
    manifest = {
        "schemaVersion": 2, "config": {"digest": "CONFIG", "size": -1},
        "layers": [{"digest": "LAYER", "size": len(LAYER)}],
    }  # fmt: skip
    entry = {
        "mediaType": KINDS[0], "digest": "MANIFEST", "annotations": {"io.containerd.image.name": "fuzz:1"},
        "platform": {"os": "linux", "architecture": "amd64"},
    }  # fmt: skip
    index = {"schemaVersion": 2, "manifests": [entry]}
    return (
        config,
        manifest,
        index,
        [{"Config": "CONFIGPATH", "RepoTags": ["fuzz:2"], "Layers": ["LAYERPATH"]}],
    )


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    documents = list(whole())
    for _ in range(draw(st.integers(0, 3))):
        _spoil(draw, documents[draw(st.integers(0, 3))])
    config, manifest, index, docker = documents
    files: dict[str, bytes] = {}
    known: dict[str, str] = {}

    def put(name: str, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()
        files[f"blobs/sha256/{digest}"] = data
        known[name], known[name + "PATH"] = f"sha256:{digest}", f"blobs/sha256/{digest}"

    def text(document: object) -> bytes:
        found = json.dumps(document)
        for name, value in known.items():
            found = found.replace(f'"{name}"', f'"{value}"')
        return found.encode()

    put("LAYER", LAYER)
    put("CONFIG", text(config))
    put("MANIFEST", text(manifest))
    if draw(st.booleans()):
        files["index.json"] = text(index)
    if draw(st.booleans()) or "index.json" not in files:
        files["manifest.json"] = text(docker)
    return tar(*(member(name, data) for name, data in files.items()))


def _spoil(draw: st.DrawFn, document: Any) -> None:
    """Put something odd somewhere into a document."""
    here = document
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        if isinstance(here[key], dict | list) and here[key] and draw(st.integers(0, 3)):
            here = here[key]
            continue
        here[key] = draw(JSON)
        return


def test_archives_with_odd_documents(store: Store, rounds: int) -> None:
    @fuzz(600 * rounds)
    @given(archives())
    def run(archive: bytes) -> None:
        store.load(archive)

    run()
    assert store.loads >= 400


def test_archives_with_broken_bytes(store: Store, rounds: int) -> None:
    """Also truncated ones, and those with odd members."""
    data = io.BytesIO()
    store.images.import_(io.BytesIO(LAYER), "fuzz:3")
    for piece in store.images.save(["fuzz:3"]):
        data.write(piece)
    store.images.remove("fuzz:3")

    @fuzz(700 * rounds)
    @given(mutated(data.getvalue()))
    def run(archive: bytes) -> None:
        store.load(archive)

    run()
    assert store.loads >= 600
