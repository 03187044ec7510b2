"""Detach keys as docker spells them."""

from __future__ import annotations

import pytest

from nakagin.containers.streams import parse_detach_keys
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
