"""Folders of a client, by BuildKit's file transfer (fsutil): it lists, we ask for the files, it sends them.

client ── STAT path, mode, size … ──► ... ── STAT (empty) ──► engine
       ◄── REQ id ──  ── DATA id … DATA id (empty) ──►        for each regular file; id is its place in the list
       ◄── FIN ──  ── FIN ──►
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import tempfile
from typing import TYPE_CHECKING

from nakagin.api.buildkit.protobuf import Message, encode, entries, present
from nakagin.build.context import Context
from nakagin.build.kept import Listing, Row
from nakagin.build.tree import Item
from nakagin.errors import Damaged, Exhausted, Invalid
from nakagin.storage.tarread import BLOCKDEV, CHARACTER, DIRECTORY, FIFO, FILE, SYMLINK, Entry
from nakagin.storage.tree import clean
from nakagin.tasks import drop

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from nakagin.api.buildkit.http2 import Call
    from nakagin.build.kept import KeptContexts
    from nakagin.build.tree import Tree

STAT, REQ, DATA, FIN, ERR = 0, 1, 2, 3, 4
_MOST_FILES = 4_000_000
_AT_ONCE = 64
_PIECE = 32 << 10
# Go's os.FileMode
_DIR, _LINK, _DEVICE, _PIPE, _SOCKET, _SETUID, _SETGID, _CHAR, _STICKY = (
    1 << 31, 1 << 27, 1 << 26, 1 << 25, 1 << 24, 1 << 23, 1 << 22, 1 << 21, 1 << 20,
)  # fmt: skip
_BITS = ((_SETUID, 0o4000), (_SETGID, 0o2000), (_STICKY, 0o1000))


def entry_of(told: Message) -> Entry:
    """What an fsutil Stat says, as a tar would."""
    mode = told.number(2)
    kind = FILE
    for bit, type in (
        (_DIR, DIRECTORY),
        (_LINK, SYMLINK),
        (_CHAR, CHARACTER),
        (_DEVICE, BLOCKDEV),
        (_PIPE, FIFO),
    ):
        if mode & bit:
            kind = type
            break
    bits = mode & 0o777
    for bit, ours in _BITS:
        bits |= ours if mode & bit else 0
    entry = Entry(b"", kind, bits)
    entry.uid, entry.gid, entry.mtime_ns = told.number(3), told.number(4), told.number(6)
    entry.size = told.number(5) if kind == FILE else 0
    entry.linkname = told.data(7) if kind == SYMLINK else b""
    entry.major, entry.minor = told.number(8), told.number(9)
    entry.xattrs = {name.encode(): value for name, value in told.byte_map(10).items()}
    return entry


async def receive(call: Call, folder: str, kept: KeptContexts | None = None, key: str = "") -> Context:
    """The files that a client's `DiffCopy` sends; they lie in one nameless file in `folder`.

    With `kept`, only those are asked for that have changed (by size, mode and time) since `key` was received last.
    Raises Damaged, Invalid, Exhausted, and what the client ends the call with.
    """
    transfer = _Transfer(call)
    try:
        await transfer.take_list()
        if kept is None or not key:
            return await _fresh(transfer, folder)
        listing = Listing(
            key, [_row(path, entry, transfer.inodes.get(path, 0)) for path, entry in transfer.listed]
        )
        async with kept.update(listing) as update:
            wanted = None if update.wanted is None else {os.fsencode(path) for path in update.wanted}
            fd = update.open()
            try:
                update.arrived(await transfer.fetch(fd, wanted, update.reserve))
            finally:
                os.close(fd)
            return await asyncio.to_thread(update.finish)
    except BaseException:
        call.cancel()
        raise


async def _fresh(transfer: _Transfer, folder: str) -> Context:
    spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  handed to the context
    end = 0

    def reserve(size: int) -> int:
        nonlocal end
        at, end = end, end + size
        return at

    try:
        items = {path: Item(path, entry) for path, entry in transfer.listed}
        digests = {}
        for path, item, digest in await transfer.fetch(spool.fileno(), None, reserve):
            items[path], digests[path] = item, digest
    except BaseException:
        spool.close()
        raise
    return Context(spool, items, digests)


def _row(path: bytes, entry: Entry, inode: int) -> Row:
    kind = {FILE: stat.S_IFREG, DIRECTORY: stat.S_IFDIR, SYMLINK: stat.S_IFLNK, FIFO: stat.S_IFIFO}.get(
        entry.type, 0
    )
    stamp = f"{entry.mtime_ns} {entry.mode:o}" if entry.type == FILE else ""
    link = os.fsdecode(entry.linkname)
    return Row(os.fsdecode(path), kind | entry.mode, entry.size, entry.mtime_ns, stamp, link, inode)


class _Transfer:
    """One conversation with a client that sends files."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.listed: list[tuple[bytes, Entry]] = []
        """Every path, as the client tells them."""
        self._ids: dict[bytes, int] = {}
        self.inodes: dict[bytes, int] = {}
        """A number for each file that has several names, by all of them."""

    async def take_list(self) -> None:
        """Take in the list."""
        entries: dict[bytes, Entry] = {}
        number = 0
        while (packet := await self._next(STAT)).has(2):
            told = packet.message(2)
            path, entry = clean(told.data(1)), entry_of(told)
            if number >= _MOST_FILES:
                raise Exhausted(
                    f"the build context has more than {_MOST_FILES} files", hint="use a .dockerignore"
                )
            if entry.type == FILE and told.data(7):
                first = clean(told.data(7))
                if first not in entries:
                    raise Invalid(f"a hard link to {os.fsdecode(first)}, which is not in the context")
                self.inodes[path] = self.inodes.setdefault(first, len(self.inodes) + 1)
                entry.size = entries[first].size
            if path:
                entries[path] = entry
                if entry.type == FILE:
                    self._ids[path] = number
            number += 1
        self.listed = list(entries.items())

    async def fetch(
        self, fd: int, wanted: Collection[bytes] | None, reserve: Callable[[int], int]
    ) -> list[tuple[bytes, Item, str]]:
        """Bring the files (None: all) to the places that `reserve` gives in `fd`; ends the conversation."""
        entries = dict(self.listed)
        waiting = [path for path in self._ids if wanted is None or path in wanted]
        waiting.reverse()
        under_way: dict[int, _File] = {}
        done: list[tuple[bytes, Item, str]] = []
        while waiting or under_way:
            while waiting and len(under_way) < _AT_ONCE:
                path = waiting.pop()
                under_way[self._ids[path]] = _File(path, entries[path], reserve(entries[path].size))
                await self._call.send(encode([(1, REQ), (3, self._ids[path])]))
            packet = await self._next(DATA)
            file = under_way.get(packet.number(3))
            if file is None:
                raise Damaged("the client sends what was not asked for")
            if data := packet.data(4):
                file.take(fd, data)
            else:
                del under_way[packet.number(3)]
                item = file.ended(fd)._replace(inode=self.inodes.get(file.path))
                done.append((file.path, item, file.check.hexdigest()))
        await self._call.send(encode([(1, FIN)]))
        await self._next(FIN)
        self._call.end_sending()
        return done

    async def _next(self, kind: int) -> Message:
        """The next packet, which must be of this kind."""
        data = await self._call.receive()
        if data is None:
            raise Damaged("the client ended in the middle of its files", hint="try again")
        packet = Message(data)
        if packet.number(1) == ERR:
            raise Invalid(f"the client can not send its files: {packet.data(4).decode(errors='replace')}")
        if packet.number(1) != kind:
            raise Damaged("the client sends what was not asked for")
        return packet


