"""Contexts of folders that are built again and again: only what changed is sent and read once more.

The client lists its folder (names, attributes, and a stamp of each file that changes when the file does); what is
here of an earlier build with the same stamp is not asked for. Per folder one file with the bytes of all its files
and one with the index, below `build/contexts` of the data root:

    client ── listing ──► engine ── what it has not ──► client ── a tar of that ──► engine
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import tempfile
from contextlib import asynccontextmanager, suppress
from typing import IO, TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.build.context import Context, spooled
from nakagin.build.tree import Item
from nakagin.errors import Damaged, Invalid
from nakagin.storage.compression import reading
from nakagin.storage.tarread import DIRECTORY, FIFO, FILE, SYMLINK, Entry
from nakagin.storage.tree import clean

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from nakagin.storage.compression import Readable

_MOST = 16
_MOST_BYTES = 2 << 30
_SMALL = 1 << 20
_TYPES = {stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: SYMLINK, stat.S_IFIFO: FIFO}


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One file as the client lists it. `mode` is st_mode; an empty `stamp` is never trusted; `inode` is 0 unless
    the file has several names."""

    path: str
    mode: int
    size: int
    mtime_ns: int
    stamp: str = ""
    link: str = ""
    inode: int = 0


class Listing(msgspec.Struct, frozen=True):
    """A folder of a client; `key` names the folder and the client."""

    key: str
    rows: list[Row]


class _Known(msgspec.Struct, frozen=True, array_like=True):
    stamp: str
    offset: int
    size: int
    digest: str


_Index = dict[str, _Known]
_decode_index = msgspec.msgpack.Decoder(_Index).decode


def read_listing(stream: Readable) -> Listing:
    """Raises Invalid."""
    data = b""
    while piece := stream.read(_SMALL):
        data += piece
    try:
        return msgspec.json.decode(data, type=Listing)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the list of the build context is damaged: {error}") from None


class KeptContext(NamedTuple):
    """`used` is in seconds since the epoch."""

    name: str
    size: int
    used: float
    in_use: bool


class KeptContexts:
    """The kept contexts of one engine; the longest unused go first."""

    def __init__(self, root: str) -> None:
        self._root = os.path.join(root, "build", "contexts")
        os.makedirs(self._root, mode=0o700, exist_ok=True)
        self._locks: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def update(self, listing: Listing) -> AsyncIterator[Update]:
        """Bring what is kept to the state of a listing. One at a time per folder."""
        name = hashlib.sha256(listing.key.encode()).hexdigest()[:32]
        async with self._locks.setdefault(name, asyncio.Lock()):
            update = await asyncio.to_thread(Update, os.path.join(self._root, name), listing)
            try:
                yield update
                await asyncio.to_thread(self._sweep)
            finally:
                update.close()

    def all(self) -> list[KeptContext]:
        """What is kept."""
        found = []
        for name in self._names():
            with suppress(FileNotFoundError):
                status = os.stat(os.path.join(self._root, name))
                lock = self._locks.get(name)
                found.append(
                    KeptContext(name, status.st_size, status.st_mtime, lock is not None and lock.locked())
                )
        return found

    def remove(self, name: str) -> None:
        """Forget one. Builds under way keep its bytes open."""
        for each in (f"{name}.index", name):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(self._root, each))

    def _names(self) -> list[str]:
        return [name for name in os.listdir(self._root) if not name.endswith(".index")]

    def _sweep(self) -> None:
        total = 0
        for number, each in enumerate(sorted(self.all(), key=lambda each: -each.used)):
            total += each.size
            if number >= _MOST or (total > _MOST_BYTES and number):
                self.remove(each.name)


