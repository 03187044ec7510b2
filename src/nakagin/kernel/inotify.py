"""Tells when directories change: inotify(7). A user may have few instances (128), but many watches in each."""

from __future__ import annotations

import ctypes
import os
import struct

from nakagin.kernel import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MODIFY = 0x2
MOVED_TO = 0x80
CREATE = 0x100

_init = libc.function("inotify_init1", ctypes.c_int)
_add_watch = libc.function("inotify_add_watch", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_rm_watch = libc.function("inotify_rm_watch", ctypes.c_int, ctypes.c_int)
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, bytes of the name that follows


def instance() -> int:
    """A non-blocking, close-on-exec descriptor that becomes readable when something happens to what it watches."""
    fd: int = _init(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise libc.fail("inotify_init1")
    return fd


def watch(fd: int, path: str, events: int) -> int:
    """Watch `path`; the number by which `happened` speaks of it. Raises OSError (ENOSPC: the user's limit)."""
    number: int = _add_watch(fd, os.fsencode(path), events)
    if number < 0:
        raise libc.fail("inotify_add_watch", path)
    return number


def unwatch(fd: int, number: int) -> None:
    """Watch no more; fine where the path is gone, and the watch with it."""
    _rm_watch(fd, number)


def happened(fd: int) -> Iterator[int]:
    """The numbers of the watches to which something has happened."""
    try:
        data = os.read(fd, 65536)
    except BlockingIOError:
        return
    place = 0
    while place < len(data):
        number, _, _, length = _EVENT.unpack_from(data, place)
        place += _EVENT.size + length
        yield number
