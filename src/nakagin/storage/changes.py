"""What an upper directory changes over the layers below it, in the words of `docker diff`."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from nakagin.storage.overlay import below, is_opaque, is_whiteout, names_below

if TYPE_CHECKING:
    from collections.abc import Sequence

ADDED, CHANGED, DELETED = "A", "C", "D"


def changes_of(upper: str, lower: Sequence[str]) -> list[tuple[str, str]]:
    """(kind, path) of every difference, in the order of paths; parents of a difference are "C".

    A directory that overlayfs copied up only to hold something is no change by itself. `lower` are absolute
    folders, topmost first. Symlinks are never followed.
    """
    found: dict[bytes, str] = {}
    pending = [(b"", [os.fsencode(folder) for folder in lower])]
    top = os.fsencode(upper)
    while pending:
        path, folders = pending.pop()
        try:
            entries = list(os.scandir(top + path))
        except OSError:
            continue  # removed by the running container meanwhile
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            here = path + b"/" + entry.name
            under = below(folders, entry.name)
            kind = _kind(status, under.status)
            if kind:
                found[here] = kind
            if stat.S_ISDIR(status.st_mode):
                opaque = is_opaque(entry.path)
                if opaque:
                    found.update(_vanished(top + here, here, under.folders))
                pending.append((here, [] if opaque else list(under.folders)))
    for path in list(found):
        parent = path.rpartition(b"/")[0]
        while parent and parent not in found:
            found[parent] = CHANGED
            parent = parent.rpartition(b"/")[0]
    return [(found[path], os.fsdecode(path)) for path in sorted(found)]


def _kind(status: os.stat_result, before: os.stat_result | None) -> str:
    if is_whiteout(status):
        return DELETED if before else ""
    if before is None:
        return ADDED
    if not (stat.S_ISDIR(status.st_mode) and stat.S_ISDIR(before.st_mode)):
        return CHANGED
    same = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns) == (
        before.st_mode, before.st_uid, before.st_gid, before.st_mtime_ns,
    )  # fmt: skip
    return "" if same else CHANGED


def _vanished(directory: bytes, path: bytes, folders: Sequence[bytes]) -> dict[bytes, str]:
    """What an opaque directory has no more of what was below it."""
    present = set(os.listdir(directory))
    return {path + b"/" + name: DELETED for name in names_below(folders) if name not in present}
