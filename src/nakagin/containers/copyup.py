"""Copy-up: a new, empty volume gets what the image has at its place, with ownership, modes and attributes."""

from __future__ import annotations

import os
import shutil
import stat

from nakagin.kernel import paths


def copy_up(root: int, path: str, volume: str) -> bool:
    """Fill the empty folder `volume` from the directory `path` below `root`; False where there is nothing to do.

    The volume's own folder takes over owner and mode too. Symlinks on the way to `path` stay inside the root,
    those in the tree are copied as they are.
    """
    if os.listdir(volume):
        return False
    try:
        source = paths.open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    target = os.open(volume, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _copy_directory(source, target)
        _copy_attributes(source, target)
    finally:
        os.close(target)
        os.close(source)
    return True


def _copy_directory(source: int, target: int) -> None:
    for name in os.listdir(source):
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(name, dir_fd=target)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            below, into = os.open(name, flags, dir_fd=source), os.open(name, flags, dir_fd=target)
            try:
                _copy_directory(below, into)
                _copy_attributes(below, into)
            finally:
                os.close(into)
                os.close(below)
        else:
            _copy_node(source, target, name, status)


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
    below = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    into = os.open(
        name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target
    )
    with os.fdopen(below, "rb") as reader, os.fdopen(into, "wb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        _copy_attributes(reader.fileno(), writer.fileno())


def _copy_attributes(source: int, target: int) -> None:
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source):
        if not name.startswith("trusted.overlay."):
            os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
