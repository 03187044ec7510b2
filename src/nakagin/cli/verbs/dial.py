"""`nakagin system dial-stdio`: the engine's socket as standard input and output; what ssh runs on the far side."""

from __future__ import annotations

import _socket
import os
import select

from nakagin.cli.command import Call, Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE = 1 << 18
#: Bytes on their way in one direction; a slow reader must not make us large.
_MOST = 1 << 20


class _Way:
    """One direction: read here, write there, and pass the end on."""

    def __init__(self, source: int, target: int, end: Callable[[], None]) -> None:
        self.source = source
        self.target = target
        self.buffer = bytearray()
        self.ended = False
        self.closed = False
        self._end = end

    def wants(self) -> tuple[bool, bool]:
        """Whether to wait for reading and for writing."""
        return not self.ended and len(self.buffer) < _MOST, bool(self.buffer)

    def read(self) -> None:
        """Take what is there."""
        if not self.wants()[0]:
            return
        try:
            piece = os.read(self.source, _PIECE)
        except BlockingIOError:
            return
        except ConnectionResetError:
            piece = b""
        self.ended = not piece
        self.buffer += piece
        self._close_if_done()

    def write(self) -> None:
        """Give what is taken."""
        if not self.buffer:
            return
        try:
            del self.buffer[: os.write(self.target, self.buffer)]
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self.buffer.clear()
            self.ended = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self.ended and not self.buffer and not self.closed:
            self.closed = True
            self._end()


def relay(connection: _socket.socket, stdin: int, stdout: int) -> None:
    """Until the engine closes: both directions, each at the pace of its reader."""

    def shut() -> None:
        try:
            connection.shutdown(_socket.SHUT_WR)
        except OSError:
            return

    there = _Way(stdin, connection.fileno(), shut)
    back = _Way(connection.fileno(), stdout, lambda: None)
    for fd in (stdin, stdout, connection.fileno()):
        os.set_blocking(fd, False)
    while not back.closed:
        events: dict[int, int] = {}
        for way in (there, back):
            reads, writes = way.wants()
            if reads:
                events[way.source] = events.get(way.source, 0) | select.POLLIN
            if writes:
                events[way.target] = events.get(way.target, 0) | select.POLLOUT
        poll = select.poll()
        for fd, wanted in events.items():
            poll.register(fd, wanted)
        for fd, happened in poll.poll():
            for way in (there, back):
                if fd == way.source and happened & ~select.POLLOUT:
                    way.read()
                if fd == way.target and happened & ~select.POLLIN:
                    way.write()


def dial(call: Call) -> int:
    """Connect standard input and output with the engine."""
    from nakagin.client.transport import Connection

    connection = Connection(call.client.session.endpoint, None)
    try:
        relay(connection.socket, 0, 1)
    finally:
        connection.close()
    return 0


DIAL = Command(dial, "")
