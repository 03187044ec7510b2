"""Where steps leave what they made: layer blobs and unpacked layers, kept from collection while a build goes on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nakagin.build.stack import Stack
from nakagin.images.model import StoredLayer
from nakagin.spec.digest import ChainID, chain_ids, extend_chain
from nakagin.spec.image import MEDIA_LAYER
from nakagin.storage.diff import layer_tar
from nakagin.storage.tarwrite import END
from nakagin.storage.unpack import Unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nakagin.storage.blobs import Blobs
    from nakagin.storage.layers import Layers


class Workshop:
    """Blocking; called in worker threads."""

    def __init__(self, blobs: Blobs, layers: Layers, keep: Callable[[str], None], temporary: str) -> None:
        """`temporary` is a folder for files that come and go."""
        self.temporary = temporary
        self._blobs = blobs
        self._layers = layers
        self._keep = keep

    def keep(self, name: str) -> None:
        """Keep a chain or blob that the build uses; "" is none."""
        if name:
            self._keep(name)

    def stack(self, chain: str) -> Stack:
        """The files of a stack of layers ("": none)."""
        return Stack(self.folders(chain))

    def folders(self, chain: str) -> list[str]:
        """The folders of a stack of layers, topmost first."""
        return [self._layers.path(layer) for layer in self._layers.stack(chain or None)]

    def chain_of(self, layers: Sequence[StoredLayer]) -> str:
        """The chain ID of layers, bottom first; "" of none."""
        return chain_ids([layer.diff_id for layer in layers])[-1] if layers else ""

    def from_tar(self, pieces: Iterable[bytes], chain: str) -> tuple[str, StoredLayer | None]:
        """A layer tar on top of `chain`: the new chain and layer; the same chain and None where it is empty."""
        stored = self._stored(pieces)
        if stored is None:
            return chain, None
        return self.stacked(stored, chain), stored

    def stacked(self, layer: StoredLayer | None, chain: str) -> str:
        """The chain of a layer that is here as a blob, put on another chain; unpacked unless it is there already."""
        if layer is None:
            return chain
        above = self._above(layer, chain)
        if not self._layers.exists(above):
            with self._blobs.open(layer.digest) as stream:
                self._layers.apply(stream, _parent(chain), layer.diff_id)
        return above

    def from_upper(
        self, upper: str, chain: str, *, latest_ns: int | None = None
    ) -> tuple[str, StoredLayer | None]:
        """What a container changed over `chain`; its upper directory becomes the layer, without a copy.

        Times later than `latest_ns` are set to it first.
        """
        if latest_ns is not None:
            _clamp(upper, latest_ns)
        stored = self._stored(layer_tar(upper, self.folders(chain), bounds=self._layers.bounds))
        if stored is None:
            return chain, None
        unpacked = Unpacked(stored.diff_id, stored.size, _bytes_below(upper))
        above = self._above(stored, chain)
        self._layers.adopt(upper, unpacked, _parent(chain))
        return above, stored

    def _above(self, layer: StoredLayer, chain: str) -> str:
        """The chain with the layer on top; kept before it exists, as a collection may run at any moment."""
        above = extend_chain(_parent(chain), layer.diff_id)
        self.keep(above)
        return above

    def _stored(self, pieces: Iterable[bytes]) -> StoredLayer | None:
        with self._blobs.writer() as writer:
            for piece in pieces:
                writer.write(piece)
            if writer.size <= len(END):
                return None
            digest = writer.digest()
            self.keep(digest)
            writer.commit()
            return StoredLayer(digest, digest, writer.size, MEDIA_LAYER)


def _parent(chain: str) -> ChainID | None:
    """A chain as the layers name it: none for ""."""
    return ChainID(chain) if chain else None


def _bytes_below(folder: str) -> int:
    seen: set[int] = set()
    total = 0
    for here, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(here, name))
            if status.st_nlink == 1 or status.st_ino not in seen:
                seen.add(status.st_ino)
                total += status.st_size
    return total


def _clamp(folder: str, latest_ns: int) -> None:
    """No file or folder shall be later than this; folders after what is in them."""
    for here, folders, names in os.walk(folder, topdown=False):
        for path in (*(os.path.join(here, name) for name in (*folders, *names)), here):
            status = os.lstat(path)
            if status.st_mtime_ns > latest_ns:
                os.utime(path, ns=(status.st_atime_ns, latest_ns), follow_symlinks=False)
