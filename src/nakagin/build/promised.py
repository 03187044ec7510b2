"""A file that is known by its checksum and not fetched yet: enough to find the step in the cache that has taken it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.build.tree import Item
from nakagin.storage.tarread import DIRECTORY, Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Promised:
    """A tree (`nakagin.build.tree.Tree`) of one file whose bytes nobody may ask for."""

    def __init__(self, name: bytes, digest: str, mode: int) -> None:
        """`digest` is the SHA-256 of the bytes in hex."""
        self._item = Item(name, Entry(name, mode=mode), 0)
        self._digest = digest

    def look(self, path: bytes) -> Item | None:
        if path == self._item.path:
            return self._item
        return Item(b"", Entry(b"", DIRECTORY, 0o755)) if not path else None

    def children(self, path: bytes) -> Iterable[Item]:
        return () if path else (self._item,)

    def chunks(self, item: Item) -> Iterator[bytes]:
        raise AssertionError("a promised file was read before it was fetched")

    def digest(self, item: Item) -> str:
        return self._digest
