"""A stack of layer folders as one tar: what a container made from it sees, without mounting anything."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from nakagin.errors import Unsupported
from nakagin.storage.members import Members, entry_of
from nakagin.storage.overlay import below, names_below, pinned
from nakagin.storage.tarwrite import END, header
from nakagin.storage.tree import DEEPEST_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def merged_tar(folders: Sequence[str]) -> Iterator[bytes]:
    """The tar of the files that the merged `folders` (topmost first) show, in pieces. Sockets are left out."""
    yield from merged_members(folders)
    yield END


def merged_members(folders: Sequence[str], prefix: bytes = b"") -> Iterator[bytes]:
    """The same as part of a tar, below `prefix` ("" or a path that ends in a slash)."""
    with pinned(map(os.fsencode, folders)) as found, Members() as members:
        yield from _folder(found, prefix, members)


def _folder(folders: Sequence[bytes], path: bytes, members: Members) -> Iterator[bytes]:
    if path.count(b"/") > DEEPEST_PATH:
        raise Unsupported(
            "a directory is too deep to become part of a tar", hint=f"at most {DEEPEST_PATH} levels"
        )
    for name in names_below(folders):
        found = below(folders, name)
        if found.path is None or found.status is None:
            continue  # removed by the running container meanwhile
        inner = path + name
        try:
            if stat.S_ISDIR(found.status.st_mode):
                yield header(entry_of(found.path, inner, found.status))
                with pinned(found.folders) as inside:
                    yield from _folder(inside, inner + b"/", members)
            elif not stat.S_ISSOCK(found.status.st_mode):
                yield from members.file(found.path, inner, found.status)
        except FileNotFoundError:
            continue
