"""The C library and raw system calls: one place that turns a failed call into OSError.

The rest of `kernel/` declares its functions on top of this. Nothing here knows what a container is.
"""

from __future__ import annotations

import ctypes
import os

# PyDLL keeps the interpreter lock. A call that returns in another process (clone3) must not be
# surrounded by a release and re-acquire of a lock that the other process also holds.
_library = ctypes.PyDLL(None, use_errno=True)

# Declared with all six arguments: ctypes then converts them by itself, in half the time.
_syscall = _library.syscall
_syscall.argtypes = (ctypes.c_long, *[ctypes.c_void_p] * 6)
_syscall.restype = ctypes.c_long


def function(name: str, *argtypes: type, restype: type = ctypes.c_int) -> ctypes._NamedFuncPointer:
    """The C function `name` with declared types; it sets errno and keeps the interpreter lock."""
    found: ctypes._NamedFuncPointer = getattr(_library, name)
    found.argtypes = argtypes
    found.restype = restype
    return found


def fail(what: str, path: str | bytes | None = None, other: str | bytes | None = None) -> OSError:
    """The OSError for the current errno: its text begins with the call's name, its filename is `path`."""
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}", path, None, other)


def named(error: OSError, path: str) -> OSError:
    """The same failure with the name of the file that it is about."""
    number = error.errno or 0
    return OSError(number, os.strerror(number), path)


def syscall(
    number: int, a: object = 0, b: object = 0, c: object = 0, d: object = 0, e: object = 0, f: object = 0
) -> int:
    """A raw system call; returns its result or raises OSError with errno and no more (syscall(2)).

    Integers are passed as 64-bit longs, bytes and ctypes arrays as pointers, None as NULL.
    """
    result: int = _syscall(number, a, b, c, d, e, f)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
