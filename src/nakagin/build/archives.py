"""Archives that ADD unpacks: told by their bytes, never by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.build.context import Context
from nakagin.build.writing import Pieces
from nakagin.errors import NakaginError
from nakagin.storage.compression import decompressed, reading
from nakagin.storage.tarread import TarReader

if TYPE_CHECKING:
    from nakagin.build.tree import Item, Tree
    from nakagin.storage.compression import Readable


def looks_like_tar(stream: Readable) -> bool:
    """Whether a stream begins as a tar does, plain or compressed. Reads its beginning."""
    try:
        with reading("the file"):
            return next(iter(TarReader(decompressed(stream)[1])), None) is not None
    except (NakaginError, ValueError, OSError):
        return False


def is_archive(tree: Tree, item: Item) -> bool:
    """Whether a file of a tree is a tar."""
    return looks_like_tar(Pieces(tree.chunks(item)))


def contents(tree: Tree, item: Item, folder: str) -> Context:
    """What an archive holds; it lies in `folder` while it is used, and the caller closes it. Blocking.

    Raises Damaged, Invalid (a name that leads out), Exhausted.
    """
    return Context.read(Pieces(tree.chunks(item)), folder)
