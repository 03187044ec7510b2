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

from nakagin.errors import Conflict, Damaged, NotFound
from nakagin.kernel.extended import sync_filesystem
from nakagin.kernel.inodes import spread
from nakagin.spec.digest import ChainID, Digest, encoded, extend_chain
from nakagin.storage.boot import boot_id
from nakagin.storage.trash import Trash
from nakagin.storage.unpack import Bounds, Unpacked
from nakagin.storage.unpacking import Unpacking, unpack_stream
from nakagin.storage.usage import disk_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nakagin.storage.compression import Readable
    from nakagin.storage.records import Records

KIND = "layer"
_log = logging.getLogger(__name__)
_SHORT = 12
_WORKERS = 2  # processes that unpack before their layer's turn


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
    disk: int = -1
    """What its folder takes on the disk; -1 until somebody asked."""


_decode = msgspec.json.Decoder(Layer).decode


class Layers:
    """The unpacked layers below one data root: `layers/<first digits of the chain ID>`."""

    def __init__(self, root: str, records: Records, bounds: Bounds | None = None) -> None:
        """`root` is the data root; unfinished layers are in its `tmp/`."""
        self.root = os.path.join(root, "layers")
        self._temporary = os.path.join(root, "tmp")
        os.makedirs(self.root, mode=0o710, exist_ok=True)
        os.makedirs(self._temporary, mode=0o700, exist_ok=True)
        spread(self._temporary)  # thousands of files at once are made there (decision 240)
        self._records = records
        self._trash = Trash(root)
        self.bounds = bounds or Bounds()
        self._slots = threading.BoundedSemaphore(max(_WORKERS, os.cpu_count() or 1))
        self._lock = threading.Lock()
        self._layers = {layer.chain_id: layer for layer in (_decode(data) for _, data in records.all(KIND))}

    def apply(self, diff: Readable, parent: ChainID | None, expected: str | None = None) -> Layer:
        """Unpack a layer tar (plain, gzip, zstd, xz or bzip2) on top of `parent`.

        Raises Damaged (broken tar, or its diff ID is not `expected`), Invalid (an entry that would leave the
        root), Exhausted (no space, or larger than the bounds allow). Nothing is left of a failed one.
        """
        below = [self.path(layer) for layer in self.stack(parent)]
        folder = self._scratch()
        try:
            return self._keep(folder, unpack_stream(diff, folder, below, self.bounds), parent, expected)
        finally:
            self._trash.take(folder)

    def adopt(self, folder: str, unpacked: Unpacked, parent: ChainID | None) -> Layer:
        """Take a folder that is already in overlayfs's form (an upper directory) as the layer of that diff ID.

        `folder` must be on the data root's file system; it is gone afterwards, also when the layer is known.
        """
        try:
            return self._keep(folder, unpacked, parent, None)
        finally:
            self._trash.take(folder)

    def begin(self, blob: int, size: int) -> Unpacking:
        """Start on a layer whose blob (open as `blob`, about `size` bytes) may still be arriving.

        Tell it by `have` and `end`, then `complete` it, and `abandon` it in any case.
        """
        return Unpacking(self._scratch(), blob, size, self.bounds, self._slots)

    def complete(
        self,
        unpacking: Unpacking,
        parent: ChainID | None,
        expected: str,
        progress: Callable[[int], None] | None = None,
    ) -> Layer:
        """Wait for a layer that was begun; it becomes one on top of `parent`. Long. Raises as `apply`."""
        if known := self._layers.get(extend_chain(parent, expected)):
            return known
        unpacked = unpacking.finish([self.path(layer) for layer in self.stack(parent)], progress)
        return self._keep(unpacking.folder, unpacked, parent, expected)

    def abandon(self, unpacking: Unpacking) -> None:
        """End what was begun; nothing of it stays unless it was completed."""
        unpacking.close()
        self._trash.take(unpacking.folder)

    def _scratch(self) -> str:
        folder = os.path.join(self._temporary, f"layer-{secrets.token_hex(8)}")
        os.mkdir(folder, 0o755)
        return folder

    def _keep(self, folder: str, unpacked: Unpacked, parent: ChainID | None, expected: str | None) -> Layer:
        for warning in unpacked.warnings:
            _log.warning("unpacking a layer: %s", warning)
        diff_id = Digest(unpacked.diff_id)
        if expected not in (None, diff_id):
            raise Damaged(
                f"the layer has the diff ID {diff_id}, not {expected}",
                hint="the image's config and its layers do not belong together",
            )
        chain_id = extend_chain(parent, diff_id)
        with self._lock:
            if known := self._layers.get(chain_id):
                return known
            taken = {layer.folder for layer in self._layers.values()}
            name = encoded(chain_id)[:_SHORT]
            if name in taken:
                name = encoded(chain_id)
            layer = Layer(chain_id, diff_id, parent, name, unpacked.size, boot_id())
            self._trash.take(self.path(layer))  # of an earlier life that ended before it was recorded
            os.rename(folder, self.path(layer))
            return self._record(layer)

    def _record(self, layer: Layer) -> Layer:
        self._records.put(KIND, layer.chain_id, msgspec.json.encode(layer))
        self._layers[layer.chain_id] = layer
        return layer

    def settle(self, *, also: bool = False) -> None:
        """Put the files of new layers on disk (and with `also` other files of the data root): one wait for all of
        them. Without it, a crash of the machine costs
        the layer (`recover`), as nobody can tell which of its files are whole."""
        fresh = [layer for layer in self.all() if layer.boot]
        if not fresh and not also:
            return
        sync_filesystem(self.root)
        with self._lock, self._records.transaction():
            for layer in fresh:
                if layer.chain_id in self._layers:
                    self._record(msgspec.structs.replace(layer, boot=""))

    def path(self, layer: Layer) -> str:
        """Its folder (absolute)."""
        return os.path.join(self.root, layer.folder)

    def disk_usage(self, layer: Layer) -> int:
        """The bytes that its folder takes on the disk. Long when asked for the first time."""
        if layer.disk < 0:
            layer = msgspec.structs.replace(layer, disk=disk_usage(self.path(layer)))
            with self._lock:
                if layer.chain_id in self._layers:
                    self._record(msgspec.structs.replace(layer, boot=self._layers[layer.chain_id].boot))
        return layer.disk

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
        return layer.boot in ("", boot_id()) and os.path.isdir(self.path(layer))

    def recover(self) -> None:
        """At start, before anything is taken in: forget layers whose folder is gone, and folders that no record
        names; empty `tmp/`, where the unfinished layers and blobs of an engine that was killed lie."""
        for name in os.listdir(self._temporary):
            self._trash.take(os.path.join(self._temporary, name))
        self.forget_lost()
        self.recover_folders()

    def forget_lost(self) -> None:
        """Forget layers whose folder is gone or doubtful, and those that stand on them."""
        doubtful = {layer.chain_id for layer in self.all() if not self._is_sound(layer)}
        while doubtful:
            for chain in doubtful:
                _log.warning("the layer %s was lost in a crash and must be unpacked again", chain)
                self._records.delete(KIND, chain)
                del self._layers[chain]
            doubtful = {layer.chain_id for layer in self.all() if layer.parent in doubtful}

    def recover_folders(self) -> None:
        """Remove folders that no record names."""
        with self._lock:
            known = {layer.folder for layer in self._layers.values()}
        for name in os.listdir(self.root):
            if name not in known:
                self._trash.take(os.path.join(self.root, name))
