"""What a container costs its machine beside what its cgroup counts: our monitor, files, inotify instances."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from nakagin.kernel.usage import private_set

if TYPE_CHECKING:
    from collections.abc import Iterable


def overhead(monitor: int, processes: Iterable[int]) -> dict[str, Any]:
    """{"Monitor": bytes, "Files": open descriptors, "Inotify": instances}; what has ended meanwhile counts nothing.

    Monitor is what its monitor process has in memory for itself alone, 0 where there is none.
    """
    files = inotify = 0
    for pid in processes:
        for target in _descriptors(pid):
            files += 1
            inotify += target == "anon_inode:inotify"
    return {"Monitor": private_set(monitor) if monitor else 0, "Files": files, "Inotify": inotify}


def _descriptors(pid: int) -> Iterable[str]:
    folder = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(folder):
            yield os.readlink(f"{folder}/{name}")
    except OSError:
        return
