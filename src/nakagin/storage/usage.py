"""What files cost on the disk, as du(1) counts: whole blocks, folders too, hard links once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_BLOCK = 512  # of st_blocks, whatever the file system's own is


def disk_usage(*folders: str) -> int:
    """The bytes that the trees take. Tolerates trees in motion, and folders that are not there."""
    total = 0
    seen: set[tuple[int, int]] = set()
    pending: list[str] = []
    for folder in folders:
        total += blocks_of([folder])
        pending.append(folder)
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif status.st_nlink > 1:
                        key = (status.st_dev, status.st_ino)
                        if key in seen:
                            continue
                        seen.add(key)
                    total += status.st_blocks * _BLOCK
        except OSError:
            continue
    return total


def blocks_of(paths: Iterable[str]) -> int:
    """The bytes that these files themselves take; those that are not there take none."""
    total = 0
    for path in paths:
        try:
            total += os.lstat(path).st_blocks * _BLOCK
        except OSError:
            continue
    return total
