"""The files of a stack of layers, seen without mounting it."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from nakagin.build.tree import Item
from nakagin.storage.members import entry_of
from nakagin.storage.overlay import NOTHING, Below, below, names_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_PIECE = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Stack:
    """A tree (`nakagin.build.tree.Tree`) of the merged layers; `folders` are absolute paths, topmost first."""

    def __init__(self, folders: Sequence[str]) -> None:
        self.folders = tuple(os.fsencode(folder) for folder in folders)
        self._known: dict[bytes, Below] = {b"": self._root()}
        self._digests: dict[bytes, str] = {}

    def _root(self) -> Below:
        if not self.folders:
            return NOTHING
        return Below(self.folders[0], os.lstat(self.folders[0]), self.folders)

    def _below(self, path: bytes) -> Below:
        found = self._known.get(path)
        if found is None:
            parent, _, name = path.rpartition(b"/")
            found = below(self._below(parent).folders, name)
            if found.folders:
                self._known[path] = found
        return found

    def look(self, path: bytes) -> Item | None:
        found = self._below(path)
        if found.path is None or found.status is None or stat.S_ISSOCK(found.status.st_mode):
            return None
        status = found.status
        several = stat.S_ISREG(status.st_mode) and status.st_nlink > 1
        inode = (status.st_dev, status.st_ino) if several else None
        return Item(path, entry_of(found.path, b"", status), found.path, inode)

    def children(self, path: bytes) -> Iterable[Item]:
        prefix = path + b"/" if path else b""
        for name in names_below(self._below(path).folders):
            item = self.look(prefix + name)
            if item is not None:
                yield item

    def chunks(self, item: Item) -> Iterator[bytes]:
        assert isinstance(item.place, bytes)
        fd = os.open(item.place, _OPEN)
        try:
            while piece := os.read(fd, _PIECE):
                yield piece
        finally:
            os.close(fd)

    def digest(self, item: Item) -> str:
        assert isinstance(item.place, bytes)
        known = self._digests.get(item.place)
        if known is None:
            with open(item.place, "rb", buffering=0) as file:
                known = self._digests[item.place] = hashlib.file_digest(file, "sha256").hexdigest()
        return known
