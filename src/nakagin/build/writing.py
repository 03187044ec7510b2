"""Placed files as a layer tar: what COPY adds to an image. The same files give the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.build.tree import NEW
from nakagin.storage.tarread import FILE, LINK, Entry
from nakagin.storage.tarwrite import END, header, padding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nakagin.build.tree import Placed


def copied(placed: Iterable[Placed], *, latest_ns: int | None = None, new_ns: int = 0) -> Iterator[bytes]:
    """The tar's bytes. Times later than `latest_ns` are set to it (SOURCE_DATE_EPOCH); `new_ns` is that of files
    and folders which no source has. The names of one file become hard links."""
    names: dict[object, bytes] = {}
    for target, item, tree in placed:
        old = item.entry
        entry = Entry(target, old.type, old.mode)
        first = target if item.inode is None else names.setdefault((tree, item.inode), target)
        entry.uid, entry.gid, entry.size = old.uid, old.gid, old.size
        entry.linkname, entry.major, entry.minor = old.linkname, old.major, old.minor
        entry.xattrs = old.xattrs
        entry.mtime_ns = new_ns if old.mtime_ns == NEW else old.mtime_ns
        if latest_ns is not None:
            entry.mtime_ns = min(entry.mtime_ns, latest_ns)
        if first != target:
            entry.type, entry.linkname, entry.size, entry.xattrs = LINK, first, 0, {}
        yield header(entry)
        if entry.type == FILE:
            yield from tree.chunks(item)
            yield padding(entry.size)
    yield END


class Pieces:
    """Pieces of bytes as a stream (`nakagin.storage.compression.Readable`)."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = b""

    def read(self, size: int, /) -> bytes:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._left = piece
        taken, self._left = self._left[:size], self._left[size:]
        return taken
