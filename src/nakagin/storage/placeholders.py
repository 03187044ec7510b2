"""Empty files and folders in an upper directory that are only there to be mounted on: no changes of the container's."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from nakagin.storage.overlay import NOTHING, below, is_opaque

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nakagin.storage.overlay import Below


def placeholders(upper: str, lower: Sequence[str], paths: Iterable[str]) -> frozenset[bytes]:
    """Those of `paths` ("/etc/hosts") that `upper` has as an empty file or folder, and the layers below have not.

    With them, the folders above that hold nothing else and are in all but their time as they were. `lower` are absolute
    folders, topmost first. Tolerates a tree in motion.
    """
    top, layers = os.fsencode(upper), [os.fsencode(folder) for folder in lower]
    found: set[bytes] = set()
    for path in sorted(map(os.fsencode, paths), key=len, reverse=True):
        if (status := _look(top, path)) is None or _under(layers, path).path is not None:
            continue
        if _is_empty(top + path, path, status, found):
            found.add(path)
    for path in sorted({path.rpartition(b"/")[0] for path in found} - {b""}, key=len, reverse=True):
        status, before = _look(top, path), _under(layers, path).status
        if status is None or is_opaque(top + path) or not _is_empty(top + path, path, status, found):
            continue
        if before is None or _attributes(status) == _attributes(before):
            found.add(path)
    return frozenset(found)


def _look(top: bytes, path: bytes) -> os.stat_result | None:
    """What is there, if all folders above are folders: no link is followed."""
    here, status = top, None
    for name in path.strip(b"/").split(b"/"):
        if status is not None and not stat.S_ISDIR(status.st_mode):
            return None
        here += b"/" + name
        try:
            status = os.lstat(here)
        except OSError:
            return None
    return status


def _under(layers: Sequence[bytes], path: bytes) -> Below:
    folders, found = layers, NOTHING
    for name in path.strip(b"/").split(b"/"):
        found = below(folders, name)
        folders = found.folders
    return found


def _is_empty(place: bytes, path: bytes, status: os.stat_result, found: set[bytes]) -> bool:
    if stat.S_ISREG(status.st_mode):
        return status.st_size == 0
    if not stat.S_ISDIR(status.st_mode):
        return False
    try:
        return all(path + b"/" + name in found for name in os.listdir(place))
    except OSError:
        return False


def _attributes(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mode, status.st_uid, status.st_gid
