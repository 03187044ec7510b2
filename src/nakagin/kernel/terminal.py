"""Pseudo terminals."""

from __future__ import annotations

import fcntl
import os

from nakagin.kernel import abi, paths

_PTMX = os.makedev(5, 2)


def open_pty(dev_fd: int | None = None) -> tuple[int, int]:
    """(master, slave) of a new terminal, both close-on-exec and nobody's controlling terminal.

    With `dev_fd` (an O_PATH descriptor of a container's /dev) the terminal comes from that container's
    own devpts, so that its /dev/pts names it; else from the host's.
    CVE-2025-52565: what stands at pts/ptmx is verified before use, and the slave is asked from the
    master itself (TIOCGPTPEER), never opened by a path.
    """
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    if dev_fd is None:
        master = os.open("/dev/ptmx", flags)
    else:
        resolve = abi.RESOLVE_BENEATH | abi.RESOLVE_NO_SYMLINKS
        master = paths.openat2(dev_fd, "pts/ptmx", flags, 0, resolve)
    try:
        if dev_fd is not None and paths.filesystem_magic(master) != abi.DEVPTS_SUPER_MAGIC:
            raise OSError(95, "not a devpts", "pts/ptmx")
        if os.fstat(master).st_rdev != _PTMX:
            raise OSError(95, "not a terminal multiplexer", "ptmx")
        fcntl.ioctl(master, abi.TIOCSPTLCK, b"\0\0\0\0")
        slave = fcntl.ioctl(master, abi.TIOCGPTPEER, flags)
    except OSError:
        os.close(master)
        raise
    return master, slave


def set_size(fd: int, rows: int, columns: int) -> None:
    """Set the size in characters; the foreground processes get SIGWINCH."""
    packed = rows.to_bytes(2, "little") + columns.to_bytes(2, "little") + b"\0\0\0\0"
    fcntl.ioctl(fd, abi.TIOCSWINSZ, packed)


def make_controlling(fd: int) -> None:
    """Make `fd` the controlling terminal of the caller, who leads a session without one."""
    fcntl.ioctl(fd, abi.TIOCSCTTY, 0)
