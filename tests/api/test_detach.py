"""Detach keys in every possible cutting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nakagin.api.detach import DetachKeys

letters = st.sampled_from(b"ab")


@given(
    sequence=st.lists(letters, min_size=1, max_size=3).map(bytes),
    pieces=st.lists(st.lists(letters, max_size=5).map(bytes), max_size=8),
)
def test_finds_the_first_whole_sequence_and_loses_nothing(sequence: bytes, pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    keys = DetachKeys(sequence)
    passed, detached = b"", False
    for piece in pieces:
        some, detached = keys.feed(piece)
        passed += some
        if detached:
            break
    at = whole.find(sequence)
    assert detached is (at >= 0)
    assert passed + (b"" if detached else keys.rest()) == (whole[:at] if detached else whole)
