"""System calls as data: made by a pure function, performed here or by an automaton (automaton.py).

An argument is a number, bytes (a pointer to them) or a list (a pointer to 64-bit words, each an argument again):
[b"ls", b"-l", 0] is an argv.
"""

from __future__ import annotations

import ctypes
import os

from nakagin.kernel.libc import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Argument = int | bytes | Sequence["Argument"]


class Call:
    """One system call. `words` are what a user reads when it fails; with `may_fail` nobody does."""

    __slots__ = ("arguments", "may_fail", "number", "words")

    def __init__(self, words: str, number: int, *arguments: Argument, may_fail: bool = False) -> None:
        self.words = words
        self.number = number
        self.arguments = arguments
        self.may_fail = may_fail


class CallFailed(OSError):
    """A call of a list failed; `words` say which."""

    def __init__(self, words: str, number: int) -> None:
        super().__init__(number, os.strerror(number))
        self.words = words


def perform(calls: Sequence[Call]) -> int:
    """Make the calls in this process, in order; the last one's result. Raises CallFailed."""
    result = 0
    for call in calls:
        kept: list[object] = []
        try:
            result = syscall(call.number, *(_direct(each, kept) for each in call.arguments))
        except OSError as error:
            if not call.may_fail:
                raise CallFailed(call.words, error.errno or 0) from None
    return result


def _direct(argument: Argument, kept: list[object]) -> object:
    """The argument for ctypes; `kept` holds what it points to while the call lasts."""
    if isinstance(argument, int):
        return argument
    if isinstance(argument, bytes):
        buffer: object = ctypes.create_string_buffer(argument, len(argument) + 1)
    else:
        words = [_address(_direct(each, kept)) for each in argument]
        buffer = (ctypes.c_uint64 * len(words))(*words)
    kept.append(buffer)
    return buffer


def _address(argument: object) -> int:
    return argument if isinstance(argument, int) else ctypes.addressof(argument)  # type: ignore[arg-type]


def relocated(argument: Argument, data: bytearray, base: int) -> int:
    """The 64-bit word for the argument in a process where `data`, which grows by what it needs, begins at `base`."""
    if isinstance(argument, int):
        return argument & 0xFFFF_FFFF_FFFF_FFFF
    if isinstance(argument, bytes):
        content = argument + b"\0"
    else:
        content = b"".join(relocated(each, data, base).to_bytes(8, "little") for each in argument)
    data += bytes(-len(data) % 8)
    place = base + len(data)
    data += content
    return place
