"""Project quotas: how much all files below a directory may take, where the file system counts that (quotactl(2))."""

from __future__ import annotations

import fcntl
import os
import struct

from nakagin.kernel import abi
from nakagin.kernel.libc import syscall

_PROJECT = 2
_GETQUOTA = 0x800007 << 8 | _PROJECT
_SETQUOTA = 0x800008 << 8 | _PROJECT
_BLOCK_LIMITS = 1
_FSGETXATTR = 0x801C581F
_FSSETXATTR = 0x401C5820
_INHERIT = 0x200
_BLOCK = 1024
_dqblk = struct.Struct("8QI4x")
_fsxattr = struct.Struct("5I8x")


def is_counted(folder: str) -> bool:
    """Whether the file system of the directory keeps project quotas."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _call(fd, _GETQUOTA, 0, bytearray(_dqblk.size))
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def limit(folder: str, project: int, size: int) -> None:
    """Bound all that will be made below the (empty) directory to `size` bytes. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags, extent, extents, _, copied = _fsxattr.unpack(
            fcntl.ioctl(fd, _FSGETXATTR, bytes(_fsxattr.size))
        )
        fcntl.ioctl(fd, _FSSETXATTR, _fsxattr.pack(flags | _INHERIT, extent, extents, project, copied))
        set_size(folder, project, size)
    finally:
        os.close(fd)


def set_size(folder: str, project: int, size: int) -> None:
    """Change the limit of a project on the file system of the directory; 0 takes it away."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        blocks = -(-size // _BLOCK)
        wanted = _dqblk.pack(blocks, blocks, 0, 0, 0, 0, 0, 0, _BLOCK_LIMITS)
        _call(fd, _SETQUOTA, project, bytearray(wanted))
    finally:
        os.close(fd)


def _call(fd: int, command: int, project: int, block: bytearray) -> None:
    syscall(abi.NR_QUOTACTL_FD, fd, command, project, bytes(block))
