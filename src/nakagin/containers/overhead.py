"""What of a container no figure of its use tells: monitor, files, inotify instances, processes killed for memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from nakagin.kernel.usage import private_set

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nakagin.cgroups.group import Group


def overhead(monitor: int, group: Group) -> dict[str, Any]:
    """{"Monitor": bytes, "Files": open descriptors, "Inotify": instances, "OOMKills": processes killed for memory}.

    Monitor is what the process `monitor` has in memory for itself alone, 0 where there is none (0). All else is of the
    processes in `group`; what has ended meanwhile has no files.
    """
    files = inotify = 0
    for pid in group.pids():
        for target in _descriptors(pid):
            files += 1
            inotify += target == "anon_inode:inotify"
    return {
        "Monitor": private_set(monitor) if monitor else 0, "Files": files, "Inotify": inotify,
        "OOMKills": group.oom_kills(),
    }  # fmt: skip


def _descriptors(pid: int) -> Iterable[str]:
    folder = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(folder):
            yield os.readlink(f"{folder}/{name}")
    except OSError:
        return
