"""The trash: what was removed leaves its place by one rename, and is deleted when there is time.

Safe against whatever a container left behind: trees deeper than any path, symlinks, immutable files.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import struct

_log = logging.getLogger(__name__)

# Deeper subtrees are first moved to the top of the trash: descriptors and the stack reach only so deep.
_DEEPEST = 64
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS
_UNDELETABLE = 0x30  # FS_IMMUTABLE_FL | FS_APPEND_FL


class Trash:
    """The folder `trash/` below one data root."""

    def __init__(self, root: str) -> None:
        self.path = os.path.join(root, "trash")
        os.makedirs(self.path, mode=0o700, exist_ok=True)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to delete."""
        with os.scandir(self.path) as entries:
            return next(entries, None) is None

    def take(self, path: str) -> None:
        """Move `path` (on the same file system) into the trash. Fine if it is not there."""
        try:
            os.rename(path, os.path.join(self.path, secrets.token_hex(8)))
        except FileNotFoundError:
            pass

    def empty(self) -> None:
        """Delete everything in it; slow for large trees. What cannot be deleted stays, and is logged."""
        top = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            tried: set[str] = set()
            while names := set(os.listdir(top)) - tried:
                for name in names:
                    tried.add(name)
                    try:
                        _delete(top, top, name, 0)
                    except FileNotFoundError:
                        pass  # another thread is emptying it too
                    except OSError as error:
                        _log.warning("cannot delete %s/%s: %s", self.path, name, error)
        finally:
            os.close(top)


def _delete(top: int, parent: int, name: str, depth: int) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except PermissionError:
        if not _unlock(parent, name):
            raise
        _delete(top, parent, name, depth)
    except IsADirectoryError:
        _delete_directory(top, parent, name, depth)


def _delete_directory(top: int, parent: int, name: str, depth: int) -> None:
    if depth == _DEEPEST:
        os.rename(name, secrets.token_hex(8), src_dir_fd=parent, dst_dir_fd=top)
        return
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        _clear_flags(fd)
        for child in os.listdir(fd):
            _delete(top, fd, child, depth + 1)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)


def _unlock(parent: int, name: str) -> bool:
    """Make an immutable or append-only file deletable (chattr(1)); whether anything changed."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    except OSError:
        return False
    try:
        return _clear_flags(fd)
    finally:
        os.close(fd)


def _clear_flags(fd: int) -> bool:
    try:
        flags = struct.unpack("l", fcntl.ioctl(fd, _GET_FLAGS, bytes(8)))[0]
        if not flags & _UNDELETABLE:
            return False
        fcntl.ioctl(fd, _SET_FLAGS, struct.pack("l", flags & ~_UNDELETABLE))
    except OSError:
        return False
    return True
