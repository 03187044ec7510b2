"""The C library's heap, for a process that lives long and whose threads do the heavy work."""

from __future__ import annotations

import ctypes

from nakagin.kernel.libc import function

_M_ARENA_MAX = -8  # mallopt(3)


def share_one() -> None:
    """Let all threads allocate from one heap; each gets its own otherwise, and keeps megabytes that it used once.

    Before there are threads. The interpreter's lock keeps them from waiting for one another there.
    """
    try:
        function("mallopt", ctypes.c_int, ctypes.c_int)(_M_ARENA_MAX, 1)
    except AttributeError:
        pass  # another C library


def trim() -> None:
    """Give back to the kernel what is free."""
    try:
        function("malloc_trim", ctypes.c_size_t)(0)
    except AttributeError:
        pass
