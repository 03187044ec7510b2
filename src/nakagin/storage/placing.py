"""Putting one tar entry's content, owner, mode, attributes and times on a file that was just made.

What makes the file decides how it is found and what it may replace: `unpack` for layers, `extract` for containers.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from nakagin.storage.holes import is_hole
from nakagin.storage.tree import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from nakagin.storage.tarread import Entry, TarReader

CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
LAST_ID = 0xFFFFFFFE  # one more means "leave it" to chown(2)
_LATEST = (1 << 34) * 1_000_000_000  # the year 2514; the kernel clamps to what the file system can hold

# Attributes that would steer overlayfs itself, or that belong to this host's policy and not to an image.
_FOREIGN_ATTRIBUTES = (
    b"trusted.overlay.",
    b"user.overlay.",
    b"security.selinux",
    b"security.ima",
    b"security.evm",
)


class Placing:
    """Sets what an entry says; `warn` gets a sentence for each attribute that this machine cannot keep."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn

    def content(self, fd: int, entry: Entry, reader: TarReader) -> None:
        """Write the present entry's bytes; holes stay holes, and long runs of zeros become some."""
        if entry.segments is not None:
            _write_sparse(fd, entry, reader)
            return
        at = 0
        for piece in reader.chunks():
            if is_hole(piece) and stat.S_ISREG(os.fstat(fd).st_mode):
                os.ftruncate(fd, at)  # whatever was there
                os.ftruncate(fd, at + len(piece))
                os.lseek(fd, 0, os.SEEK_END)
            else:
                _write(fd, piece)
            at += len(piece)

    def open_file(self, fd: int, entry: Entry) -> None:
        """Owner, mode, attributes and time of an open file that is root's so far.

        In this order: chown(2) clears setuid bits and capabilities.
        """
        if entry.uid or entry.gid:
            os.fchown(fd, entry.uid, entry.gid)
        os.fchmod(fd, entry.mode)
        if entry.xattrs:
            self._xattrs(fd, entry)
        os.utime(fd, ns=times(entry))

    def closed_file(self, folder: int, name: bytes, entry: Entry) -> None:
        """Owner, attributes and time of something that cannot be opened, in the directory `folder`."""
        if entry.uid or entry.gid:
            os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
        if entry.xattrs:
            self._xattrs(b"/proc/self/fd/%d/%s" % (folder, name), entry)
        os.utime(name, ns=times(entry), dir_fd=folder, follow_symlinks=False)

    def _xattrs(self, target: int | bytes, entry: Entry) -> None:
        for name, value in entry.xattrs.items():
            if name.startswith(_FOREIGN_ATTRIBUTES):
                continue
            try:
                if isinstance(target, int):
                    os.setxattr(target, name, value)
                else:
                    os.setxattr(target, name, value, follow_symlinks=False)
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.EPERM):
                    raise
                self._warn(f"{shown(entry.name)}: attribute {shown(name)} not kept: {error.strerror}")


def times(entry: Entry) -> tuple[int, int]:
    """(accessed, modified) in nanoseconds, as the kernel takes them."""
    modified = min(max(entry.mtime_ns, -_LATEST), _LATEST)
    accessed = modified if entry.atime_ns is None else min(max(entry.atime_ns, -_LATEST), _LATEST)
    return accessed, modified


def _write(fd: int, data: memoryview) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, data[written:])


def _write_sparse(fd: int, entry: Entry, reader: TarReader) -> None:
    assert entry.segments is not None
    os.ftruncate(fd, entry.size)
    pieces = reader.chunks()
    piece = memoryview(b"")
    for offset, length in entry.segments:
        os.lseek(fd, offset, os.SEEK_SET)
        while length:
            piece = piece or next(pieces)
            _write(fd, piece[:length])
            taken = min(length, len(piece))
            piece, length = piece[taken:], length - taken
