"""Detach keys as docker spells them."""

from __future__ import annotations

import pytest

from nakagin.containers.streams import Frames, parse_detach_keys
from nakagin.errors import Invalid


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (None, b"\x10\x11"),
        ("", b"\x10\x11"),
        ("a,b", b"ab"),
        ("ctrl-a,ctrl-[", b"\x01\x1b"),
        ("ctrl-@", b"\0"),
    ],
)
def test_keys(text: str | None, keys: bytes) -> None:
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ab", "ctrl-ab", "a,,b", "ctrl-1", "ä"])
def test_bad_keys(text: str) -> None:
    with pytest.raises(Invalid, match="Invalid detach keys"):
        parse_detach_keys(text)


@pytest.mark.parametrize("step", [1, 3, 8, 100])
def test_frames_come_in_any_pieces(step: int) -> None:
    data = b"\x01\0\0\0\0\0\0\x03one\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x03two"
    frames = Frames()
    found = [each for at in range(0, len(data), step) for each in frames.feed(data[at : at + step])]
    assert found == [(1, b"one"), (2, b""), (2, b"two")]
