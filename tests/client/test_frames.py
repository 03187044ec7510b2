"""Output frames and JSON sequences in any pieces."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nakagin.client.frames import Demultiplexer, JSONSequence
from nakagin.errors import Damaged


def cut(data: bytes, size: int) -> list[bytes]:
    """The bytes in pieces of a size."""
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=6), st.integers(1, 20))
def test_frames(frames: list[tuple[int, bytes]], size: int) -> None:
    data = b"".join(
        bytes([kind, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload for kind, payload in frames
    )
    split = Demultiplexer()
    pieces = [piece for part in cut(data, size) for piece in split.feed(part)]
    for kind in (1, 2):
        assert b"".join(p for k, p in pieces if k == kind) == b"".join(p for k, p in frames if k == kind)
    assert not split.inside_frame


def test_not_a_frame() -> None:
    with pytest.raises(Damaged, match="not a frame"):
        Demultiplexer().feed(b"plain text")
    half = Demultiplexer()
    half.feed(b"\x01\0\0\0\0\0\0\x05ab")
    assert half.inside_frame


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(
    st.lists(st.dictionaries(st.text(max_size=4), VALUES, max_size=3), max_size=5),
    st.integers(1, 30),
    st.sampled_from(["\n", "\r\n", "", " \n"]),
    st.booleans(),
)
def test_documents(documents: list[object], size: int, between: str, ascii_only: bool) -> None:
    data = "".join(json.dumps(each, ensure_ascii=ascii_only) + between for each in documents).encode()
    sequence = JSONSequence()
    assert [each for part in cut(data, size) for each in sequence.feed(part)] == documents
    assert not sequence.inside_document


def test_half_a_document() -> None:
    sequence = JSONSequence()
    assert sequence.feed(b'{"a": 1}\n{"b"') == [{"a": 1}]
    assert sequence.inside_document
