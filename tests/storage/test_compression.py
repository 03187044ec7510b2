from __future__ import annotations

import bz2
import gzip
import io
import lzma

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from nakagin.errors import Damaged
from nakagin.storage.compression import Readable, decompressed, reading

DATA = b"".join(b"line %d\n" % number for number in range(20000))
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
ENCODERS = {
    "": lambda data: data,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}


def drain(stream: Readable, size: int = 4096) -> bytes:
    found = b""
    while piece := stream.read(size):
        assert len(piece) <= size
        found += piece
    return found


class Dribble:
    """A stream that gives odd, short pieces, as a socket does."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)
        self._turn = 0

    def read(self, size: int, /) -> bytes:
        self._turn += 1
        return self._stream.read(min(size, 1 + self._turn * 7 % 5000))


@pytest.mark.parametrize("kind", ENCODERS)
def test_each_kind(kind: str) -> None:
    encoded = ENCODERS[kind](DATA)
    for source in (io.BytesIO(encoded), Dribble(encoded)):
        found, plain = decompressed(source)
        assert found == kind
        assert drain(plain) == DATA


@pytest.mark.parametrize("kind", ["gzip", "zstd", "xz", "bzip2"])
def test_several_members(kind: str) -> None:
    encoded = ENCODERS[kind](DATA[:1000]) + ENCODERS[kind](DATA[1000:])
    assert drain(decompressed(Dribble(encoded))[1]) == DATA


def test_skippable_zstd_frames() -> None:
    frame = ENCODERS["zstd"]
    encoded = SKIPPABLE + frame(DATA[:10]) + SKIPPABLE + frame(DATA[10:]) + SKIPPABLE
    kind, plain = decompressed(io.BytesIO(encoded))
    assert (kind, drain(plain)) == ("zstd", DATA)


@pytest.mark.parametrize("kind", ["gzip", "zstd", "xz", "bzip2"])
def test_cut_off(kind: str) -> None:
    with pytest.raises(Damaged), reading("it"):
        drain(decompressed(io.BytesIO(ENCODERS[kind](DATA)[:-20]))[1])


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2"])
def test_broken(kind: str) -> None:
    encoded = bytearray(ENCODERS[kind](DATA))
    encoded[len(encoded) // 2] ^= 0xFF
    with pytest.raises(Damaged, match="it is damaged"), reading("it"):
        drain(decompressed(io.BytesIO(bytes(encoded)))[1])


@given(st.binary(max_size=100))
def test_plain_bytes_pass(data: bytes) -> None:
    kind, plain = decompressed(io.BytesIO(data))
    if not kind:
        assert drain(plain, 7) == data
