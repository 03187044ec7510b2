"""Blobs becoming the layers of images: begun while they arrive, completed from the bottom up."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from nakagin.spec.digest import extend_chain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.images.model import StoredLayer
    from nakagin.spec.digest import ChainID
    from nakagin.storage.blobs import Blobs
    from nakagin.storage.layers import Layers
    from nakagin.storage.unpacking import Unpacking


class Layering:
    """The layers that one deed unpacks. A context: what was begun and not completed is given up at its end.

    `progress` is called with a blob's digest, the bytes of it that are unpacked, and all of them.
    """

    def __init__(self, layers: Layers, blobs: Blobs) -> None:
        self.progress: Callable[[str, int, int], None] = _nobody
        self._layers = layers
        self._blobs = blobs
        self._begun: dict[str, Unpacking] = {}  # by blob digest
        self._nameless: list[Unpacking] = []

    def begin(self, fd: int, size: int) -> Unpacking:
        """Start on a blob whose file is still growing; call `known` when its digest is."""
        unpacking = self._layers.begin(fd, size)
        self._nameless.append(unpacking)
        return unpacking

    def known(self, unpacking: Unpacking, digest: str, size: int) -> None:
        """The blob is complete and has this digest."""
        self._nameless.remove(unpacking)
        if digest in self._begun:
            self._layers.abandon(unpacking)
            return
        self._begun[digest] = unpacking
        unpacking.end(size)

    def complete(self, stack: Sequence[StoredLayer]) -> None:
        """Unpack what is missing of an image's layers (bottom first), whose blobs are all here. Long."""
        missing = self._missing(stack)
        for _, layer in missing:
            self._start(layer)
        for parent, layer in missing:
            self.complete_one(layer, parent)

    def _missing(self, stack: Sequence[StoredLayer]) -> list[tuple[ChainID | None, StoredLayer]]:
        found = []
        parent: ChainID | None = None
        for layer in stack:
            chain = extend_chain(parent, layer.diff_id)
            if not self._layers.exists(chain):
                found.append((parent, layer))
            parent = chain
        return found

    def _start(self, layer: StoredLayer) -> None:
        if layer.digest not in self._begun:
            with self._blobs.open(layer.digest) as blob:
                size = os.fstat(blob.fileno()).st_size
                unpacking = self.begin(blob.fileno(), size)
            unpacking.have(size)
            self.known(unpacking, layer.digest, size)

    def complete_one(self, layer: StoredLayer, parent: ChainID | None) -> None:
        """Unpack one layer, whose blob is here, on top of `parent`. Long."""
        if self._layers.exists(extend_chain(parent, layer.diff_id)):
            return
        self._start(layer)
        unpacking = self._begun.pop(layer.digest)
        try:
            self._layers.complete(
                unpacking, parent, layer.diff_id, lambda done: self.progress(layer.digest, done, layer.size)
            )
            self.progress(layer.digest, layer.size, layer.size)
        finally:
            self._layers.abandon(unpacking)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for unpacking in (*self._begun.values(), *self._nameless):
            self._layers.abandon(unpacking)


def _nobody(_digest: str, _done: int, _total: int) -> None:
    pass
