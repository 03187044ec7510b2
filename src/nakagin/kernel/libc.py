"""The C library and raw system calls: one place that turns a failed call into OSError.

The rest of `kernel/` declares its functions on top of this. Nothing here knows what a container is.
"""

from __future__ import annotations

import ctypes
import os

# PyDLL keeps the interpreter lock. A call that returns in another process (clone3) must not be
# surrounded by a release and re-acquire of a lock that the other process also holds.
_library = ctypes.PyDLL(None, use_errno=True)

_syscall = _library.syscall
_syscall.restype = ctypes.c_long
_long = ctypes.c_long


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


def syscall(number: int, *arguments: object) -> int:
    """A raw system call; returns its result or raises OSError with errno and no more (syscall(2)).

    Integers are passed as 64-bit longs, bytes as pointers, None as NULL, ctypes objects as they are.
    """
    converted = [_long(each) if isinstance(each, int) else each for each in arguments]
    result: int = _syscall(_long(number), *converted)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
