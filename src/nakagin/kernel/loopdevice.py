"""Loop devices: a file as a block device, for as long as it is mounted (loop(4))."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

_CONTROL = "/dev/loop-control"
_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_AUTOCLEAR = 4
_TRIES = 32


def attach(path: str) -> tuple[int, str]:
    """(descriptor, name) of a loop device over the file; once it is mounted and closed it goes with the mount.

    Raises OSError: ENOENT or EPERM where this machine has none.
    """
    backing = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
        try:
            for _ in range(_TRIES):
                name = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
                device = os.open(name, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.ioctl(device, _LOOP_CONFIGURE, _configuration(backing, path))
                except OSError as error:
                    os.close(device)
                    if error.errno != errno.EBUSY:  # another process was quicker
                        raise
                else:
                    return device, name
        finally:
            os.close(control)
    finally:
        os.close(backing)
    raise OSError(errno.EBUSY, "every loop device was taken away by somebody else", path)


def _configuration(backing: int, path: str) -> bytes:
    """struct loop_config, with struct loop_info64 in it."""
    info = struct.pack(
        "5Q4I64s64s32s2Q", 0, 0, 0, 0, 0, 0, 0, 0, _AUTOCLEAR, os.fsencode(path)[-63:], b"", b"", 0, 0
    )
    return struct.pack("2I", backing, 0) + info + bytes(64)
