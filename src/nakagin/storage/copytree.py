"""A tree copied within this machine, from one open directory into another: owners, modes, attributes, links, holes."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from nakagin.kernel import paths

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FICLONE = 0x40049409
_PIECE = 1 << 30
# Another file system, or one that cannot share blocks or copy by itself.
_NOT_HERE = (
    errno.EXDEV,
    errno.EOPNOTSUPP,
    errno.EINVAL,
    errno.ENOTTY,
    errno.ENOSYS,
    errno.EPERM,
    errno.EBADF,
)


def copy_tree(source: int, target: int) -> None:
    """Copy what is in the directory `source` into the empty directory `target`, and its own owner, mode and times.

    Symlinks are copied as they are; several names of one file stay that. File systems that can share blocks do.
    """
    _Copy().folder(source, target)
    copy_attributes(source, target)


class _Copy:
    def __init__(self) -> None:
        self._links: dict[tuple[int, int], tuple[int, str]] = {}

    def folder(self, source: int, target: int, top: int = -1, path: str = "") -> None:
        top = target if top < 0 else top
        for name in os.listdir(source):
            try:
                self._one(source, target, name, top, path)
            except FileNotFoundError:
                continue  # removed meanwhile, by a container that lives

    def _one(self, source: int, target: int, name: str, top: int, path: str) -> None:
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            if not self._link(target, name, status, top, path):
                _copy_node(source, target, name, status)
            return
        below = os.open(name, _DIRECTORY, dir_fd=source)
        try:
            os.mkdir(name, dir_fd=target)
            into = os.open(name, _DIRECTORY, dir_fd=target)
            try:
                self.folder(below, into, top, f"{path}{name}/")
                copy_attributes(below, into)
            finally:
                os.close(into)
        finally:
            os.close(below)

    def _link(self, target: int, name: str, status: os.stat_result, top: int, path: str) -> bool:
        """Whether it is a further name of what was copied already, and linked."""
        if status.st_nlink < 2:
            return False
        key = (status.st_dev, status.st_ino)
        first = self._links.setdefault(key, (top, path + name))
        if first[1] == path + name:
            return False
        os.link(first[1], name, src_dir_fd=first[0], dst_dir_fd=target, follow_symlinks=False)
        return True


def _copy_node(source: int, target: int, name: str, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)
        return
    if not stat.S_ISREG(status.st_mode):
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)
        return
    below = paths.open_file(source, name, os.O_RDONLY)
    try:
        into = os.open(name, _FILE, 0o600, dir_fd=target)
        try:
            _content(below, into, status.st_size)
            copy_attributes(below, into)
        finally:
            os.close(into)
    finally:
        os.close(below)


def _content(source: int, target: int, size: int) -> None:
    try:
        fcntl.ioctl(target, _FICLONE, source)
        return
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
            end = os.lseek(source, at, os.SEEK_HOLE)
        except OSError:
            break  # only a hole is left
        while at < end:
            copied = _some(source, target, at, end - at)
            if not copied:
                break
            at += copied
    os.ftruncate(target, size)


def _some(source: int, target: int, at: int, size: int) -> int:
    """Copy at most `size` bytes from and to the offset `at`; how many."""
    try:
        return os.copy_file_range(source, target, min(size, _PIECE), at, at)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
    os.lseek(target, at, os.SEEK_SET)
    return os.sendfile(target, source, at, min(size, _PIECE))


def copy_attributes(source: int, target: int) -> None:
    """Give the open file or directory `target` the owner, mode, extended attributes and times of `source`."""
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source):
        if not name.startswith("trusted.overlay."):
            os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
