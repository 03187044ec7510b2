"""Zeros take no place: in blobs, in unpacked layers; and what is too long for a layer is refused before it is read."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from tests.storage.tars import member, tar

from nakagin.errors import Exhausted
from nakagin.spec.digest import digest_of
from nakagin.storage.blobs import Blobs
from nakagin.storage.diff import layer_tar
from nakagin.storage.holes import is_hole
from nakagin.storage.layers import Layers
from nakagin.storage.unpack import Bounds

MEBI = 1 << 20


@pytest.mark.parametrize("size", [1 << 16, 100_000, MEBI, MEBI + 1])
def test_what_is_a_hole(size: int) -> None:
    zeros = bytes(size)
    assert is_hole(zeros)
    assert is_hole(memoryview(zeros))
    for at in (0, 1, 70, size // 2, size - 1):
        assert not is_hole(zeros[:at] + b"x" + zeros[at + 1 :])
    assert not is_hole(bytes(1000)), "not worth it"


def test_a_blob_of_zeros_takes_no_place(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path))
    data = b"begin" + bytes(8 * MEBI) + b"end" + bytes(2 * MEBI)
    with blobs.writer() as writer:
        for at in range(0, len(data), MEBI):
            writer.write(data[at : at + MEBI])
        assert writer.size == len(data)
        digest = writer.commit()
    assert digest == digest_of(data)
    assert blobs.read(digest) == data
    assert os.stat(blobs.path(digest)).st_blocks * 512 < 4 * MEBI


def test_a_layer_of_zeros_takes_no_place(layers: Layers) -> None:
    files = {"zeros": bytes(8 * MEBI), "mixed": b"a" + bytes(5 * MEBI) + b"b" + bytes(3 * MEBI)}
    layer = layers.apply(io.BytesIO(tar(*(member(name, data) for name, data in files.items()))), None)
    folder = Path(layers.path(layer))
    assert {name: (folder / name).read_bytes() for name in files} == files
    assert sum((folder / name).stat().st_blocks * 512 for name in files) < 6 * MEBI


def test_a_sparse_file_that_no_layer_can_hold_is_named(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x")
    for name in ("kept", "lastlog"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(1 << 40)
    os.link(tmp_path / "kept", tmp_path / "kept-too")
    first = next(iter(layer_tar(str(tmp_path), bounds=Bounds(size=(1 << 40) + MEBI))))
    assert b"kept" in first, "its second name costs nothing"
    (tmp_path / "kept").unlink()
    (tmp_path / "kept-too").unlink()
    with pytest.raises(
        Exhausted, match=r"with /lastlog, of 1099511627776 bytes, .* more than 68719476736"
    ) as said:
        list(layer_tar(str(tmp_path), bounds=Bounds()))
    assert "useradd --no-log-init" in str(said.value.hint)
