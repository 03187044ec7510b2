"""Detach keys and the raw terminal, on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import termios

import pytest

from nakagin.cli.terminal import DetachScanner, RawTerminal, parse_detach_keys
from nakagin.errors import Invalid


def test_names_of_keys() -> None:
    assert parse_detach_keys("ctrl-p,ctrl-q") == b"\x10\x11"
    assert parse_detach_keys("a,ctrl-\\,ctrl-@") == b"a\x1c\x00"
    for text in ("", "ctrl-", "ctrl-ä", "alt-x", "ab"):
        with pytest.raises(Invalid, match="unknown detach key"):
            parse_detach_keys(text)


@pytest.mark.parametrize(
    ("typed", "passed", "detached"),
    [
        ([b"abc"], b"abc", False),
        ([b"a\x10\x11b"], b"a", True),
        ([b"a\x10", b"\x11"], b"a", True),
        ([b"\x10", b"x"], b"\x10x", False),
        ([b"\x10\x10\x11"], b"\x10", True),
        ([b"\x10"], b"", False),
    ],
)
def test_scanner(typed: list[bytes], passed: bytes, detached: bool) -> None:
    scanner = DetachScanner(b"\x10\x11")
    outcome = [scanner.feed(piece) for piece in typed]
    assert b"".join(piece for piece, _ in outcome) == passed
    assert outcome[-1][1] is detached


def test_raw_mode_is_undone_after_an_error() -> None:
    master, slave = pty.openpty()
    try:
        before = termios.tcgetattr(slave)
        with pytest.raises(RuntimeError), RawTerminal(slave):
            assert not termios.tcgetattr(slave)[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
            raise RuntimeError
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)


def test_no_terminal_is_left_alone() -> None:
    reader, writer = os.pipe()
    with RawTerminal(reader), RawTerminal(None):
        pass
    os.close(reader)
    os.close(writer)
