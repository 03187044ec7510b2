"""The build context: a tar of files, kept as it came, with an index and the digest of each file.

Nothing is unpacked: what the build does not copy is never written a second time.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from typing import IO, TYPE_CHECKING

from nakagin.build.tree import NEW, Item, new_folder, walk
from nakagin.errors import Damaged, Exhausted, Invalid
from nakagin.storage.compression import decompressed, reading
from nakagin.storage.tarread import FILE, LINK, Entry, TarReader
from nakagin.storage.tree import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nakagin.build.tree import Tree
    from nakagin.dockerfile.ignore import Patterns
    from nakagin.storage.compression import Readable

_PIECE = 1 << 20
_MOST_BYTES = 64 << 30
_MOST_FILES = 4_000_000


class Context:
    """A tree (`nakagin.build.tree.Tree`) of the files that a client sent. A context manager: it ends with the build."""

    def __init__(self, spool: IO[bytes], items: dict[bytes, Item], digests: dict[bytes, str]) -> None:
        self._spool = spool
        self._items = items
        self._digests = digests
        self._folders: dict[bytes, set[bytes]] = {b"": set()}
        for path in items:
            self._enter(path)

    def _enter(self, path: bytes) -> None:
        """Let the folders above know of a path, those too that the tar does not have."""
        while path:
            folder, _, name = path.rpartition(b"/")
            names = self._folders.setdefault(folder, set())
            if name in names:
                return
            names.add(name)
            path = folder

    @classmethod
    def read(cls, stream: Readable, folder: str) -> Context:
        """Take in a tar, plain or compressed; its files lie in one nameless file in `folder`. Blocking.

        Raises Damaged, Invalid (a name that leads out), Exhausted.
        """
        spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by close
        try:
            with reading("the build context"):
                items, digests = spooled(stream, spool)
        except BaseException:
            spool.close()
            raise
        return cls(spool, items, digests)

    @classmethod
    def empty(cls, folder: str, files: dict[bytes, bytes] | None = None) -> Context:
        """A context with nothing but these files (a Dockerfile that came alone)."""
        spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by close
        items, digests = {}, {}
        for path, data in (files or {}).items():
            entry = Entry(path)
            entry.size, entry.mtime_ns = len(data), NEW
            items[path] = Item(path, entry, spool.tell())
            digests[path] = hashlib.sha256(data).hexdigest()
            spool.write(data)
        spool.flush()
        return cls(spool, items, digests)

    @classmethod
    def copied(cls, tree: Tree, top: Item, folder: str, *, mtime_ns: int) -> Context:
        """The files below `top` of another tree, all of one time and root's. Blocking."""
        spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by close
        items, digests = {}, {}
        try:
            for item in walk(tree, top):
                path = item.path[len(top.path) :].lstrip(b"/")
                entry = Entry(path, item.entry.type, item.entry.mode)
                entry.linkname, entry.size, entry.mtime_ns = item.entry.linkname, item.entry.size, mtime_ns
                items[path] = Item(path, entry, spool.tell())
                if entry.type == FILE:
                    check = hashlib.sha256()
                    for piece in tree.chunks(item):
                        check.update(piece)
                        spool.write(piece)
                    digests[path] = check.hexdigest()
            spool.flush()
        except BaseException:
            spool.close()
            raise
        return cls(spool, items, digests)

    @classmethod
    def of_file(
        cls, file: IO[bytes], path: bytes, *, size: int, digest: str, mode: int, mtime_ns: int
    ) -> Context:
        """One file, whose bytes `file` has (it becomes the context's own); `digest` is its SHA-256 in hex."""
        entry = Entry(path, FILE, mode)
        entry.size, entry.mtime_ns = size, mtime_ns
        return cls(file, {path: Item(path, entry, 0)}, {path: digest})

    def close(self) -> None:
        """Let go of the files."""
        self._spool.close()

    @property
    def size(self) -> int:
        """The bytes of all files; of one that has several names, once."""
        return sum(item.entry.size for item in self._files())

    @property
    def count(self) -> int:
        """How many files there are."""
        return sum(item.entry.type == FILE for item in self._items.values())

    def largest(self, count: int) -> list[tuple[bytes, int]]:
        """The top folders and files by their bytes."""
        sizes: dict[bytes, int] = {}
        for item in self._files():
            top = b"/".join(item.path.split(b"/")[:2])
            sizes[top] = sizes.get(top, 0) + item.entry.size
        return sorted(sizes.items(), key=lambda pair: -pair[1])[:count]

    def _files(self) -> Iterable[Item]:
        """Every file, by the first of its names."""
        found = {
            item.path if item.inode is None else item.inode: item
            for item in reversed(self._items.values())
            if item.entry.type == FILE
        }
        return found.values()

    def without(self, ignored: Patterns, keep: Iterable[bytes] = ()) -> Context:
        """The same files but those that .dockerignore leaves out."""
        kept = set(keep)
        items = {
            path: item
            for path, item in self._items.items()
            if path in kept or not ignored.excludes(os.fsdecode(path))
        }
        return Context(self._spool, items, self._digests)

    def text(self, path: bytes, most: int = 1 << 22) -> str | None:
        """A small file as text; None where there is none. Raises Invalid (too large, not UTF-8)."""
        item = self._items.get(path)
        if item is None or item.entry.type != FILE:
            return None
        if item.entry.size > most:
            raise Invalid(f"{os.fsdecode(path)} has {item.entry.size} bytes; at most {most} are read")
        try:
            return b"".join(self.chunks(item)).decode()
        except UnicodeDecodeError:
            raise Invalid(f"{os.fsdecode(path)} is not UTF-8 text") from None

    def paths(self) -> list[bytes]:
        """Every path, sorted."""
        return sorted(self._items)

    # --- As a tree

    def look(self, path: bytes) -> Item | None:
        found = self._items.get(path)
        if found is None and path in self._folders:
            return Item(path, new_folder())
        return found

    def children(self, path: bytes) -> Iterable[Item]:
        prefix = path + b"/" if path else b""
        for name in sorted(self._folders.get(path, ())):
            item = self.look(prefix + name)
            assert item is not None
            yield item

    def chunks(self, item: Item) -> Iterator[bytes]:
        assert isinstance(item.place, int)
        at, left = item.place, item.entry.size
        while left:
            piece = os.pread(self._spool.fileno(), min(left, _PIECE), at)
            if not piece:
                raise Damaged(f"the build context was cut short in {os.fsdecode(item.path)}")
            at += len(piece)
            left -= len(piece)
            yield piece

    def digest(self, item: Item) -> str:
        return self._digests[item.path]


