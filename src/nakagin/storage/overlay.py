"""How overlayfs writes deletions down, and what a stack of its layers shows without mounting it.

Source: Documentation/filesystems/overlayfs.rst. A whiteout is a character device 0:0; an opaque directory
hides the directories of the same name below it.
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

OPAQUE = "trusted.overlay.opaque"
_PARAMETERS = "/sys/module/overlay/parameters"
_OFF = ("index", "redirect_dir", "metacopy")


class Below(NamedTuple):
    """What a stack of folders shows under a name: the visible object, and the folders that merge there.

    `path` and `status` (lstat) are those of the topmost object, None where the name shows nothing; `folders`
    are the absolute paths of the directories that merge, topmost first (empty for anything but a directory).
    """

    path: bytes | None
    status: os.stat_result | None
    folders: tuple[bytes, ...]


NOTHING = Below(None, None, ())


def below(folders: Sequence[bytes], name: bytes) -> Below:
    """What the merged `folders` (topmost first) show under `name`, one component.

    No symlink is followed: each folder was itself found by this function, and nobody writes there.
    """
    first: tuple[bytes, os.stat_result] | None = None
    merged: list[bytes] = []
    for folder in folders:
        path = folder + b"/" + name
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if is_whiteout(status):
            break
        if not stat.S_ISDIR(status.st_mode):
            if first is None:
                return Below(path, status, ())
            break
        first = first or (path, status)
        merged.append(path)
        if is_opaque(path):
            break
    return Below(*first, tuple(merged)) if first else NOTHING


def names_below(folders: Sequence[bytes]) -> list[bytes]:
    """The visible names in the merged `folders`, sorted."""
    hidden: set[bytes] = set()
    found: set[bytes] = set()
    for folder in folders:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name in found or entry.name in hidden:
                    continue
                deleted = not entry.is_dir(follow_symlinks=False) and is_whiteout(
                    entry.stat(follow_symlinks=False)
                )
                (hidden if deleted else found).add(entry.name)
    return sorted(found)


def is_whiteout(status: os.stat_result) -> bool:
    """Whether an lstat result is that of a whiteout."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


@contextmanager
def pinned(folders: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The folders by descriptors of this process, as paths below which they stay what they are now.

    A container may swap a folder for a link while it is read from outside; by a path, the link would lead to the
    host's files. What is no folder any more is left out.
    """
    with ExitStack() as leave:
        found = []
        for folder in folders:
            try:
                fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                continue
            leave.callback(os.close, fd)
            found.append(b"/proc/self/fd/%d" % fd)
        yield found


def is_opaque(directory: bytes | str | int) -> bool:
    """Whether a directory hides what is below it."""
    try:
        return os.getxattr(directory, OPAQUE) == b"y"
    except OSError:
        return False


def escaped(path: str) -> str:
    """A path as it stands in overlayfs's options, where a colon, comma or backslash of its own needs a backslash."""
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def options() -> list[str]:
    """Mount options that switch off what some kernels have on by default.

    A copied-up file must be whole and a renamed directory real, or an upper directory could not be read as a
    layer; and an index would tie it to one set of lower directories.
    """
    found = []
    for name in _OFF:
        try:
            with open(f"{_PARAMETERS}/{name}") as parameter:
                if parameter.read().strip() == "Y":
                    found.append(f"{name}=off")
        except OSError:
            pass  # this kernel has no such feature
    return found
