"""Writes a container's output to its log file: Docker's json-file lines, rotated by size.

A line is `{"log":"text\\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}`, with `"attrs":{…}` before the
time where the log's options ask for labels, variables or a tag. Times have nine digits and always rise, whatever the
machine's clock does: text order is time order, a reader can search by halves, and knows what it has read.
Bytes that are no UTF-8 are kept as lone surrogate escapes: our reader gives the very bytes back, other
JSON readers show U+FFFD as with Docker.
"""

from __future__ import annotations

import _thread
import os
import time
from _json import encode_basestring_ascii

from nakagin.spec.document import render

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
    `max_size` bytes exist (max_size 0: no bound); with `compress`, rotated ones become `path.1.gz` … A full disk loses
    lines, never the container: the loss is counted in `lost` and told in the log once there is room again.
    """

    __slots__ = (
        "_attributes", "_clock", "_compress", "_fd", "_files", "_last", "_max_size", "_partial", "_path", "_prefix",
        "_resting", "_second", "_size", "lost",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        *,
        max_size: int = 0,
        files: int = 1,
        compress: bool = False,
        attributes: dict[str, str] | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._path = path
        self._max_size = max_size
        self._files = max(files, 1)
        self._compress = compress
        self._attributes = f'"attrs":{render(attributes)},' if attributes else ""
        self._clock = clock
        self._partial: dict[str, bytes] = {}
        self._last = 0
        self._second = -1
        self._prefix = ""
        self._resting = _thread.allocate_lock()  # held while a rotated file is compressed
        self.lost = 0
        self._fd = -1
        self._size = 0
        self._open()

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._size = os.fstat(self._fd).st_size
        if self._size:
            self._go_on()

    def _go_on(self) -> None:
        """Drop half a line at the end (a monitor was killed in the middle of a write), and keep the times rising."""
        start = max(0, self._size - 16 * LONGEST_LINE)
        end = os.pread(self._fd, self._size - start, start)
        whole = start + end.rfind(b"\n") + 1
        if whole < self._size and whole > start:
            os.ftruncate(self._fd, whole)
            self._size = whole
        self._last = max(self._last, _time_of(end[: whole - start]))

    def write(self, stream: str, data: bytes) -> None:
        """Append `data` as it came from "stdout" or "stderr"; an unfinished line waits for its end."""
        data = self._partial.pop(stream, b"") + data
        *lines, rest = data.split(b"\n")
        pieces = (
            [line + b"\n" for line in lines]
            if max(map(len, lines), default=0) < LONGEST_LINE
            else _cut(lines)
        )
        while len(rest) >= LONGEST_LINE:
            pieces.append(rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
        if rest:
            self._partial[stream] = rest
        if pieces:
            self._append(self._encode(stream, pieces))

    def _encode(self, stream: str, pieces: list[bytes]) -> list[str]:
        """The stored form of each piece, one nanosecond after the other."""
        now = max(self._clock(), self._last + 1)
        second, fraction = divmod(now, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        self._last = now + len(pieces) - 1
        middle = f',"stream":"{stream}",{self._attributes}"time":"'
        if fraction + len(pieces) >= 1_000_000_000:
            times = [timestamp(now + number) for number in range(len(pieces))]
        else:
            times = [f"{self._prefix}.{number:09d}Z" for number in range(fraction, fraction + len(pieces))]
        return [
            f'{{"log":{encode_basestring_ascii(piece.decode("utf-8", "surrogateescape"))}{middle}{at}"}}\n'
            for piece, at in zip(pieces, times)  # noqa: B905  # this is the hot place of a container that talks much
        ]

    def _append(self, stored: list[str]) -> None:
        if self.lost:
            note = f"[nakagin] {self.lost} lines were lost here: the log's disk was full\n".encode()
            stored = [*self._encode("stderr", [note]), *stored]
        if self._max_size and self._size + sum(map(len, stored)) > self._max_size:
            self._append_rotating(stored)
        else:
            self._put(stored)

    def _append_rotating(self, stored: list[str]) -> None:
        """A batch that does not fit: as much as there is room for, then the next file, and so on."""
        begin, size = 0, self._size
        for number, line in enumerate(stored):
            if size and size + len(line) > self._max_size:
                self._put(stored[begin:number])
                self._rotate()
                begin, size = number, 0
            size += len(line)
        self._put(stored[begin:])

    def _put(self, stored: list[str]) -> None:
        content = "".join(stored).encode("ascii")
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
        self._resting.acquire()
        try:
            for number in range(self._files - 1, 0, -1):
                for ending in ("", ".gz") if self._compress else ("",):
                    older = self._path if number == 1 else f"{self._path}.{number - 1}"
                    _rename(older + ending, f"{self._path}.{number}{ending}")
        finally:
            self._resting.release()
        self._begin_anew()
        if self._compress and self._files > 1:
            self._resting.acquire()
            _thread.start_new_thread(_compress, (f"{self._path}.1", self._resting))

    def _begin_anew(self) -> None:
        """An empty file in the place of the present one; who follows that has it open, and reads it to its end."""
        os.close(self._fd)
        make(self._path + ".new")
        os.rename(self._path + ".new", self._path)
        self._open()

    def clear(self) -> None:
        """Forget everything that was written."""
        with self._resting:
            _remove_rotated(self._path)
        self._begin_anew()

    def close(self) -> None:
        """Store unfinished lines and close; a second call does nothing."""
        if self._fd < 0:
            return
        for stream, rest in self._partial.items():
            self._append(self._encode(stream, [rest]))
        self._partial.clear()
        os.close(self._fd)
        self._fd = -1
        with self._resting:
            pass  # what is being compressed ends before the process does


def _cut(lines: list[bytes]) -> list[bytes]:
    """Lines with their ends, the longest ones in pieces."""
    pieces = []
    for line in lines:
        whole = line + b"\n"
        pieces += [whole[start : start + LONGEST_LINE] for start in range(0, len(whole), LONGEST_LINE)]
    return pieces


def _time_of(end: bytes) -> int:
    """Nanoseconds since the epoch of the last line in `end`; 0 where there is none."""
    at = end.rfind(b'"time":"')
    stamp = end[at + 8 : at + 38].decode("ascii", "replace")
    try:
        return _seconds(stamp[:19]) * 1_000_000_000 + int(stamp[20:29]) if at >= 0 else 0
    except ValueError:
        return 0


def _seconds(text: str) -> int:
    """Seconds since the epoch of "2026-01-02T03:04:05"; days by the civil calendar (no import of calendar here)."""
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    year -= month <= 2
    era = year // 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    of_era = year - era * 400
    days = era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + day_of_year - 719468
    return ((days * 24 + int(text[11:13])) * 60 + int(text[14:16])) * 60 + int(text[17:19])


def _rename(old: str, new: str) -> None:
    try:
        os.rename(old, new)
    except FileNotFoundError:
        pass


def empty(path: str) -> None:
    """What `Writer.clear` does, for a log that nobody writes."""
    if os.path.exists(path):
        make(path + ".new")
        os.rename(path + ".new", path)
        _remove_rotated(path)


def _remove_rotated(path: str) -> None:
    """Delete `path.1`, `path.2.gz` … and unfinished files beside them."""
    folder, name = os.path.split(path)
    for each in os.listdir(folder):
        if each.startswith(name + "."):
            os.unlink(os.path.join(folder, each))


def _compress(path: str, resting: _thread.LockType) -> None:
    """`path` → `path.gz`, in a thread of its own; `resting` is released at the end."""
    import zlib  # only containers with compressed logs carry it

    try:
        packer = zlib.compressobj(1, wbits=31)
        with open(path, "rb") as file, open(path + ".gz.new", "wb") as packed:
            while data := file.read(1 << 18):
                packed.write(packer.compress(data))
            packed.write(packer.flush())
        os.rename(path + ".gz.new", path + ".gz")
        os.unlink(path)
    except OSError:
        pass  # the plain file stays, and is read
    finally:
        resting.release()