class Update:
    """One folder on its way to the state of a listing. Blocking but for `wanted`.

    `wanted` are the paths that must be sent; None: all of them.
    """

    def __init__(self, path: str, listing: Listing) -> None:
        self._path = path
        self._rows = listing.rows
        self._spool: IO[bytes] = open(path, "a+b", opener=_private)  # noqa: SIM115  closed by close, or its Context
        self._known = self._read()
        self._half = False
        """Whether bytes have begun to come, and not all are here."""
        files = [row for row in self._rows if stat.S_ISREG(row.mode)]
        missing = [row.path for row in files if not self._is_here(row)]
        self.wanted: list[str] | None = None if len(missing) == len(files) and files else missing
        self._arrived: dict[bytes, Item] = {}
        self._digests: dict[bytes, str] = {}

    def _read(self) -> _Index:
        try:
            with open(f"{self._path}.index", "rb") as file:
                found = _decode_index(file.read())
        except (FileNotFoundError, msgspec.DecodeError):
            return {}
        end = os.fstat(self._spool.fileno()).st_size
        return {path: each for path, each in found.items() if each.offset + each.size <= end}

    def _is_here(self, row: Row) -> bool:
        known = self._known.get(row.path)
        return known is not None and bool(row.stamp) and known.stamp == row.stamp and known.size == row.size

    def take(self, stream: Readable) -> None:
        """Take in the tar of what was wanted. Raises Damaged, Exhausted."""
        self._half = True
        self._spool.seek(0, os.SEEK_END)
        with reading("the build context"):
            self._arrived, self._digests = spooled(stream, self._spool)
        self._half = False

    def reserve(self, size: int) -> int:
        """Room for a file that comes by itself, not in a tar; where it begins. `arrived` tells that it is there."""
        self._half = True
        at = os.fstat(self._spool.fileno()).st_size
        os.ftruncate(self._spool.fileno(), at + size)
        return at

    def open(self) -> int:
        """A descriptor to write at any place with (the spool's own appends); the caller closes it."""
        return os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)

    def arrived(self, files: Iterable[tuple[bytes, Item, str]]) -> None:
        """All that was wanted is there: path, item with its place, SHA-256 in hex."""
        for path, item, digest in files:
            self._arrived[path], self._digests[path] = item, digest
        self._half = False

    def finish(self) -> Context:
        """The context as it was listed; the index is written where something changed. Raises Damaged."""
        items: dict[bytes, Item] = {}
        digests: dict[bytes, str] = {}
        index: _Index = {}
        for row in self._rows:
            path = clean(os.fsencode(row.path))
            if not path:
                continue
            if stat.S_ISREG(row.mode):
                known = index[row.path] = self._file(row, path)
                items[path] = _item(path, row, known)
                digests[path] = known.digest
            elif stat.S_IFMT(row.mode) in _TYPES:
                items[path] = _item(path, row, None)
        if index != self._known:
            self._write(index)
        else:
            os.utime(self._path)
        spool = self._spool
        self._spool = open(os.devnull, "rb")  # noqa: SIM115  closed by close
        return Context(spool, items, digests)

    def _file(self, row: Row, path: bytes) -> _Known:
        if self._is_here(row):
            return self._known[row.path]
        item = self._arrived.get(path)
        if item is None or item.entry.type != FILE or not isinstance(item.place, int):
            raise Damaged(f"{row.path} went away while the context was sent", hint="build again")
        # What changed between listing and reading has another stamp the next time.
        return _Known(row.stamp, item.place, item.entry.size, self._digests[path])

    def _write(self, index: _Index) -> None:
        """The new index, and where most of the bytes belong to no file any more, new bytes."""
        live = sum(known.size for known in index.values())
        size = os.fstat(self._spool.fileno()).st_size
        with tempfile.NamedTemporaryFile(
            dir=os.path.dirname(self._path), suffix=".index", delete=False
        ) as file:
            if size > _SMALL and live < size // 2:
                index = self._packed(index)
            file.write(msgspec.msgpack.encode(index))
        os.rename(file.name, f"{self._path}.index")

    def _packed(self, index: _Index) -> _Index:
        """The live bytes in a file of their own, which takes the old one's name; this build still reads the old."""
        found: _Index = {}
        with open(f"{self._path}.new.index", "wb", opener=_private) as file:
            for path, known in index.items():
                at = file.tell()
                file.writelines(_pieces(self._spool.fileno(), known.offset, known.size))
                found[path] = msgspec.structs.replace(known, offset=at)
        with suppress(FileNotFoundError):
            os.unlink(f"{self._path}.index")  # it belongs to the old bytes
        os.rename(f"{self._path}.new.index", self._path)
        return found

    def close(self) -> None:
        """Let go of what no context has taken. Where bytes came in vain, nothing of the folder stays."""
        if self._half:
            for path in (f"{self._path}.index", self._path):
                with suppress(FileNotFoundError):
                    os.unlink(path)
        with suppress(OSError):  # what the disk had no room for can not be written now either
            self._spool.close()


def _item(path: bytes, row: Row, known: _Known | None) -> Item:
    entry = Entry(path, _TYPES[stat.S_IFMT(row.mode)], stat.S_IMODE(row.mode))
    entry.mtime_ns, entry.linkname = row.mtime_ns, os.fsencode(row.link)
    if known is None:
        return Item(path, entry)
    entry.size = known.size
    return Item(path, entry, known.offset, row.inode or None)


def _pieces(fd: int, offset: int, size: int) -> Iterator[bytes]:
    while size:
        piece = os.pread(fd, min(size, _SMALL), offset)
        if not piece:
            raise Damaged("a kept build context was cut short", hint="build again")
        offset += len(piece)
        size -= len(piece)
        yield piece


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
