"""Snapshots: what a container writes, over the layers of its image, mounted by overlayfs.

Nothing is ever mounted here: `mounts` is data, the runtime mounts it inside the container's own mount
namespace, so that the mounts are gone when the container is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.spec.digest import ChainID
    from nakagin.spec.runtime import Mount
    from nakagin.storage.layers import Layers
    from nakagin.storage.records import Records


class Snapshots:
    """The active snapshots below one data root: `snapshots/<key>/{upper,work}`."""

    def __init__(self, root: str, records: Records, layers: Layers) -> None:
        """`root` is the data root."""
        self.root = os.path.join(root, "snapshots")
        self._records = records
        self._layers = layers

    def prepare(self, key: str, chain: ChainID | None, *, volatile: bool = False) -> None:
        """Make an empty writable layer over `chain` (None: over nothing).

        `volatile` is for containers that are removed when they end: overlayfs then never syncs, so their end
        does not wait for the disk. Raises Conflict (the key is taken), NotFound (no such layer).
        """
        raise NotImplementedError

    def mounts(self, key: str, destination: str = "/") -> tuple[str, Sequence[Mount]]:
        """The folder to change to, and the mounts (relative to it) that make the root file system."""
        raise NotImplementedError

    def remove(self, key: str) -> None:
        """Forget the snapshot; its files go to the trash, which `empty_trash` deletes. Fine if it is gone."""
        raise NotImplementedError

    def empty_trash(self) -> None:
        """Delete what was removed. Slow for large trees: call it in a worker thread."""
        raise NotImplementedError

    def exists(self, key: str) -> bool:
        raise NotImplementedError

    def upper(self, key: str) -> str:
        """The folder with what was written (absolute). Raises NotFound."""
        raise NotImplementedError

    def chain(self, key: str) -> ChainID | None:
        """The layers below it. Raises NotFound."""
        raise NotImplementedError

    def usage(self, key: str) -> int:
        """The bytes of the files that were written (hard links once, folders not at all)."""
        raise NotImplementedError

    def changes(self, key: str) -> Sequence[tuple[str, str]]:
        """What differs from the image as ("A" | "C" | "D", path), in the order of paths, as `docker diff`."""
        raise NotImplementedError

    def all(self) -> Sequence[str]:
        """The keys, in order."""
        raise NotImplementedError
