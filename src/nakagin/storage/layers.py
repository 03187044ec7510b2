"""Layers: unpacked file system changes, one folder per chain ID, in the form overlayfs reads.

A layer is unpacked once, into a temporary folder, and appears under its name when it is complete. Which
layers are still needed, only the image library and the snapshots know; `sweep` is told.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Conflict, Damaged, Exhausted, NotFound
from nakagin.kernel.extended import sync_filesystem
from nakagin.spec.digest import ChainID, Digest, encoded, extend_chain, hasher
from nakagin.storage.compression import decompressed, reading
from nakagin.storage.tarread import TarReader
from nakagin.storage.trash import Trash
from nakagin.storage.unpack import Bounds, Unpacker

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nakagin.storage.compression import Readable
    from nakagin.storage.records import Records

KIND = "layer"
_log = logging.getLogger(__name__)
_SHORT = 12
_FREE_AT_LEAST = 64 << 20


class Layer(msgspec.Struct, frozen=True):
    """One unpacked layer. `folder` is its name below `layers/`; `size` the bytes of its files.

    `boot` is the boot in which it was unpacked, until its files are known to be on disk; then "".
    """

    chain_id: ChainID
    diff_id: Digest
    parent: ChainID | None
    folder: str
    size: int
    boot: str = ""


_decode = msgspec.json.Decoder(Layer).decode


class Layers:
    """The unpacked layers below one data root: `layers/<first digits of the chain ID>`."""

    def __init__(self, root: str, records: Records, bounds: Bounds | None = None) -> None:
        """`root` is the data root; unfinished layers are in its `tmp/`."""
        self.root = os.path.join(root, "layers")
        self._temporary = os.path.join(root, "tmp")
        os.makedirs(self.root, mode=0o710, exist_ok=True)
        os.makedirs(self._temporary, mode=0o700, exist_ok=True)
        self._records = records
        self._trash = Trash(root)
        self._bounds = bounds or Bounds()
        self._lock = threading.Lock()
        self._layers = {layer.chain_id: layer for layer in (_decode(data) for _, data in records.all(KIND))}

    def apply(self, diff: Readable, parent: ChainID | None, expected: str | None = None) -> Layer:
        """Unpack a layer tar (plain, gzip, zstd, xz or bzip2) on top of `parent`.

        Raises Damaged (broken tar, or its diff ID is not `expected`), Invalid (an entry that would leave the
        root), Exhausted (no space, or larger than the bounds allow). Nothing is left of a failed one.
        """
        lower = [os.fsencode(self.path(layer)) for layer in self.stack(parent)]
        folder = os.path.join(self._temporary, f"layer-{secrets.token_hex(8)}")
        os.mkdir(folder, 0o755)
        try:
            with reading("the layer"):
                diff_id, size = self._unpack(diff, folder, lower)
            if expected not in (None, diff_id):
                raise Damaged(
                    f"the layer has the diff ID {diff_id}, not {expected}",
                    hint="the image's config and its layers do not belong together",
                )
            return self._keep(folder, diff_id, parent, size)
        finally:
            self._trash.take(folder)

    def _unpack(self, diff: Readable, folder: str, lower: Sequence[bytes]) -> tuple[Digest, int]:
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            space = os.fstatvfs(root)
            free = max(space.f_bavail * space.f_frsize - _FREE_AT_LEAST, 0)
            _, plain = decompressed(diff)
            measured = _Measured(plain, self._bounds.size, free)
            unpacker = Unpacker(root, lower, self._bounds)
            reader = TarReader(measured)
            unpacker.run(reader)
            reader.drain()
        finally:
            os.close(root)
        for warning in unpacker.warnings:
            _log.warning("unpacking a layer: %s", warning)
        return measured.digest(), unpacker.size

    def _keep(self, folder: str, diff_id: Digest, parent: ChainID | None, size: int) -> Layer:
        chain_id = extend_chain(parent, diff_id)
        with self._lock:
            if known := self._layers.get(chain_id):
                return known
            taken = {layer.folder for layer in self._layers.values()}
            name = encoded(chain_id)[:_SHORT]
            if name in taken:
                name = encoded(chain_id)
            layer = Layer(chain_id, diff_id, parent, name, size, _boot())
            self._trash.take(self.path(layer))  # of an earlier life that ended before it was recorded
            os.rename(folder, self.path(layer))
            return self._record(layer)

    def _record(self, layer: Layer) -> Layer:
        self._records.put(KIND, layer.chain_id, msgspec.json.encode(layer))
        self._layers[layer.chain_id] = layer
        return layer

    def settle(self) -> None:
        """Put the files of new layers on disk: one wait for all of them. Without it, a crash of the machine costs
        the layer (`recover`), as nobody can tell which of its files are whole."""
        fresh = [layer for layer in self.all() if layer.boot]
        if not fresh:
            return
        sync_filesystem(self.root)
        with self._lock, self._records.transaction():
            for layer in fresh:
                if layer.chain_id in self._layers:
                    self._record(msgspec.structs.replace(layer, boot=""))

    def path(self, layer: Layer) -> str:
        """Its folder (absolute)."""
        return os.path.join(self.root, layer.folder)

    def get(self, chain_id: str) -> Layer:
        """The layer; raises NotFound."""
        try:
            return self._layers[ChainID(chain_id)]
        except KeyError:
            raise NotFound(f"no such layer: {chain_id}") from None

    def exists(self, chain_id: str) -> bool:
        """Whether the layer is unpacked."""
        return chain_id in self._layers

    def stack(self, chain_id: str | None) -> list[Layer]:
        """The layer and all below it, the topmost first. Raises NotFound."""
        found = []
        while chain_id is not None:
            layer = self.get(chain_id)
            found.append(layer)
            chain_id = layer.parent
        return found

    def all(self) -> list[Layer]:
        """Every layer."""
        return list(self._layers.values())

    def remove(self, chain_id: str) -> None:
        """Forget a layer and move its files to the trash. Conflict where another layer stands on it."""
        with self._lock:
            layer = self._layers.get(ChainID(chain_id))
            if layer is None:
                return
            if any(other.parent == chain_id for other in self._layers.values()):
                raise Conflict(f"another layer stands on the layer {chain_id}")
            self._records.delete(KIND, chain_id)
            del self._layers[layer.chain_id]
            self._trash.take(self.path(layer))

    def sweep(self, needed: Iterable[str]) -> None:
        """Remove every layer but the needed ones and those that they stand on."""
        keep: set[str] = set()
        for top in needed:
            chain: str | None = top
            while chain is not None and chain not in keep and chain in self._layers:
                keep.add(chain)
                chain = self._layers[ChainID(chain)].parent
        doomed = {layer.chain_id for layer in self._layers.values()} - keep
        while doomed:
            standing = {self._layers[chain].parent for chain in doomed}
            for chain in doomed - standing:
                self.remove(chain)
            doomed &= standing

    def _is_sound(self, layer: Layer) -> bool:
        return layer.boot in ("", _boot()) and os.path.isdir(self.path(layer))

    def recover(self) -> None:
        """At start, before anything is taken in: forget layers whose folder is gone, and folders that no record
        names; empty `tmp/`, where the unfinished layers and blobs of an engine that was killed lie."""
        for name in os.listdir(self._temporary):
            self._trash.take(os.path.join(self._temporary, name))
        doubtful = {layer.chain_id for layer in self.all() if not self._is_sound(layer)}
        while doubtful:
            for chain in doubtful:
                _log.warning("the layer %s was lost in a crash and must be unpacked again", chain)
                self._records.delete(KIND, chain)
                del self._layers[chain]
            doubtful = {layer.chain_id for layer in self.all() if layer.parent in doubtful}
        known = {layer.folder for layer in self._layers.values()}
        for name in os.listdir(self.root):
            if name not in known:
                self._trash.take(os.path.join(self.root, name))


def _boot() -> str:
    """What tells this run of the kernel from others."""
    with open("/proc/sys/kernel/random/boot_id") as stream:
        return stream.read().strip()


class _Measured:
    """A stream that knows its digest, and ends with Exhausted where it is longer than the bound or the free space."""

    def __init__(self, stream: Readable, bound: int, free: int) -> None:
        self._stream = stream
        self._hash = hasher()
        self._bound = bound
        self._free = free
        self._size = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._size += len(data)
        if self._size > self._bound:
            raise Exhausted(
                f"the layer has more than {self._bound} bytes uncompressed", hint="raise the bound"
            )
        if self._size > self._free:
            raise Exhausted("no space left to unpack the layer", hint="free disk space below the data root")
        self._hash.update(data)
        return data

    def digest(self) -> Digest:
        return Digest(f"sha256:{self._hash.hexdigest()}")
