"""A folder as a list, so that an engine that has seen it before asks only for what changed."""

from __future__ import annotations

import json
import os
import socket
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_YOUNG = 200_000_000
"""Nanoseconds: a file that changed just now may change again without another time, so it gets no stamp."""


def listing(folder: str, prune: Callable[[str, bool], bool] | None) -> bytes | None:
    """See `nakagin.build.kept.Listing`; None where a name is no text."""
    top = os.path.realpath(folder)
    rows: list[list[object]] = []
    recent = time.time_ns() - _YOUNG
    try:
        _below(top, "", prune, recent, rows)
        key = f"{socket.gethostname()}:{os.stat(top).st_dev}:{top}"
        return json.dumps({"key": key, "rows": rows}, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return None


def _below(
    top: str, below: str, prune: Callable[[str, bool], bool] | None, recent: int, rows: list[list[object]]
) -> None:
    for entry in sorted(os.scandir(top), key=lambda each: each.name):
        path = f"{below}/{entry.name}" if below else entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if prune is not None and prune(path, is_folder):
            continue
        status = entry.stat(follow_symlinks=False)
        row: list[object] = [path, status.st_mode, status.st_size, status.st_mtime_ns]
        if stat.S_ISREG(status.st_mode):
            young = status.st_ctime_ns > recent
            row.append("" if young else f"{status.st_ctime_ns}:{status.st_dev}:{status.st_ino}")
            row += ["", status.st_ino if status.st_nlink > 1 else 0]
        elif stat.S_ISLNK(status.st_mode):
            row += ["", os.readlink(entry.path)]
        rows.append(row)
        if is_folder:
            _below(entry.path, path, prune, recent, rows)
