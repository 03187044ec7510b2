"""An upper directory as a layer tar: what a container changed, ready to become the next layer of an image.

The tar is a function of the files alone: sorted, whole seconds, no owner names; deletions as OCI whiteouts.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

from nakagin.errors import Exhausted, Unsupported
from nakagin.storage.members import Members, entry_of
from nakagin.storage.overlay import below, is_opaque, is_whiteout, pinned
from nakagin.storage.tarread import Entry
from nakagin.storage.tarwrite import END, header
from nakagin.storage.tree import DEEPEST_PATH, shown
from nakagin.storage.unpack import OPAQUE_MARK, SIZE_SETTING, WHITEOUT, Bounds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

_UNBOUNDED = Bounds(size=sys.maxsize)


def layer_tar(
    upper: str,
    lower: Sequence[str] = (),
    without: Collection[bytes] = frozenset(),
    beside: Iterable[tuple[str, str, Sequence[str]]] = (),
    *,
    bounds: Bounds = _UNBOUNDED,
) -> Iterator[bytes]:
    """The tar of the changes in `upper`, in pieces; `lower` are the folders of the layers below, topmost first.

    `beside` are further ones, each (place in the tar "/data", upper, lower): what is mounted over the first.
    The paths in `without` (b"/etc/hosts") are no changes. A directory that is only there to hold a change is written
    too, as layers have it. Sockets are left out (tar has none). A file that is cut short while it is read is filled
    with zeros. Raises Exhausted before the first file with which it would be larger than `bounds` allow.
    """
    with Members() as members:
        walk = _Diff(members, without, bounds)
        for place, top, under in (("", upper, lower), *beside):
            with pinned([os.fsencode(top)]) as here:
                for folder in here:
                    yield from walk.folder(folder, os.fsencode(place), [os.fsencode(each) for each in under])
    yield END


class _Diff:
    """One walk."""

    def __init__(self, members: Members, without: Collection[bytes], bounds: Bounds) -> None:
        self._members = members
        self._without = without
        self._bounds = bounds
        self._size = 0
        self._several: set[tuple[int, int]] = set()

    def folder(self, here: bytes, path: bytes, folders: Sequence[bytes]) -> Iterator[bytes]:
        """What is in the pinned directory `here`, which is `path` in the tar; `folders` merge below it."""
        if path.count(b"/") > DEEPEST_PATH:
            raise Unsupported(
                "a directory is too deep to become part of a layer", hint=f"at most {DEEPEST_PATH} levels"
            )
        if path and is_opaque(here):
            yield header(Entry(path[1:] + b"/" + OPAQUE_MARK))
        for name in sorted(os.listdir(here)):
            inner, found = path + b"/" + name, here + b"/" + name
            if inner in self._without:
                continue
            status = os.lstat(found)
            if is_whiteout(status):
                if below(folders, name).path is not None:
                    yield header(Entry(path[1:] + (b"/" if path else b"") + WHITEOUT + name))
            elif stat.S_ISDIR(status.st_mode):
                yield header(entry_of(found, inner[1:], status))
                with pinned([found]) as inside:
                    for folder in inside:
                        under = () if is_opaque(folder) else below(folders, name).folders
                        yield from self.folder(folder, inner, under)
            elif not stat.S_ISSOCK(status.st_mode):
                self._count(inner, status)
                yield from self._members.file(found, inner[1:], status)

    def _count(self, path: bytes, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            return
        if status.st_nlink > 1:
            if (file := (status.st_dev, status.st_ino)) in self._several:
                return
            self._several.add(file)
        self._size += status.st_size
        if self._size > self._bounds.size:
            taken = status.st_blocks * 512
            hint = f"raise {SIZE_SETTING}"
            if taken < status.st_size // 2:
                hint = (
                    f"it takes {taken} bytes on the disk, but a layer has it at full length: useradd --no-log-init "
                    f"makes no such /var/log/lastlog; or {hint}"
                )
            raise Exhausted(
                f"with {shown(path)}, of {status.st_size} bytes, the layer has more than {self._bounds.size}",
                hint=hint,
            )
