"""What lies in a folder, as marks that tell whether two of it are the same; and what one lacks of another."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

#: The names of what was sent, kept with it: what a host made there itself is not ours to remove.
RECORD = ".nakagin-replica.json"
_PIECE = 1 << 20
#: History and what would be made anew anyway.
_LEFT_OUT = {".git", RECORD}


@dataclass(frozen=True, slots=True)
class Difference:
    """`sent` are paths to carry over, folders before what is in them; `gone` are paths to remove, contents first."""

    sent: list[str]
    gone: list[str]


def listing(folder: str, prune: Callable[[str, bool], bool] | None = None) -> dict[str, str]:
    """The mark of all below `folder` by relative path. `prune` (path, is a folder) leaves something out."""
    return dict(_below(folder, "", prune))


def marks(folder: str, paths: Iterable[str]) -> dict[str, str]:
    """The same for these paths, as far as they are there."""
    found = {}
    for path in paths:
        try:
            found[path] = _mark(os.path.join(folder, path))
        except (FileNotFoundError, NotADirectoryError):
            continue
    return found


def difference(ours: Mapping[str, str], theirs: Mapping[str, str]) -> Difference:
    """What makes `theirs` to be as `ours`."""
    sent = sorted(path for path, mark in ours.items() if theirs.get(path) != mark)
    return Difference(sent, sorted(set(theirs) - set(ours), reverse=True))


def _below(
    folder: str, relative: str, prune: Callable[[str, bool], bool] | None
) -> Iterator[tuple[str, str]]:
    for entry in os.scandir(os.path.join(folder, relative)):
        path = f"{relative}/{entry.name}" if relative else entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if entry.name in _LEFT_OUT or (prune is not None and prune(path, is_folder)):
            continue
        if is_folder or entry.is_symlink() or entry.is_file():
            yield path, _mark(entry.path)
        if is_folder:
            yield from _below(folder, path, prune)


def _mark(path: str) -> str:
    """Kind, permissions and content."""
    status = os.lstat(path)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return f"link {os.readlink(path)}"
    if stat.S_ISDIR(status.st_mode):
        return f"folder {mode:o}"
    content = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            content.update(piece)
    return f"file {mode:o} {content.hexdigest()}"
