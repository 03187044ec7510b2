"""Copy a folder's content into a fresh tmpfs: the mount option "tmpcopyup"."""

from __future__ import annotations

import os
import stat

_LINKS_NOT_FOLLOWED = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_tree(source: int, target: int) -> None:
    """Copy all below the folder `source` into the folder `target` (descriptors, O_PATH will do).

    Modes, owners and times are kept; no symlink is followed, so nothing from outside can come in.
    """
    readable = os.open(".", _LINKS_NOT_FOLLOWED | os.O_DIRECTORY, dir_fd=source)
    try:
        for name in os.listdir(readable):
            _copy_entry(name, readable, target)
    finally:
        os.close(readable)


def _copy_entry(name: str, source: int, target: int) -> None:
    found = os.stat(name, dir_fd=source, follow_symlinks=False)
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        os.mkdir(name, 0o700, dir_fd=target)
        below = os.open(name, _LINKS_NOT_FOLLOWED | os.O_DIRECTORY, dir_fd=target)
        from_below = os.open(name, _LINKS_NOT_FOLLOWED | os.O_DIRECTORY, dir_fd=source)
        try:
            copy_tree(from_below, below)
        finally:
            os.close(from_below)
            os.close(below)
    elif kind == stat.S_IFREG:
        _copy_file(name, source, target, found.st_size)
    elif kind == stat.S_IFLNK:
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    else:
        os.mknod(name, found.st_mode, found.st_rdev, dir_fd=target)
    os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
    if kind != stat.S_IFLNK:
        os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=target)
    times = (found.st_atime_ns, found.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)


def _copy_file(name: str, source: int, target: int, size: int) -> None:
    reader = os.open(name, _LINKS_NOT_FOLLOWED, dir_fd=source)
    try:
        writer = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
        try:
            copied = 0
            while copied < size:
                done = os.sendfile(writer, reader, copied, size - copied)
                if not done:
                    break
                copied += done
        finally:
            os.close(writer)
    finally:
        os.close(reader)
