"""Writes a container's output to its log file: Docker's json-file lines, rotated by size.

A line is `{"log":"text\\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}`. Times have nine
digits and never go backwards, so that text order is time order and a reader can search by halves.
Bytes that are no UTF-8 are kept as lone surrogate escapes: our reader gives the very bytes back, other
JSON readers show U+FFFD as with Docker.
"""

from __future__ import annotations

import json
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# As Docker: a longer line is stored in pieces, only the last of which ends with a newline.
LONGEST_LINE = 16 * 1024


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nine digits, for nanoseconds since the epoch."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09d}Z"


def make(path: str) -> None:
    """Make the log file, empty, unless it is there."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640))


class Writer:
    """Appends to `path`, which exists, and rotates it to `path.1`, `path.2` … so that at most `files` files of about
    `max_size` bytes exist (max_size 0: no bound). A full disk loses lines, never the container: the loss is
    counted in `lost` and told in the log once there is room again.
    """

    __slots__ = (
        "_clock", "_fd", "_files", "_last", "_max_size", "_partial", "_path", "_prefix", "_second", "_size",
        "lost",
    )  # fmt: skip

    def __init__(
        self, path: str, *, max_size: int = 0, files: int = 1, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._path = path
        self._max_size = max_size
        self._files = max(files, 1)
        self._clock = clock
        self._partial: dict[str, bytes] = {}
        self._last = 0
        self._second = -1
        self._prefix = ""
        self.lost = 0
        self._fd = -1
        self._size = 0
        self._open()

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._size = os.fstat(self._fd).st_size
        if self._size:
            self._drop_torn_line()

    def _drop_torn_line(self) -> None:
        # A monitor that was killed in the middle of a write leaves half a line at the end.
        start = max(0, self._size - 16 * LONGEST_LINE)
        end = os.pread(self._fd, self._size - start, start)
        whole = start + end.rfind(b"\n") + 1
        if whole < self._size and whole > start:
            os.ftruncate(self._fd, whole)
            self._size = whole

    def write(self, stream: str, data: bytes) -> None:
        """Append `data` as it came from "stdout" or "stderr"; an unfinished line waits for its end."""
        data = self._partial.pop(stream, b"") + data
        *lines, rest = data.split(b"\n")
        stored: list[str] = []
        for line in lines:
            self._store(stored, stream, line + b"\n")
        while len(rest) >= LONGEST_LINE:
            stored.append(self._encode(stream, rest[:LONGEST_LINE]))
            rest = rest[LONGEST_LINE:]
        if rest:
            self._partial[stream] = rest
        self._append(stored)

    def _store(self, stored: list[str], stream: str, line: bytes) -> None:
        while len(line) > LONGEST_LINE:
            stored.append(self._encode(stream, line[:LONGEST_LINE]))
            line = line[LONGEST_LINE:]
        stored.append(self._encode(stream, line))

    def _encode(self, stream: str, line: bytes) -> str:
        text = json.dumps(line.decode("utf-8", "surrogateescape"))
        return f'{{"log":{text},"stream":"{stream}","time":"{self._now()}"}}\n'

    def _now(self) -> str:
        now = max(self._clock(), self._last)
        self._last = now
        second, fraction = divmod(now, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._prefix}.{fraction:09d}Z"

    def _append(self, stored: list[str]) -> None:
        if not stored:
            return
        if self.lost:
            note = f"[nakagin] {self.lost} lines were lost here: the log's disk was full\n".encode()
            stored.insert(0, self._encode("stderr", note))
        content = "".join(stored).encode("ascii")
        if self._max_size and self._size and self._size + len(content) > self._max_size:
            self._rotate()
        try:
            written = os.write(self._fd, content)
        except OSError:
            self.lost += len(stored)
            return
        if written < len(content):
            # A torn line would spoil every later search: take the whole batch back.
            os.ftruncate(self._fd, self._size)
            self.lost += len(stored)
            return
        self.lost = 0
        self._size += written

    def _rotate(self) -> None:
        if self._files == 1:
            os.ftruncate(self._fd, 0)
            self._size = 0
            return
        os.close(self._fd)
        for number in range(self._files - 1, 0, -1):
            older = self._path if number == 1 else f"{self._path}.{number - 1}"
            try:
                os.rename(older, f"{self._path}.{number}")
            except FileNotFoundError:
                pass
        make(self._path)
        self._open()

    def close(self) -> None:
        """Store unfinished lines and close; a second call does nothing."""
        if self._fd < 0:
            return
        stored = [self._encode(stream, rest) for stream, rest in self._partial.items()]
        self._partial.clear()
        self._append(stored)
        os.close(self._fd)
        self._fd = -1