class _File:
    """A file on its way."""

    def __init__(self, path: bytes, entry: Entry, at: int) -> None:
        self.path = path
        self._entry = entry
        self._begin = self._at = at
        self.check = hashlib.sha256()

    @property
    def _left(self) -> int:
        return self._begin + self._entry.size - self._at

    def take(self, fd: int, data: bytes) -> None:
        data = data[: self._left]  # a file that grew meanwhile
        self.check.update(data)
        os.pwrite(fd, data, self._at)
        self._at += len(data)

    def ended(self, fd: int) -> Item:
        """A file that shrank meanwhile is filled up."""
        if self._left:
            self.take(fd, bytes(self._left))
        return Item(self.path, self._entry, self._begin)


async def send(call: Call, tree: Tree, top: Item) -> None:
    """Give a client the files of a tree (the other side of `receive`). Ends when it has what it wants."""
    from nakagin.build.tree import walk

    files: list[Item] = []

    async def listing() -> None:
        for item in await asyncio.to_thread(lambda: list(walk(tree, top))):
            files.append(item)
            await call.send(encode([(1, STAT)]) + present(2, _stat(item)))
        await call.send(encode([(1, STAT)]))

    told = asyncio.create_task(listing())
    try:
        while (data := await call.receive()) is not None:
            packet = Message(data)
            match packet.number(1):
                case 1:
                    await _send_file(call, tree, files[packet.number(3)], packet.number(3))
                case 3:
                    await call.send(encode([(1, FIN)]))
                    break
                case 4:
                    raise Invalid(
                        f"the client can not take the files: {packet.data(4).decode(errors='replace')}"
                    )
        await told
    finally:
        await drop(told)


async def _send_file(call: Call, tree: Tree, item: Item, id: int) -> None:
    pieces = _pieces(tree, item)
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        await call.send(encode([(1, DATA), (3, id), (4, piece)]))
    await call.send(encode([(1, DATA), (3, id)]))


def _pieces(tree: Tree, item: Item) -> Iterator[bytes]:
    for chunk in tree.chunks(item):
        for at in range(0, len(chunk), _PIECE):
            yield chunk[at : at + _PIECE]


def _stat(item: Item) -> bytes:
    entry = item.entry
    mode = entry.mode & 0o777
    for bit, ours in _BITS:
        mode |= bit if entry.mode & ours else 0
    mode |= {DIRECTORY: _DIR, SYMLINK: _LINK, CHARACTER: _DEVICE | _CHAR, BLOCKDEV: _DEVICE, FIFO: _PIPE}.get(
        entry.type, 0
    )
    fields = encode([
        (1, item.path), (2, mode), (3, entry.uid), (4, entry.gid), (5, entry.size), (6, entry.mtime_ns),
        (7, entry.linkname), (8, entry.major), (9, entry.minor),
    ])  # fmt: skip
    return fields + entries(10, {name.decode(): value for name, value in entry.xattrs.items()})
