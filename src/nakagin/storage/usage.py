"""What files cost on the disk, as du(1) counts: whole blocks, folders too, hard links once."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BLOCK = 512  # of st_blocks, whatever the file system's own is


def disk_usage(*folders: str) -> int:
    """The bytes that the trees take. Tolerates trees in motion, and folders that are not there."""
    total = blocks_of(folders)
    seen: set[tuple[int, int]] = set()
    for status in _below(folders):
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            file = (status.st_dev, status.st_ino)
            if file in seen:
                continue
            seen.add(file)
        total += status.st_blocks * _BLOCK
    return total


def _below(folders: Iterable[str]) -> Iterator[os.stat_result]:
    """What is below the folders, themselves not counted."""
    pending = list(folders)
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                found = list(entries)
        except OSError:
            continue
        for entry in found:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode):
                pending.append(entry.path)
            yield status


def blocks_of(paths: Iterable[str]) -> int:
    """The bytes that these files themselves take; those that are not there take none."""
    total = 0
    for path in paths:
        try:
            total += os.lstat(path).st_blocks * _BLOCK
        except OSError:
            continue
    return total
