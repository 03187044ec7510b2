"""The C library and raw system calls: one place that turns a failed call into OSError.

The rest of `kernel/` declares its functions on top of this. Nothing here knows what a container is.
"""

from __future__ import annotations

import ctypes
import os

_library = ctypes.CDLL(None, use_errno=True)

# PyDLL keeps the interpreter lock. A call that returns in another process (clone3) must not be
# surrounded by a release and re-acquire of a lock that the other process also holds.
_locked_library = ctypes.PyDLL(None, use_errno=True)

_syscall = _locked_library.syscall
_syscall.restype = ctypes.c_long


def function(name: str, *argtypes: type, restype: type = ctypes.c_int) -> ctypes._CFuncPtr:
    """The C function `name` with declared types; it sets errno and keeps the interpreter lock."""
    found: ctypes._CFuncPtr = getattr(_locked_library, name)
    found.argtypes = argtypes
    found.restype = restype
    return found


def fail(what: str, path: str | bytes | None = None, other: str | bytes | None = None) -> OSError:
    """The OSError for the current errno: its text begins with the call's name, its filename is `path`."""
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}", path, None, other)


def syscall(number: int, *arguments: object) -> int:
    """A raw system call; returns its result or raises OSError with errno and no file name (syscall(2)).

    Integers are passed as 64-bit longs, bytes as pointers, ctypes objects as they are.
    """
    converted = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result: int = _syscall(ctypes.c_long(number), *converted)
    if result < 0:
        raise fail(f"syscall {number}")
    return result
