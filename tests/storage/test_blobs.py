from __future__ import annotations

import os
from pathlib import Path

import pytest

from nakagin.errors import Damaged, NotFound
from nakagin.spec.digest import digest_of
from nakagin.storage.blobs import Blobs


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path))


def test_round_trip(blobs: Blobs) -> None:
    with blobs.writer() as writer:
        writer.write(b"hello ")
        writer.write(memoryview(b"world"))
        digest = writer.commit()
    assert digest == digest_of(b"hello world")
    assert blobs.read(digest) == b"hello world"
    assert blobs.size(digest) == 11
    assert blobs.all() == [digest]
    with blobs.open(digest) as stream:
        assert stream.read(5) == b"hello"


def test_sha512(blobs: Blobs) -> None:
    expected = "sha512:" + "0" * 128
    with pytest.raises(Damaged), blobs.writer(expected) as writer:
        writer.commit()


def test_a_wrong_digest_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    with (
        pytest.raises(Damaged, match=r"received bytes have the digest"),
        blobs.writer(digest_of(b"a")) as writer,
    ):
        writer.write(b"b")
        writer.commit()
    assert blobs.all() == []
    assert os.listdir(tmp_path / "tmp") == []


def test_what_is_not_committed_is_gone(blobs: Blobs, tmp_path: Path) -> None:
    with blobs.writer() as writer:
        writer.write(b"x")
    assert os.listdir(tmp_path / "tmp") == []


def test_the_same_bytes_twice(blobs: Blobs, tmp_path: Path) -> None:
    assert blobs.put(b"x") == blobs.put(b"x")
    assert os.listdir(tmp_path / "tmp") == []


def test_missing(blobs: Blobs) -> None:
    for ask in (blobs.open, blobs.size, blobs.read):
        with pytest.raises(NotFound):
            ask(digest_of(b"nothing"))
    assert blobs.delete(digest_of(b"nothing")) == 0


def test_bit_rot_is_noticed(blobs: Blobs) -> None:
    digest = blobs.put(b"hello")
    Path(blobs.path(digest)).write_bytes(b"jello")
    with pytest.raises(Damaged, match="does not match its digest"):
        blobs.read(digest)


def test_sweep(blobs: Blobs) -> None:
    kept, gone = blobs.put(b"kept"), blobs.put(b"gone!")
    assert blobs.sweep([kept]) == 5
    assert blobs.all() == [kept]
    assert not blobs.exists(gone)
