"""Reads what `logfile.Writer` wrote, for the engine: by time, from the end, and following growth.

Nothing is scanned from the start: `tail` counts lines backwards from the end, `since` searches by halves.
All files are opened before the first is read, so that a rotation meanwhile neither loses nor repeats a line.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from nakagin.kernel import inotify
from nakagin.monitor.logfile import timestamp

_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One piece of output: RFC 3339 time with nine digits, "stdout" or "stderr", the bytes as they came."""

    time: str
    stream: str
    data: bytes


def parse(line: bytes) -> Entry | None:
    """The entry of one log line; None where the line is torn (its writer was killed) or foreign."""
    try:
        document = json.loads(line)
        data = document["log"].encode("utf-8", "surrogateescape")
        return Entry(document["time"], document["stream"], data)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class Reader:
    """An iterator over the entries of a log, oldest first.

    `since` and `until` are times as in `Entry.time` (inclusive; "" means no bound), `tail` the number of
    last lines to give. After the end, `resume()` goes on with what has been written meanwhile.
    """

    def __init__(self, path: str, *, since: str = "", until: str = "", tail: int | None = None) -> None:
        self._path = path
        self._until = until
        self._since = since
        self._fds = _open_all(path)
        self._rest = b""
        self._place(since, tail)

    def _place(self, since: str, tail: int | None) -> None:
        """Drop the files, and skip the bytes, that lie before the first wanted line."""
        places = [0] * len(self._fds)
        if since:
            places = [_first_since(fd, since) for fd in self._fds]
        if tail is not None:
            places = _last_lines(self._fds, places, tail, self._until)
        for fd, place in zip(self._fds, places, strict=True):
            os.lseek(fd, place, os.SEEK_SET)

    def __iter__(self) -> Iterator[Entry]:
        while self._fds:
            yield from self._read_file(self._fds[0])
            if len(self._fds) == 1:
                return
            os.close(self._fds.pop(0))
            self._rest = b""

    def _read_file(self, fd: int) -> Iterator[Entry]:
        while data := os.read(fd, _BLOCK):
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                entry = parse(line)
                if entry is None or entry.time < self._since:
                    continue
                if self._until and entry.time > self._until:
                    continue
                yield entry

    def resume(self) -> Iterator[Entry]:
        """The entries written since the last one was given, across rotation and truncation."""
        self._catch_up()
        yield from self

    def _catch_up(self) -> None:
        newer = _open_all(self._path)
        if not self._fds:
            self._fds = newer
            return
        last = os.fstat(self._fds[-1])
        known = next((i for i, fd in enumerate(newer) if os.path.sameopenfile(fd, self._fds[-1])), -1)
        for fd in newer[: known + 1]:
            os.close(fd)
        self._fds += newer[known + 1 :]
        if last.st_size < os.lseek(self._fds[0], 0, os.SEEK_CUR):
            os.lseek(self._fds[0], 0, os.SEEK_SET)
            self._rest = b""

    def close(self) -> None:
        """Release the files; a second call does nothing."""
        while self._fds:
            os.close(self._fds.pop())


async def follow(
    path: str, ended: asyncio.Event, *, since: str = "", until: str = "", tail: int | None = None
) -> AsyncIterator[Entry]:
    """The log's entries, then each new one as it is written, until `ended` is set and all has been given."""
    reader = Reader(path, since=since, until=until, tail=tail)
    directory = os.path.dirname(path)
    watch = inotify.watch(directory, inotify.MODIFY | inotify.CREATE | inotify.MOVED_TO)
    try:
        for entry in reader:
            yield entry
        while True:
            # Asked before reading: what is written after that is caught by this read or the next event.
            over = ended.is_set()
            for entry in reader.resume():
                yield entry
            if over or (until and timestamp(time.time_ns()) > until):
                return
            await _changed(watch, ended)
    finally:
        reader.close()
        os.close(watch)


async def _changed(watch: int, ended: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    readable = loop.create_future()

    def on_readable() -> None:
        loop.remove_reader(watch)
        readable.set_result(None)

    loop.add_reader(watch, on_readable)
    over = asyncio.ensure_future(ended.wait())
    try:
        await asyncio.wait({readable, over}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(watch)
        over.cancel()
        readable.cancel()
    try:
        while os.read(watch, _BLOCK):
            pass
    except BlockingIOError:
        pass


def _open_all(path: str) -> list[int]:
    """Descriptors of the existing files of the log, oldest first."""
    while True:
        fds = _try_open_all(path)
        # A rotation between two opens shows as the same file twice; then the names are read again.
        seen = {(status.st_dev, status.st_ino) for status in map(os.fstat, fds)}
        if len(seen) == len(fds):
            return fds
        for fd in fds:
            os.close(fd)


def _try_open_all(path: str) -> list[int]:
    fds: list[int] = []
    number = 0
    while True:
        name = f"{path}.{number}" if number else path
        try:
            fds.insert(0, os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW))
        except FileNotFoundError:
            if number:
                return fds
        number += 1


def _first_since(fd: int, since: str) -> int:
    """Offset of the first line of `fd` whose time is not before `since` (the size where there is none)."""
    low, high = 0, os.fstat(fd).st_size
    while low < high:
        middle = (low + high) // 2
        start, entry = _line_after(fd, middle, high)
        if entry is None or entry.time >= since:
            high = middle
        else:
            low = start
    return _line_after(fd, low, os.fstat(fd).st_size)[0] if low else 0


def _line_after(fd: int, offset: int, end: int) -> tuple[int, Entry | None]:
    """The first whole, readable line that begins behind `offset`: (start, entry), or (end, None)."""
    data = b""
    position = offset
    while position < end:
        block = os.pread(fd, _BLOCK, position)
        if not block:
            break
        data += block
        position += len(block)
        start = data.find(b"\n") + 1
        while start and (stop := data.find(b"\n", start)) >= 0:
            entry = parse(data[start:stop])
            if entry is not None:
                return offset + start, entry
            start = stop + 1
    return end, None


def _last_lines(fds: list[int], floors: list[int], count: int, until: str) -> list[int]:
    """Offsets, file by file, from which `count` lines remain that are not after `until`."""
    places = [os.fstat(fd).st_size for fd in fds]
    ends = [_first_since(fd, until + "~") if until else place for fd, place in zip(fds, places, strict=True)]
    wanted = count
    for index in range(len(fds) - 1, -1, -1):
        if wanted <= 0:
            break
        places[index], found = _lines_back(fds[index], floors[index], ends[index], wanted)
        wanted -= found
    return places


def _lines_back(fd: int, floor: int, end: int, count: int) -> tuple[int, int]:
    """Offset of the `count`-th last line between `floor` and `end`, and how many there were."""
    position, found = end, 0
    while position > floor:
        start = max(floor, position - _BLOCK)
        block = os.pread(fd, position - start, start)
        at = len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            if start + at + 1 == end:
                continue
            found += 1
            if found == count:
                return start + at + 1, found
        position = start
    return floor, found + (1 if end > floor else 0)
