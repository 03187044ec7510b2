"""Both directions of a stream at the same time, so that neither side waits for the other; within a time, if need be."""

from __future__ import annotations

import selectors
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from nakagin.client.hijack import Stream

_PIECE = 64 * 1024


class Exchange:
    """Sends `stdin` (bytes, or a file to read) and its end, and hands over what comes. It can be gone on with."""

    def __init__(self, stream: Stream, stdin: BinaryIO | bytes | None = None) -> None:
        self._stream = stream
        self._pending = stdin if isinstance(stdin, bytes) else b""
        self._source = None if stdin is None or isinstance(stdin, bytes) else stdin
        self._closed = False

    def run(self, take: Callable[[int, bytes], object], deadline: float | None = None) -> bool:
        """Call `take(stream number, bytes)` until the output ends; False where `deadline` (monotonic) came first."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stream, selectors.EVENT_READ)
            while True:
                self._fill()
                writing = selectors.EVENT_WRITE if self._pending else 0
                selector.modify(self._stream, selectors.EVENT_READ | writing)
                events = selectors.EVENT_READ if self._stream.ready else _await(selector, deadline)
                if not events:
                    return False
                if events & selectors.EVENT_WRITE:
                    self._send()
                if events & selectors.EVENT_READ:
                    pieces = self._stream.receive()
                    if pieces is None:
                        return True
                    for kind, piece in pieces:
                        take(kind, piece)

    def _fill(self) -> None:
        if not self._pending and self._source is not None:
            self._pending = self._source.read(_PIECE)
            self._source = self._source if self._pending else None
        if not self._pending and self._source is None and not self._closed:
            self._stream.close_write()
            self._closed = True

    def _send(self) -> None:
        try:
            self._pending = self._pending[self._stream.send_some(self._pending) :]
        except OSError:  # nobody reads any more; the output still counts
            self._pending, self._source = b"", None


def _await(selector: selectors.BaseSelector, deadline: float | None) -> int:
    """The events, or 0 when the time is over."""
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        return 0
    found = selector.select(left)
    return found[0][1] if found else 0
