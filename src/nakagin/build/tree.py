"""Files that COPY may take: of a build context, or of the layers of a stage or image.

Both are trees of bytes paths relative to a root, in which no symlink leads out (`..` stops at the root).
"""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nakagin.storage.tarread import DIRECTORY, FILE, SYMLINK, Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

NEW = -1
"""The time of what no source has: the build itself makes it, and it gets the build's own time."""
_MOST_LINKS = 40


class Item(NamedTuple):
    """Something in a tree. `entry.name` is unused; `place` is where its tree finds the bytes.

    `inode` is the same for all names of a file that has several (hard links), None where it has one.
    """

    path: bytes
    entry: Entry
    place: object = None
    inode: object = None

    @property
    def is_folder(self) -> bool:
        return self.entry.type == DIRECTORY

    @property
    def name(self) -> bytes:
        return self.path.rpartition(b"/")[2]


class Tree(Protocol):
    """What COPY asks of its source."""

    def look(self, path: bytes) -> Item | None:
        """What is at a path, a symlink itself included; no component but the last may be one."""

    def children(self, path: bytes) -> Iterable[Item]:
        """What is in a folder, sorted by name."""

    def chunks(self, item: Item) -> Iterator[bytes]:
        """The bytes of a file."""

    def digest(self, item: Item) -> str:
        """The SHA-256 of a file's bytes, in hex."""


def resolve(path: bytes, look: Callable[[bytes], Item | None], *, last: bool = True) -> bytes:
    """The path without symlinks and dots, inside the root; what is missing stays as it is written.

    `last`: a symlink at the end is followed too. Raises OSError (ELOOP).
    """
    here: list[bytes] = []
    todo = path.split(b"/")[::-1]
    links = 0
    while todo:
        name = todo.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            del here[-1:]
            continue
        here.append(name)
        if not todo and not last:
            break
        item = look(b"/".join(here))
        if item is None or item.entry.type != SYMLINK:
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(path))
        target = item.entry.linkname
        here = [] if target.startswith(b"/") else here[:-1]
        todo += target.split(b"/")[::-1]
    return b"/".join(here)


def find(tree: Tree, path: bytes) -> Item | None:
    """What is at a path, symlinks resolved inside the tree; None where there is nothing."""
    return tree.look(resolve(path, tree.look))


def walk(tree: Tree, item: Item, prune: Callable[[Item], bool] | None = None) -> Iterator[Item]:
    """Everything below a folder, folders before what is in them; `prune` leaves an item and all below it out."""
    for child in tree.children(item.path):
        if prune is not None and prune(child):
            continue
        yield child
        if child.is_folder:
            yield from walk(tree, child, prune)


def new_folder() -> Entry:
    """The attributes of a folder that the build makes."""
    entry = Entry(b"", DIRECTORY, 0o755)
    entry.mtime_ns = NEW
    return entry


class Placed(NamedTuple):
    """An item on its way to a target (a path relative to the root of the image), and the tree that has its bytes."""

    target: bytes
    item: Item
    tree: Tree


def content_digest(placed: Iterable[Placed]) -> str:
    """One digest for files at their targets: names, types, modes, owners, links, attributes, bytes; not times."""
    whole = hashlib.sha256()
    names: dict[object, bytes] = {}
    for target, item, tree in placed:
        entry = item.entry
        words = [target, entry.type, b"%o %d %d" % (entry.mode, entry.uid, entry.gid), entry.linkname]
        if entry.type == FILE:
            words.append(tree.digest(item).encode())
        if item.inode is not None:
            words.append(names.setdefault((tree, item.inode), target))
        for key in sorted(entry.xattrs):
            words += [key, entry.xattrs[key]]
        for word in words:
            whole.update(b"%d:" % len(word))
            whole.update(word)
        whole.update(b"\n")
    return whole.hexdigest()
