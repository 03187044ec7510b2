"""Which bytes of a stack of layers nobody sees any more: replaced or deleted by a layer above."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from nakagin.storage.overlay import is_opaque

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Place = tuple[int, str]


def hidden(folders: Sequence[str]) -> list[dict[int, int]]:
    """For each folder (undermost first): {the layer that hides: bytes of its files that this one hides}. Blocking.

    Of a file with several names each name counts its part. Symlinks are never followed.
    """
    found: list[dict[int, int]] = [{} for _ in folders]
    pending: list[list[Place]] = [list(reversed(list(enumerate(folders))))]
    while pending:
        for places in _names(pending.pop()).values():
            merging: list[Place] = []
            by = -1
            for number, path in places:
                is_folder = stat.S_ISDIR(os.lstat(path).st_mode)
                if by >= 0 or (merging and not is_folder):
                    hider = by if by >= 0 else merging[-1][0]
                    if size := sum(_sizes(path)):
                        found[number][hider] = found[number].get(hider, 0) + size
                elif is_folder:
                    merging.append((number, path))
                if not is_folder or is_opaque(path):
                    by = number
            if len(merging) > 1:
                pending.append(merging)
    return found


def _names(folders: Sequence[Place]) -> dict[str, list[Place]]:
    """What is in the merged folders (topmost first), by name: where each layer has it."""
    found: dict[str, list[Place]] = {}
    for number, folder in folders:
        for name in os.listdir(folder):
            found.setdefault(name, []).append((number, f"{folder}/{name}"))
    return found


def _sizes(path: str) -> Iterator[int]:
    """The sizes of the regular files at and below a path."""
    pending = [path]
    while pending:
        here = pending.pop()
        status = os.lstat(here)
        if stat.S_ISREG(status.st_mode):
            yield status.st_size // status.st_nlink
        elif stat.S_ISDIR(status.st_mode):
            pending += [f"{here}/{name}" for name in os.listdir(here)]
