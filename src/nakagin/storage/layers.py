"""Layers: unpacked file system changes, one folder per chain ID, in the form overlayfs reads.

A layer is unpacked once, into a temporary folder, and appears under its name when it is complete.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.spec.digest import ChainID, Digest
    from nakagin.storage.records import Records


class Layer(msgspec.Struct, frozen=True):
    """One unpacked layer. `folder` is its name below `layers/`; `size` the bytes of its files."""

    chain_id: str
    diff_id: str
    parent: str | None
    folder: str
    size: int


class Layers:
    """The unpacked layers below one data root."""

    def __init__(self, root: str, records: Records) -> None:
        """`root` is the data root; layers lie in `layers/<short>`."""
        self.root = os.path.join(root, "layers")
        self._records = records

    def apply(self, diff: IO[bytes], parent: ChainID | None, expected: Digest | None = None) -> Layer:
        """Unpack a layer tar (plain, gzip, zstd, xz or bzip2) on top of `parent`.

        Raises Damaged (broken tar, or its diff ID is not `expected`), Invalid (an entry that would leave the
        root), Exhausted (no space, or larger than the bounds allow). Nothing is left of a failed one.
        """
        raise NotImplementedError

    def get(self, chain_id: str) -> Layer:
        """The layer; raises NotFound."""
        raise NotImplementedError

    def exists(self, chain_id: str) -> bool:
        raise NotImplementedError

    def stack(self, chain_id: str | None) -> Sequence[Layer]:
        """The layer and all below it, the topmost first."""
        raise NotImplementedError

    def remove(self, chain_id: str) -> None:
        """Forget a layer and move its files to the trash. The caller knows that nothing stands on it."""
        raise NotImplementedError
