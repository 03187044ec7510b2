"""Disk space set aside for a file behind its end (fallocate(2)): nobody else can take it."""

from __future__ import annotations

import os

from nakagin.kernel import abi
from nakagin.kernel.libc import syscall

_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE


def set_aside(fd: int, size: int) -> bool:
    """Let the file grow by `size` bytes also when the disk is full. Whether that is so: some file systems cannot."""
    status = os.fstat(fd)
    if status.st_blocks * 512 >= status.st_size + size:
        return True
    try:
        syscall(abi.NR_FALLOCATE, fd, _KEEP_SIZE, 0, status.st_size + size)
    except OSError:
        return False
    return True
