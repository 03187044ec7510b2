"""Tells when a file or directory changes: inotify(7)."""

from __future__ import annotations

import ctypes
import os

from nakagin.kernel import libc

MODIFY = 0x2
MOVED_TO = 0x80
CREATE = 0x100

_init = libc.function("inotify_init1", ctypes.c_int)
_add_watch = libc.function("inotify_add_watch", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)


def watch(path: str, events: int) -> int:
    """A non-blocking, close-on-exec descriptor that becomes readable when one of `events` happens to `path`.

    Read it to start anew. Raises OSError (ENOSPC: the user's limit of watches is reached).
    """
    fd: int = _init(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise libc.fail("inotify_init1")
    if _add_watch(fd, os.fsencode(path), events) < 0:
        error = libc.fail("inotify_add_watch", path)
        os.close(fd)
        raise error
    return fd
