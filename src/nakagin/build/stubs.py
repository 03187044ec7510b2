"""Mount points that the runtime made in a step's files: they are taken away before the files become a layer."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from nakagin.build.tree import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nakagin.build.stack import Stack

#: What every container has mounted, the engine's own files included.
ALWAYS = ("/proc", "/sys", "/dev", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname")


class Stubs:
    """Looks before the step which parts of the mount points are not there, and removes those parts afterwards."""

    def __init__(self, below: Stack, targets: Iterable[str]) -> None:
        self._below = below
        self._missing: list[bytes] = []
        for target in (*ALWAYS, *targets):
            path = resolve(target.encode(), below.look)
            while path:
                if below.look(path) is None:
                    self._missing.append(path)
                path = path.rpartition(b"/")[0]

    def remove_from(self, upper: str) -> None:
        """Remove the stubs that the program left empty, and folders that are only there because of them."""
        root = os.fsencode(upper)
        for path in sorted(set(self._missing), key=lambda each: -each.count(b"/")):
            _remove_empty(root + b"/" + path)
        for path in sorted(
            {each.rpartition(b"/")[0] for each in self._missing} - {b""}, key=len, reverse=True
        ):
            self._remove_copied_up(root, path)

    def _remove_copied_up(self, root: bytes, path: bytes) -> None:
        """A folder that overlayfs copied up to make a stub in it, and that is as it was."""
        here = root + b"/" + path
        known = self._below.look(path)
        try:
            status = os.lstat(here)
        except FileNotFoundError:
            return
        if known is None or not stat.S_ISDIR(status.st_mode):
            return
        old = known.entry
        if (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (old.mode, old.uid, old.gid):
            if os.listdir(here):
                os.utime(here, ns=(status.st_atime_ns, old.mtime_ns))
            else:
                os.rmdir(here)


def _remove_empty(path: bytes) -> None:
    try:
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(path)
        elif stat.S_ISREG(status.st_mode) and not status.st_size:
            os.unlink(path)
    except OSError:
        pass  # never made, or the program put something there: then it belongs to the image
