"""Copy-up: a new, empty volume gets what the image has at its place, with ownership, modes and attributes."""

from __future__ import annotations

import os

from nakagin.kernel import paths
from nakagin.storage.copytree import copy_tree


def copy_up(root: int, path: str, volume: str) -> bool:
    """Fill the empty folder `volume` from the directory `path` below `root`; False where there is nothing to do.

    The volume's own folder takes over owner and mode too. Symlinks on the way to `path` stay inside the root,
    those in the tree are copied as they are.
    """
    if os.listdir(volume):
        return False
    try:
        source = paths.open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    target = os.open(volume, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        copy_tree(source, target)
    finally:
        os.close(target)
        os.close(source)
    return True
