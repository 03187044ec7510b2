"""What attach, exec and logs hand to the door: bytes that are already in Docker's wire form."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from nakagin.errors import Invalid


class Stream(NamedTuple):
    """One end of a live connection to a container's process; the door relays bytes and closes it.

    `socket` is a non-blocking SOCK_STREAM socket. What is read from it is raw terminal output when `tty`
    is true, else Docker's frames (8-byte header). What is written to it is standard input;
    shutdown(SHUT_WR) ends that input. End of file means that the process's output has ended.
    `backlog` holds bytes in the same form to be sent before anything is read from the socket
    (attach with `logs`), `detach_keys` the key sequence that ends the session from the input side. `ended`
    is set when the exit code is known, which may be a moment after the end of the output. `detached` is to be
    called when the session was ended by its keys. A door whose client takes the answer of `wait` for the end of all
    output calls `listen`, and what it gets from that when the client has read everything, or has gone.
    """

    socket: socket.socket
    tty: bool
    backlog: AsyncIterator[bytes] | None = None
    detach_keys: bytes = b"\x10\x11"
    ended: asyncio.Event | None = None
    detached: Callable[[], None] | None = None
    listen: Callable[[], Callable[[], None]] = lambda: lambda: None


class Output(NamedTuple):
    """Log output: `chunks` yields bytes in Docker's wire form (raw when `tty`, else frames)."""

    tty: bool
    chunks: AsyncIterator[bytes]


class Frames:
    """Takes Docker's frames apart: an 8-byte header (stream, three zeros, length), and the bytes."""

    _HEADER = 8

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The (stream, bytes) that are whole now; stream 1 is standard output, 2 standard error."""
        self._buffer += data
        found, start = [], 0
        while (begin := start + self._HEADER) <= len(self._buffer):
            end = begin + int.from_bytes(self._buffer[begin - 4 : begin], "big")
            if end > len(self._buffer):
                break
            found.append((self._buffer[start], bytes(self._buffer[begin:end])))
            start = end
        del self._buffer[:start]
        return found


def message_frame(text: str, *, tty: bool) -> bytes:
    """The engine's own words inside a process's output, as standard error."""
    data = text.encode()
    return data if tty else b"\2\0\0\0" + len(data).to_bytes(4, "big") + data


class WaitResult(NamedTuple):
    """How a waited-for container ended."""

    exit_code: int
    error: str | None


def parse_detach_keys(text: str | None) -> bytes:
    """The bytes of "ctrl-p,ctrl-q" (Docker's default, also for ""); Invalid for what is no key sequence."""
    keys = bytearray()
    for word in (text or "ctrl-p,ctrl-q").split(","):
        key = word.removeprefix("ctrl-")
        if len(key) != 1 or not key.isascii():
            raise Invalid(f"Invalid detach keys ({text}) provided", hint="as in ctrl-p,ctrl-q or a")
        if key == word:
            keys += key.encode()
        elif "a" <= key <= "z":
            keys.append(ord(key) - ord("a") + 1)
        elif key in "@[\\]^_":
            keys.append(ord(key) & 0x1F)
        else:
            raise Invalid(f"Invalid detach keys ({text}) provided", hint="as in ctrl-p,ctrl-q or a")
    return bytes(keys)
