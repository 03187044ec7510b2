"""An upper directory as a layer tar: what a container changed, ready to become the next layer of an image.

The tar is a function of the files alone: sorted, whole seconds, no owner names; deletions as OCI whiteouts.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from nakagin.errors import Unsupported
from nakagin.storage.overlay import below, is_opaque, is_whiteout
from nakagin.storage.tarread import BLOCKDEV, CHARACTER, DIRECTORY, FIFO, FILE, LINK, SYMLINK, Entry
from nakagin.storage.tarwrite import END, header, padding
from nakagin.storage.tree import DEEPEST_PATH
from nakagin.storage.unpack import OPAQUE_MARK, WHITEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PIECE = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_TYPES = {
    stat.S_IFREG: FILE,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCKDEV,
    stat.S_IFIFO: FIFO,
    stat.S_IFDIR: DIRECTORY,
}


def layer_tar(upper: str, lower: Sequence[str] = ()) -> Iterator[bytes]:
    """The tar of the changes in `upper`, in pieces; `lower` are the folders of the layers below, topmost first.

    A directory that is only there to hold a change is written too, as layers have it. Sockets are left out
    (tar has none). A file that is cut short while it is read is filled with zeros.
    """
    yield from _Diff().folder(os.fsencode(upper), b"", [os.fsencode(folder) for folder in lower])
    yield END


class _Diff:
    """One walk; remembers the inodes that have several names."""

    def __init__(self) -> None:
        self._links: dict[tuple[int, int], bytes] = {}

    def folder(self, top: bytes, path: bytes, folders: Sequence[bytes]) -> Iterator[bytes]:
        """What is in the directory `path` of `top`."""
        if path.count(b"/") > DEEPEST_PATH:
            raise Unsupported(
                "a directory is too deep to become part of a layer", hint=f"at most {DEEPEST_PATH} levels"
            )
        here = top + path
        if path and is_opaque(here):
            yield header(Entry(path[1:] + b"/" + OPAQUE_MARK))
        for name in sorted(os.listdir(here)):
            inner = path + b"/" + name
            status = os.lstat(top + inner)
            if is_whiteout(status):
                if below(folders, name).path is not None:
                    yield header(Entry(path[1:] + (b"/" if path else b"") + WHITEOUT + name))
            elif stat.S_ISDIR(status.st_mode):
                yield header(_entry(top + inner, inner[1:], status))
                under = () if is_opaque(top + inner) else below(folders, name).folders
                yield from self.folder(top, inner, under)
            elif not stat.S_ISSOCK(status.st_mode):
                yield from self._file(top + inner, inner[1:], status)

    def _file(self, path: bytes, name: bytes, status: os.stat_result) -> Iterator[bytes]:
        entry = _entry(path, name, status)
        if status.st_nlink > 1:
            first = self._links.setdefault((status.st_dev, status.st_ino), name)
            if first != name:
                entry.type, entry.linkname, entry.size, entry.xattrs = LINK, first, 0, {}
        yield header(entry)
        if entry.type == FILE:
            yield from _data(path, entry.size)
            yield padding(entry.size)


def _entry(path: bytes, name: bytes, status: os.stat_result) -> Entry:
    entry = Entry(name, _TYPES[stat.S_IFMT(status.st_mode)], stat.S_IMODE(status.st_mode))
    entry.uid, entry.gid = status.st_uid, status.st_gid
    entry.mtime_ns = status.st_mtime_ns
    if entry.type == FILE:
        entry.size = status.st_size
    elif entry.type == SYMLINK:
        entry.linkname = os.readlink(path)
    elif entry.type in (CHARACTER, BLOCKDEV):
        entry.major, entry.minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    for attribute in os.listxattr(path, follow_symlinks=False):
        if _is_content(attribute):
            entry.xattrs[os.fsencode(attribute)] = os.getxattr(path, attribute, follow_symlinks=False)
    return entry


def _is_content(attribute: str) -> bool:
    """Whether an attribute is the file's own; the others belong to overlayfs and to this host."""
    if attribute.startswith("user.overlay."):
        return False
    return attribute == "security.capability" or attribute.startswith(("user.", "system.posix_acl_"))


def _data(path: bytes, size: int) -> Iterator[bytes]:
    fd = os.open(path, _OPEN)
    try:
        left = size
        while left:
            piece = os.read(fd, min(left, _PIECE))
            if not piece:
                piece = bytes(min(left, _PIECE))
            left -= len(piece)
            yield piece
    finally:
        os.close(fd)
