"""File descriptors: close ranges of them, pass them over unix sockets.

Sockets are `_socket.socket` here: the `socket` module costs milliseconds of import, and its class is
a subclass, so both kinds may be passed in.
"""

from __future__ import annotations

import errno
import os
from _socket import CMSG_SPACE, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOL_SOCKET

from nakagin.kernel import abi
from nakagin.kernel.libc import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Iterable, Sequence

_HIGHEST = 0xFFFFFFFF


def close_range(first: int, last: int = _HIGHEST) -> None:
    """Close all descriptors from `first` to `last`."""
    syscall(abi.NR_CLOSE_RANGE, first, last, 0)


def close_on_exec(first: int) -> None:
    """Mark all descriptors from `first` on close-on-exec."""
    try:
        syscall(abi.NR_CLOSE_RANGE, first, _HIGHEST, abi.CLOSE_RANGE_CLOEXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _close_on_exec_singly(first)


def _close_on_exec_singly(first: int) -> None:
    """The same before Linux 5.11, where nobody can be asked: /proc may be the container's by now.

    Everything from before the birth was closed (close_all_except), so numbers are low.
    """
    for fd in range(first, 1 << 16):
        try:
            os.set_inheritable(fd, False)
        except OSError:
            pass


def close_all_except(keep: Iterable[int]) -> None:
    """Close every descriptor that is not in `keep`."""
    first = 0
    for fd in sorted(set(keep)):
        if fd > first:
            close_range(first, fd - 1)
        first = fd + 1
    close_range(first)


def send_fds(socket: socket, message: bytes, fds: Sequence[int], flags: int = 0) -> int:
    """Send `message` (not empty) with descriptors; returns the number of bytes sent."""
    if not fds:
        return socket.send(message, flags)
    packed = b"".join(fd.to_bytes(4, "little") for fd in fds)
    return socket.sendmsg([message], [(SOL_SOCKET, SCM_RIGHTS, packed)], flags)


def receive_fds(socket: socket, size: int, most: int, flags: int = 0) -> tuple[bytes, list[int]]:
    """A message of up to `size` bytes with up to `most` descriptors (close-on-exec); b"" at the end."""
    message, ancillary, _, _ = socket.recvmsg(size, CMSG_SPACE(4 * most), flags | MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            whole = len(data) - len(data) % 4
            fds += [int.from_bytes(data[at : at + 4], "little") for at in range(0, whole, 4)]
    return message, fds


def set_inheritable(fds: Iterable[int]) -> None:
    """Let these descriptors survive execve(2)."""
    for fd in fds:
        os.set_inheritable(fd, True)
