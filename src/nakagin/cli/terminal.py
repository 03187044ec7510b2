"""This process's terminal: raw mode that is always undone, its size, and the keys that detach."""

from __future__ import annotations

import os
import termios

from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"
_CONTROL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def is_terminal(fd: int) -> bool:
    """The descriptor is a terminal (a closed one is none)."""
    try:
        return os.isatty(fd)
    except OSError:
        return False


def size() -> tuple[int, int] | None:
    """(rows, columns) of the terminal that standard output or input is, else None."""
    for fd in (1, 0, 2):
        try:
            found = os.get_terminal_size(fd)
        except OSError:
            continue
        return found.lines, found.columns
    return None


class RawTerminal:
    """While entered, keys go through as bytes (ctrl-C too) and output is not translated; leaving restores it.

    `fd` None (no terminal) makes it do nothing.
    """

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        self._saved: list[Any] | None = None

    def __enter__(self) -> None:
        if self._fd is None or not is_terminal(self._fd):
            return
        self._saved = termios.tcgetattr(self._fd)
        termios.tcsetattr(self._fd, termios.TCSANOW, raw_mode(self._saved))

    def __exit__(self, *_: object) -> None:
        if self._saved is not None and self._fd is not None:
            try:
                termios.tcsetattr(self._fd, termios.TCSANOW, self._saved)
            except termios.error:  # the terminal itself is gone
                pass
            self._saved = None


def raw_mode(attributes: list[Any]) -> list[Any]:
    """The raw variant of terminal attributes (cfmakeraw(3)): one byte at a time, nothing interpreted."""
    inputs, outputs, control, local, in_speed, out_speed, characters = attributes
    inputs &= ~(termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP)
    inputs &= ~(termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON)
    outputs &= ~termios.OPOST
    local &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    control = control & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    characters = [*characters]
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    return [inputs, outputs, control, local, in_speed, out_speed, characters]


def parse_detach_keys(text: str) -> bytes:
    """ "ctrl-p,ctrl-q" or "a,ctrl-\\" → bytes; Invalid for an unknown key."""
    keys = bytearray()
    for name in text.split(","):
        if len(name) == 1 and name.isascii():
            keys.append(ord(name))
            continue
        letter = name.removeprefix("ctrl-")
        if letter == name or len(letter) != 1:
            raise Invalid(f"unknown detach key '{name}'", hint="write a letter or ctrl-<letter>, with commas")
        lower = letter.lower()
        if "a" <= lower <= "z":
            keys.append(ord(lower) - 96)
        elif letter in _CONTROL:
            keys.append(_CONTROL[letter])
        else:
            raise Invalid(f"unknown detach key '{name}'", hint="write a letter or ctrl-<letter>, with commas")
    return bytes(keys)


class DetachScanner:
    """Looks for the detach sequence in typed bytes; holds back what may be its beginning."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """(bytes to pass on, whether the sequence was typed). Bytes behind the sequence are dropped."""
        passed = bytearray()
        for byte in data:
            self._held += bytes((byte,))
            while self._held and not self._keys.startswith(self._held):
                passed.append(self._held[0])
                self._held = self._held[1:]
            if self._held == self._keys:
                self._held = b""
                return bytes(passed), True
        return bytes(passed), False
