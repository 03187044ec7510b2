from __future__ import annotations

import gzip
import io
import os
import shutil
from pathlib import Path

import pytest
import zstandard
from tests.storage.tars import member, tar

from nakagin.errors import Conflict, Damaged, NotFound
from nakagin.spec.digest import digest_of, extend_chain
from nakagin.storage.layers import Layers
from nakagin.storage.records import Records

pytestmark = pytest.mark.root
DIFF = tar(member("f", b"hello"))


def test_ids_and_size(layers: Layers) -> None:
    layer = layers.apply(io.BytesIO(DIFF), None, digest_of(DIFF))
    assert (layer.diff_id, str(layer.chain_id), layer.size) == (digest_of(DIFF), digest_of(DIFF), 5)
    above = layers.apply(io.BytesIO(DIFF), layer.chain_id)
    assert above.chain_id == extend_chain(layer.chain_id, digest_of(DIFF))
    assert [each.folder for each in layers.stack(above.chain_id)] == [above.folder, layer.folder]
    assert layers.stack(None) == []


@pytest.mark.parametrize("encode", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_the_diff_id_is_that_of_the_plain_tar(layers: Layers, encode: object) -> None:
    assert callable(encode)
    assert layers.apply(io.BytesIO(encode(DIFF)), None).diff_id == digest_of(DIFF)


def test_bytes_after_the_end_count(layers: Layers) -> None:
    padded = DIFF + bytes(10240)
    assert layers.apply(io.BytesIO(padded), None).diff_id == digest_of(padded)


def test_a_layer_is_unpacked_once(layers: Layers, tmp_path: Path) -> None:
    first = layers.apply(io.BytesIO(DIFF), None)
    assert layers.apply(io.BytesIO(gzip.compress(DIFF)), None) == first
    assert len(os.listdir(tmp_path / "layers")) == 1


@pytest.mark.parametrize("cut", [30, 200])
def test_a_cut_zstd_stream(layers: Layers, cut: int) -> None:
    noise = os.urandom(4000)
    with pytest.raises(Damaged):
        layers.apply(io.BytesIO(zstandard.ZstdCompressor().compress(tar(member("f", noise)))[:-cut]), None)


def test_an_unknown_parent(layers: Layers, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        layers.apply(io.BytesIO(DIFF), extend_chain(None, digest_of(b"")))
    assert os.listdir(tmp_path / "tmp") == []


def test_removal(layers: Layers, tmp_path: Path) -> None:
    below = layers.apply(io.BytesIO(DIFF), None)
    above = layers.apply(io.BytesIO(tar(member("g"))), below.chain_id)
    with pytest.raises(Conflict):
        layers.remove(below.chain_id)
    layers.remove(above.chain_id)
    layers.remove(above.chain_id)
    assert not layers.exists(above.chain_id)
    layers.remove(below.chain_id)
    assert os.listdir(tmp_path / "layers") == []


def test_sweep_keeps_what_is_stood_on(layers: Layers) -> None:
    a = layers.apply(io.BytesIO(DIFF), None)
    b = layers.apply(io.BytesIO(DIFF), a.chain_id)
    c = layers.apply(io.BytesIO(DIFF), b.chain_id)
    d = layers.apply(io.BytesIO(tar(member("d"))), a.chain_id)
    layers.sweep([b.chain_id, "sha256:unknown"])
    assert {layer.chain_id for layer in layers.all()} == {a.chain_id, b.chain_id}
    layers.sweep([])
    assert layers.all() == []
    assert not layers.exists(c.chain_id)
    assert not layers.exists(d.chain_id)


def test_a_restart_finds_them_again(layers: Layers, records: Records, tmp_path: Path) -> None:
    layer = layers.apply(io.BytesIO(DIFF), None)
    other = layers.apply(io.BytesIO(tar(member("x"))), None)
    shutil.rmtree(layers.path(other))
    again = Layers(str(tmp_path), records)
    again.recover()
    assert again.all() == [layer]


def test_the_same_first_digits(layers: Layers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nakagin.storage.layers.encoded", lambda chain: "0" * 12 + str(chain))
    first = layers.apply(io.BytesIO(DIFF), None)
    second = layers.apply(io.BytesIO(tar(member("g"))), None)
    assert first.folder != second.folder
    assert os.listdir(layers.path(first)) == ["f"]
    assert os.listdir(layers.path(second)) == ["g"]


def test_a_crash_of_the_machine_costs_what_was_not_on_disk(
    layers: Layers, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = layers.apply(io.BytesIO(DIFF), None)
    layers.settle()
    fresh = layers.apply(io.BytesIO(DIFF), settled.chain_id)
    above = layers.apply(io.BytesIO(DIFF), fresh.chain_id)
    killed = Layers(str(tmp_path), records)
    killed.recover()
    assert len(killed.all()) == 3
    monkeypatch.setattr("nakagin.storage.layers.boot_id", lambda: "another boot")
    crashed = Layers(str(tmp_path), records)
    crashed.recover()
    assert [layer.chain_id for layer in crashed.all()] == [settled.chain_id]
    assert not crashed.exists(above.chain_id)
    assert len(os.listdir(tmp_path / "layers")) == 1