def spooled(stream: Readable, spool: IO[bytes]) -> tuple[dict[bytes, Item], dict[bytes, str]]:
    """The files of a tar, their bytes at the end of `spool`, and their digests. Raises as Context.read."""
    try:
        return _spooled(stream, spool)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Exhausted(
            "no space left for the build context", hint="free disk space below the data root"
        ) from None


def _spooled(stream: Readable, spool: IO[bytes]) -> tuple[dict[bytes, Item], dict[bytes, str]]:
    items: dict[bytes, Item] = {}
    digests: dict[bytes, str] = {}
    reader = TarReader(decompressed(stream)[1])
    total = 0
    for entry in reader:
        path = clean(entry.name)
        if not path:
            continue
        if len(items) >= _MOST_FILES:
            raise Exhausted(
                f"the build context has more than {_MOST_FILES} files", hint="use a .dockerignore"
            )
        if entry.type == LINK:
            _link(items, digests, path, entry)
            continue
        items[path] = Item(path, entry, spool.tell())
        if entry.type == FILE:
            check = hashlib.sha256()
            for piece in reader.chunks():
                total += len(piece)
                if total > _MOST_BYTES:
                    raise Exhausted(
                        f"the build context has more than {_MOST_BYTES} bytes", hint="use a .dockerignore"
                    )
                check.update(piece)
                spool.write(piece)
            entry.size = entry.stored
            digests[path] = check.hexdigest()
    spool.flush()
    return items, digests


def _link(items: dict[bytes, Item], digests: dict[bytes, str], path: bytes, entry: Entry) -> None:
    """A hard link is the file once more."""
    target = clean(entry.linkname)
    known = items.get(target)
    if known is None:
        where = os.fsdecode(path)
        raise Invalid(f"a hard link to {os.fsdecode(target)}, which is not in the context", where=where)
    items[target] = known._replace(inode=known.inode or target)
    items[path] = items[target]._replace(path=path)
    if target in digests:
        digests[path] = digests[target]
