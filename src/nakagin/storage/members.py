"""Files of a tree as members of a tar: what of a file belongs there, its header and its bytes.

A regular file is found once, without being opened, and then opened through what was found: a device or a pipe that
somebody puts in its place meanwhile is never opened, as that does things.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from nakagin.storage.tarread import BLOCKDEV, CHARACTER, DIRECTORY, FIFO, FILE, LINK, SYMLINK, Entry
from nakagin.storage.tarwrite import header, padding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

_PIECE = 1 << 20
_FOUND = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_TYPES = {
    stat.S_IFREG: FILE,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCKDEV,
    stat.S_IFIFO: FIFO,
    stat.S_IFDIR: DIRECTORY,
}


class Members:
    """The files of one tar, by one thread at a time; remembers the inodes that have several names."""

    def __init__(self) -> None:
        self._links: dict[tuple[int, int], bytes] = {}
        # Each walk from "/proc" on would cost as much as all else that is done for a small file.
        self._descriptors = os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptors)

    def file(
        self, path: bytes, name: bytes, status: os.stat_result, folder: int | None = None
    ) -> Iterable[bytes]:
        """What is no directory, at `path` (in the directory `folder`, where given), as `name`: header and data.

        To be iterated at once. The call itself raises OSError where it is gone or has become something else;
        afterwards the tar stays whole.
        """
        if stat.S_ISREG(status.st_mode):
            return self._regular(path, name, folder)
        entry = entry_of(path if folder is None else b"/proc/self/fd/%d/%s" % (folder, path), name, status)
        self._link(entry, status)
        return (header(entry),)

    def _link(self, entry: Entry, status: os.stat_result) -> None:
        """A further name of something that is in the tar already."""
        if status.st_nlink > 1:
            first = self._links.setdefault((status.st_dev, status.st_ino), entry.name)
            if first != entry.name:
                entry.type, entry.linkname, entry.size, entry.xattrs = LINK, first, 0, {}

    def _regular(self, path: bytes, name: bytes, folder: int | None) -> Iterable[bytes]:
        found = os.open(path, _FOUND, dir_fd=folder)
        try:
            status = os.fstat(found)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(22, "not a file any more", path)
            fd = os.open(str(found), os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._descriptors)
        finally:
            os.close(found)
        try:
            entry = entry_of(fd, name, status)
            self._link(entry, status)
            if not entry.size:
                return (header(entry),)
            if entry.size <= _PIECE:
                return (_whole(entry, fd),)
            pieces, fd = _large(entry, fd), -1
            return pieces
        finally:
            if fd >= 0:
                os.close(fd)


def entry_of(place: bytes | int, name: bytes, status: os.stat_result) -> Entry:
    """The tar entry of a file as it lies at `place` (path or open file); only attributes that belong to its content."""
    entry = Entry(name, _TYPES[stat.S_IFMT(status.st_mode)], stat.S_IMODE(status.st_mode))
    entry.uid, entry.gid = status.st_uid, status.st_gid
    entry.mtime_ns = status.st_mtime_ns
    if entry.type == FILE:
        entry.size = status.st_size
    elif entry.type == SYMLINK:
        assert isinstance(place, bytes), "links are never open"
        entry.linkname = os.readlink(place)
    elif entry.type in (CHARACTER, BLOCKDEV):
        entry.major, entry.minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    follow = isinstance(place, int)
    for attribute in os.listxattr(place, follow_symlinks=follow):
        if _is_content(attribute):
            entry.xattrs[os.fsencode(attribute)] = os.getxattr(place, attribute, follow_symlinks=follow)
    return entry


def _is_content(attribute: str) -> bool:
    """Whether an attribute is the file's own; the others belong to overlayfs and to this host."""
    if attribute.startswith("user.overlay."):
        return False
    return attribute == "security.capability" or attribute.startswith(("user.", "system.posix_acl_"))


def _whole(entry: Entry, fd: int) -> bytes:
    """A small file in one piece; one that is cut short meanwhile is filled with zeros."""
    data = os.read(fd, entry.size)
    while len(data) < entry.size:
        more = os.read(fd, entry.size - len(data))
        data += more or bytes(entry.size - len(data))
    return header(entry) + data + padding(entry.size)


def _large(entry: Entry, fd: int) -> Iterator[bytes]:
    try:
        yield header(entry)
        left = entry.size
        while left:
            piece = os.read(fd, min(left, _PIECE))
            if not piece:
                piece = bytes(min(left, _PIECE))
            left -= len(piece)
            yield piece
        yield padding(entry.size)
    finally:
        os.close(fd)
