"""A hijacked connection: the two-way stream of an attach or exec after the HTTP head."""

from __future__ import annotations

import _socket

from nakagin.client.frames import STDOUT, Demultiplexer
from nakagin.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from nakagin.client.transport import Connection


class Stream:
    """Bytes to a container's stdin and (stream, bytes) pieces from its output.

    `raw` is a terminal's stream: one output, no frames. Iterate for the pieces until the output ends, or use
    `fileno`, `receive` and `send_some` in an event loop of your own.
    """

    def __init__(self, connection: Connection, leftover: bytes, *, raw: bool) -> None:
        self._connection = connection
        self._leftover = leftover
        self._frames = None if raw else Demultiplexer()
        self.raw = raw

    def fileno(self) -> int:
        """The socket's descriptor, for poll."""
        return self._connection.socket.fileno()

    def settimeout(self, seconds: float | None) -> None:
        """The longest wait of one send or receive; a timeout raises Unavailable."""
        self._connection.socket.settimeout(seconds)

    def receive(self) -> list[tuple[int, bytes]] | None:
        """The next pieces (maybe none yet), or None at the end; Unavailable when it ends inside a frame."""
        data = self._leftover or self._connection.receive()
        self._leftover = b""
        if not data:
            if self._frames is not None and self._frames.inside_frame:
                raise Unavailable("the engine closed the stream in the middle of a frame of output")
            return None
        return [(STDOUT, data)] if self._frames is None else self._frames.feed(data)

    @property
    def ready(self) -> bool:
        """Bytes are waiting here that poll does not see."""
        pending = getattr(self._connection.socket, "pending", None)
        return bool(self._leftover) or bool(pending and pending())

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        while (pieces := self.receive()) is not None:
            yield from pieces

    def send(self, data: bytes) -> None:
        """Write all of `data` to the container's stdin; BrokenPipeError when nobody reads it any more."""
        self._connection.send(data)

    def send_some(self, data: bytes) -> int:
        """Write what fits now without waiting; the number of bytes taken."""
        try:
            return self._connection.socket.send(
                data, 0 if self._connection.endpoint.tls else _socket.MSG_DONTWAIT
            )
        except (BlockingIOError, InterruptedError):
            return 0

    def close_write(self) -> None:
        """End of stdin. Python's TLS sockets cannot say so; there only `close` ends it."""
        if self._connection.endpoint.tls is not None:
            return
        try:
            self._connection.socket.shutdown(_socket.SHUT_WR)
        except OSError:  # the other side is gone already
            return

    def abort(self) -> None:
        """End it while another thread waits for it: that finds the end."""
        self._connection.shut()

    def close(self) -> None:
        """Close the connection; the container runs on."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
