"""Zeros that need no place on the disk: long runs of them are left out of files, which have holes there instead."""

from __future__ import annotations

_SHORTEST = 1 << 16
_LOOK = 64
_ZEROS = bytes(1 << 20)


def is_hole(data: bytes | memoryview) -> bool:
    """Whether a piece is zeros alone, and long enough to be worth a hole.

    What is no hole costs a look at its first bytes.
    """
    size = len(data)
    if size < _SHORTEST or bytes(data[:_LOOK]).strip(b"\0"):
        return False
    if size > len(_ZEROS):
        return not bytes(data).strip(b"\0")
    return bytes(data) == (_ZEROS if size == len(_ZEROS) else _ZEROS[:size])
