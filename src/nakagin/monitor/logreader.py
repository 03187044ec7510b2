"""Reads what `logfile.Writer` wrote, for the engine: by time, from the end, and following growth.

Nothing is scanned from the start: `tail` counts lines backwards from the end, `since` searches by halves.
All files are opened before the first is read, so that a rotation meanwhile neither loses nor repeats a line.
Compressed ones are unpacked into memory for that. As times always rise, the last time says what has been read.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec

from nakagin.monitor.logwatch import watcher

_BLOCK = 256 * 1024
# Who follows until a moment looks at the clock at least so often, in seconds: it may have been set meanwhile.
_CLOCK_LOOK = 5.0


class Entry(msgspec.Struct, frozen=True):
    """One piece of output: RFC 3339 time with nine digits, "stdout" or "stderr", the bytes as they came.

    `attributes` are the labels, variables and the tag that the log's options ask for.
    """

    time: str
    stream: str
    data: bytes
    attributes: dict[str, str] | None = None


class _Line(msgspec.Struct):
    """A line as it is stored."""

    log: str
    stream: str
    time: str
    attrs: dict[str, str] | None = None


_decoder = msgspec.json.Decoder(_Line)


def parse(line: bytes) -> Entry | None:
    """The entry of one log line; None where the line is torn (its writer was killed) or foreign."""
    try:
        # Slower than the decoder above, but it takes the lone surrogates that stand for bytes beyond UTF-8.
        document = json.loads(line)
        data = document["log"].encode("utf-8", "surrogateescape")
        return Entry(document["time"], document["stream"], data, document.get("attrs"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _parse_all(block: bytes) -> list[Entry]:
    """The entries of a block of whole lines."""
    try:
        return [
            Entry(line.time, line.stream, line.log.encode(), line.attrs)
            for line in _decoder.decode_lines(block)
        ]
    except (msgspec.MsgspecError, UnicodeError):
        return [entry for line in block.split(b"\n") if (entry := parse(line)) is not None]


class Reader:
    """An iterator over the entries of a log, oldest first.

    `since` and `until` are times as in `Entry.time` (inclusive; "" means no bound), `tail` the number of
    last lines to give. After the end, `resume()` goes on with what has been written meanwhile.
    """

    def __init__(self, path: str, *, since: str = "", until: str = "", tail: int | None = None) -> None:
        self._path = path
        self._until = until
        self._since = since
        self._read_until = self._skip_until = ""
        self._files = _open_newer(path).files
        self._rest = b""
        self._place(since, tail)

    def _place(self, since: str, tail: int | None) -> None:
        """Drop the files, and skip the bytes, that lie before the first wanted line."""
        fds = [file.fd for file in self._files]
        places = [_first_since(fd, since) if since else 0 for fd in fds]
        if tail is not None:
            places = _last_lines(fds, places, tail, self._until)
        for fd, place in zip(fds, places, strict=True):
            os.lseek(fd, place, os.SEEK_SET)

    def __iter__(self) -> Iterator[Entry]:
        while self._files:
            yield from self._read_file(self._files[0].fd)
            if len(self._files) == 1:
                return
            os.close(self._files.pop(0).fd)
            self._rest = b""

    def _read_file(self, fd: int) -> Iterator[Entry]:
        while data := os.read(fd, _BLOCK):
            whole, newline, rest = (self._rest + data).rpartition(b"\n")
            self._rest = rest
            if not newline:
                continue
            for entry in _parse_all(whole):
                if entry.time < self._since or entry.time <= self._skip_until:
                    continue
                self._read_until = entry.time
                if self._until and entry.time > self._until:
                    continue
                yield entry

    def resume(self) -> Iterator[Entry]:
        """The entries written since the last one was given, across rotation, compression and `clear`."""
        # The file at hand to its end first: what is found after that is newer.
        yield from self
        self._catch_up()
        yield from self

    def _catch_up(self) -> None:
        known = self._files[-1].identity if self._files else None
        found = _open_newer(self._path, known, self._read_until)
        if known is not None and not found.complete:  # the one at hand is gone, or compressed meanwhile
            self._skip_until = self._read_until
        self._files += found.files

    def close(self) -> None:
        """Release the files; a second call does nothing."""
        while self._files:
            os.close(self._files.pop().fd)


async def follow(
    path: str, ended: asyncio.Event, *, since: str = "", until: str = "", tail: int | None = None
) -> AsyncIterator[Entry]:
    """The log's entries, then each new one as it is written, to the last before `ended` is set or `until` is past."""
    reader = Reader(path, since=since, until=until, tail=tail)
    try:
        with watcher().changes(os.path.dirname(path)) as changed:
            for entry in reader:
                yield entry
            while True:
                # Asked before reading: what is written after that is caught by this read or the next event.
                left = _seconds_to(until) if until else None
                over = ended.is_set() or (left is not None and left < 0)
                changed.clear()
                for entry in reader.resume():
                    yield entry
                if over:
                    return
                await _either(changed, ended, left)
    finally:
        reader.close()


