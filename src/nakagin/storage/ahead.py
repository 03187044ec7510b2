"""Reading ahead: a thread fetches, decompresses and hashes the next pieces while the caller handles the present one."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from nakagin.storage.compression import Readable

_PIECES = 8


class Ahead:
    """The bytes of a stream, at most a few pieces ahead of its reader. A context: afterwards the thread is gone."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._pieces: queue.Queue[bytes | BaseException] = queue.Queue(_PIECES)
        self._wanted = threading.Event()
        self._size = 0
        self._thread: threading.Thread | None = None

    def read(self, size: int, /) -> bytes:
        """The next piece, as long as the underlying stream's; all reads must ask for the same `size`."""
        if self._thread is None:
            self._size = size
            self._thread = threading.Thread(target=self._run, name="reading ahead", daemon=True)
            self._thread.start()
        piece = self._pieces.get()
        if isinstance(piece, BaseException):
            raise piece
        if not piece:
            self._pieces.put(b"")  # the end stays the end
        return piece

    def _run(self) -> None:
        try:
            while not self._wanted.is_set():
                piece = self._stream.read(self._size)
                self._pieces.put(piece)
                if not piece:
                    return
        except BaseException as error:  # noqa: BLE001 - handed to the reader's thread, which raises it
            self._pieces.put(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wanted.set()
        while self._thread is not None and self._thread.is_alive():
            try:
                self._pieces.get(timeout=0.05)
            except queue.Empty:
                self._thread.join(0.01)
