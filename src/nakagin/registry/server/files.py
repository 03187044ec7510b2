"""Small files that appear whole or not at all, in folders that may come and go."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable

from nakagin.errors import Exhausted

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def write_whole(path: str, data: bytes, temporary: str) -> None:
    """Write, put on disk, and rename to `path`; `temporary` is a folder on the same file system."""
    draft = os.path.join(temporary, f"file-{secrets.token_hex(8)}")
    try:
        with open(draft, "wb", buffering=0) as file:
            write_all(file.fileno(), data)
            os.fsync(file.fileno())
        in_folder(path, lambda: os.rename(draft, path))
    except BaseException:
        remove(draft)
        raise


def touch(path: str) -> None:
    """Make an empty file, or make an existing one new."""

    def deed() -> None:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.utime(path)

    in_folder(path, deed)


def in_folder(path: str, deed: Callable[[], object]) -> None:
    """Do what needs the folder of `path`, making it first; the collector may take empty folders away meanwhile."""
    for _ in range(20):
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            deed()
        except (FileNotFoundError, FileExistsError):  # the latter: removed between makedirs' two looks at it
            continue
        return
    deed()


def write_all(fd: int, data: bytes) -> None:
    """All of `data`. Raises Exhausted where the disk is full."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise Exhausted("no space left on the registry's disk") from None
            raise


def sync_folder(path: str) -> None:
    """Put the names in a folder on disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove(path: str) -> bool:
    """Remove a file; whether it was there."""
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def listed(folder: str) -> list[str]:
    """The names in a folder; none where there is no folder."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def modified(path: str) -> float | None:
    """When the file was last made new, in seconds since the epoch; None where there is none."""
    try:
        return os.stat(path).st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None