def _seconds_to(moment: str) -> float:
    """From now to a time as in `Entry.time`: negative when it is past, never more than a look at the clock may wait."""
    return min(datetime.fromisoformat(moment).timestamp() - time.time(), _CLOCK_LOOK)


async def _either(changed: asyncio.Event, ended: asyncio.Event, seconds: float | None) -> None:
    """One of them, or that many seconds."""
    both = [asyncio.ensure_future(each.wait()) for each in (changed, ended)]
    try:
        await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in both:
            each.cancel()


class _File(NamedTuple):
    """An open file of the log; `identity` is that of the file on disk, also where `fd` is an unpacked copy."""

    fd: int
    identity: tuple[int, int]


class _Found(NamedTuple):
    """Files of a log, oldest first; `complete` where they go on right behind the known one."""

    files: list[_File]
    complete: bool


def _open_newer(path: str, known: tuple[int, int] | None = None, read_until: str = "") -> _Found:
    """The files of the log that are newer than the `known` one, or than the time `read_until`."""
    while True:
        found = _try_open(path, known, read_until)
        # A rotation between two opens shows as the same file twice, or as a gap; then the names are read again.
        if found is not None and len({file.identity for file in found.files}) == len(found.files):
            return found
        for file in found.files if found else ():
            os.close(file.fd)


def _try_open(path: str, known: tuple[int, int] | None, read_until: str) -> _Found | None:
    files: list[_File] = []
    number = 0
    while True:
        file = _open(f"{path}.{number}" if number else path)
        if file is None:
            if number and not _exists(f"{path}.{number + 1}"):
                return _Found(files, False)
            if number:
                for each in files:
                    os.close(each.fd)
                return None
        elif file.identity == known or (number and read_until and _ends_before(file.fd, read_until)):
            os.close(file.fd)
            return _Found(files, file.identity == known)
        else:
            files.insert(0, file)
        number += 1


def _exists(name: str) -> bool:
    return os.path.exists(name) or os.path.exists(name + ".gz")


def _open(name: str) -> _File | None:
    """The file of that name, or its compressed form, unpacked; None where there is neither."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(name, flags)
        return _File(fd, _identity(fd))
    except FileNotFoundError:
        pass
    try:
        packed = os.open(name + ".gz", flags)
    except FileNotFoundError:
        return None
    try:
        return _File(_unpacked(packed), _identity(packed))
    finally:
        os.close(packed)


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _unpacked(packed: int) -> int:
    unpacker = zlib.decompressobj(wbits=31)
    fd = os.memfd_create("log", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as file:
            while data := os.read(packed, 1 << 18):
                file.write(unpacker.decompress(data))
            file.write(unpacker.flush())
    except zlib.error:
        pass  # damaged: what could be unpacked is shown
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _ends_before(fd: int, moment: str) -> bool:
    """Whether all of a file has been read when `moment` was the last time that was read."""
    size = os.fstat(fd).st_size
    start = max(0, size - _BLOCK)
    for line in reversed(os.pread(fd, size - start, start).splitlines()):
        entry = parse(line)
        if entry is not None:
            return entry.time <= moment
    return False


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
