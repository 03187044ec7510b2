"""syncfs(2), which the standard library lacks: put one file system's dirty pages on disk."""

from __future__ import annotations

import ctypes
import os

from nakagin.kernel.libc import fail, function

_syncfs = function("syncfs", ctypes.c_int)


def sync_filesystem(path: str) -> None:
    """Write the file system that `path` lies on to its disk (syncfs(2)). Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _syncfs(fd) < 0:
            raise fail("syncfs", path)
    finally:
        os.close(fd)
