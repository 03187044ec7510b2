"""Notice of out-of-memory events while a group lives, as something to poll."""

from __future__ import annotations

import os
import select
import sys

from . import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .group import Group


class OomWatch:
    """Register `fileno()` with epoll for `mask`; when it is ready, `happened()` says how many are new.

    v1 hands out an eventfd, v2 notifies on memory.events itself. Where there is no memory controller
    `fileno()` is -1. Raises OSError when the group is missing.
    """

    __slots__ = ("_fd", "_group", "_seen", "mask")

    def __init__(self, group: Group) -> None:
        self._group = group
        self._seen = group.oom_kills()
        self._fd = -1
        self.mask = select.EPOLLIN
        directory = group.directory("memory")
        if group.layout.version("memory") == 2:
            self._fd = os.open(f"{directory}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
            self.mask = select.EPOLLPRI
            os.read(self._fd, 4096)  # only what comes after a read is news
        elif directory:
            self._fd = _register_v1(directory)

    def fileno(self) -> int:
        """The file descriptor, owned by this object; -1 where there is none or it was closed."""
        return self._fd

    def happened(self) -> int:
        """How many times since the last call (or since the watch began). Rearms it.

        v1 tells before the kill, which `oom_kills` may not have counted yet; v2 counts kills.
        """
        try:
            count = os.read(self._fd, 4096)  # v1: takes the counter down
            if self.mask != select.EPOLLPRI:
                # The end of the group is told as well.
                return int.from_bytes(count, sys.byteorder) if self._group.exists() else 0
            os.lseek(self._fd, 0, os.SEEK_SET)
        except OSError:
            return 0  # no event yet (EAGAIN), or the group is gone (ENODEV)
        total = self._group.oom_kills()
        new, self._seen = max(0, total - self._seen), max(total, self._seen)
        return new

    def close(self) -> None:
        """End the watch. Fine when it has ended."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def _register_v1(directory: str) -> int:
    """An eventfd that the kernel signals at each OOM of the group (admin-guide/cgroup-v1/memory)."""
    event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        control = os.open(f"{directory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            files.write(f"{directory}/cgroup.event_control", f"{event} {control}")
        finally:
            os.close(control)
    except OSError:
        os.close(event)
        raise
    return event
