"""What attach, exec and logs hand to the door: bytes that are already in Docker's wire form."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import NamedTuple


class Stream(NamedTuple):
    """One end of a live connection to a container's process; the door relays bytes and closes it.

    `socket` is a non-blocking SOCK_STREAM socket. What is read from it is raw terminal output when `tty`
    is true, else Docker's frames (8-byte header). What is written to it is standard input;
    shutdown(SHUT_WR) ends that input. End of file means that the process's output has ended.
    `backlog` holds bytes in the same form to be sent before anything is read from the socket
    (attach with `logs`), `detach_keys` the key sequence that ends the session from the input side.
    """

    socket: socket.socket
    tty: bool
    backlog: AsyncIterator[bytes] | None = None
    detach_keys: bytes = b"\x10\x11"


class Output(NamedTuple):
    """Log output: `chunks` yields bytes in Docker's wire form (raw when `tty`, else frames)."""

    tty: bool
    chunks: AsyncIterator[bytes]


class WaitResult(NamedTuple):
    """How a waited-for container ended."""

    exit_code: int
    error: str | None
