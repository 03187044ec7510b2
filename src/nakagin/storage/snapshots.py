"""Snapshots: what a container writes, over the layers of its image, mounted by overlayfs.

Nothing is ever mounted here: `mounts` is data, the runtime mounts it inside the container's own mount
namespace, so that the mounts are gone when the container is.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Conflict, Exhausted, Invalid, NotFound, Unsupported
from nakagin.spec.digest import ChainID
from nakagin.storage import overlay
from nakagin.storage.changes import changes_of
from nakagin.storage.trash import Trash

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nakagin.spec.runtime import Mount
    from nakagin.storage.layers import Layers
    from nakagin.storage.records import Records

KIND = "snapshot"
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_LONGEST_OPTIONS = 4095  # mount(2) takes one page, with its final NUL
_VOLATILE_MARK = "work/work/incompat"
_ROOM = 64 << 20
_INODES = 10_000
_EMPTY = ".empty"  # no key begins with a dot


class _Snapshot(msgspec.Struct, frozen=True):
    chain: ChainID | None
    volatile: bool = False


_decode = msgspec.json.Decoder(_Snapshot).decode


class Snapshots:
    """The active snapshots below one data root: `snapshots/<key>/{upper,work}`."""

    def __init__(self, root: str, records: Records, layers: Layers) -> None:
        """`root` is the data root."""
        self.root = os.path.join(root, "snapshots")
        os.makedirs(self.root, mode=0o710, exist_ok=True)
        self._records = records
        self._layers = layers
        self._trash = Trash(root)
        self._snapshots = {key: _decode(data) for key, data in records.all(KIND)}
        self._options = overlay.options()

    def prepare(self, key: str, chain: str | None, *, volatile: bool = False) -> None:
        """Make an empty writable layer over `chain` (None: over nothing).

        `volatile` is for containers that are removed when they end: overlayfs then never syncs, so their end
        does not wait for the disk. Raises Conflict (the key is taken), NotFound (no such layer), Invalid.
        """
        if not _KEY.fullmatch(key):
            raise Invalid(f"invalid snapshot key {key!r}")
        if key in self._snapshots:
            raise Conflict(f"a snapshot with the key {key} exists already")
        stack = self._layers.stack(chain)
        snapshot = _Snapshot(ChainID(chain) if chain else None, volatile)
        # The record is the intent: from here on `remove`, and the next start, know of it.
        self._records.put(KIND, key, msgspec.json.encode(snapshot))
        self._snapshots[key] = snapshot
        base = os.path.join(self.root, key)
        try:
            os.mkdir(base, 0o710)
            os.mkdir(f"{base}/work", 0o700)
            os.mkdir(f"{base}/upper", 0o755)
            if stack:
                # The root directory of the mount is the upper one, so it must look like the image's.
                _take_after(f"{base}/upper", os.stat(self._layers.path(stack[0])))
        except OSError as error:
            self.remove(key)
            if error.errno in (28, 122):
                raise Exhausted("no space left for a container's files", hint="free disk space") from error
            raise

    def mounts(self, key: str, destination: str = "/") -> tuple[str, Sequence[Mount]]:
        """The folder to change to, and the mounts (relative to it) that make the root file system.

        Relative names keep the options below one page and free of whatever the data root's path contains.
        """
        snapshot = self._get(key)
        stack = self._layers.stack(snapshot.chain)
        lower = ":".join(layer.folder for layer in stack) or self._empty()
        own = f"../snapshots/{key}"
        options = [f"lowerdir={lower}", f"upperdir={own}/upper", f"workdir={own}/work", *self._options]
        if snapshot.volatile:
            options.append("volatile")
            # Left by the mount before; overlayfs refuses what may have lost writes in a crash of the machine.
            # A container whose machine crashed is started again only if the engine decides so.
            self._trash.take(os.path.join(self.root, key, _VOLATILE_MARK))
        if len(",".join(options)) > _LONGEST_OPTIONS:
            raise Unsupported(f"an image of {len(stack)} layers is too high to mount", hint="flatten it")
        mount: Mount = {
            "type": "overlay",
            "source": "overlay",
            "destination": destination,
            "options": options,
        }
        return self._layers.root, [mount]

    def remove(self, key: str) -> None:
        """Forget the snapshot; its files go to the trash, which `empty_trash` deletes. Fine if it is gone."""
        self._trash.take(os.path.join(self.root, key))
        if _is_full(self.root):
            self.empty_trash()
        if self._snapshots.pop(key, None) is not None:
            self._records.delete(KIND, key)
        if not self._snapshots:
            _remove_directory(os.path.join(self.root, _EMPTY))

    def empty_trash(self) -> None:
        """Delete what was removed. Slow for large trees: call it in a worker thread."""
        self._trash.empty()
        self._records.keep_reserve()

    def exists(self, key: str) -> bool:
        """Whether there is a snapshot with this key."""
        return key in self._snapshots

    def upper(self, key: str) -> str:
        """The folder with what was written (absolute). Raises NotFound."""
        self._get(key)
        return os.path.join(self.root, key, "upper")

    def chain(self, key: str) -> ChainID | None:
        """The layers below it. Raises NotFound."""
        return self._get(key).chain

    def lower(self, key: str) -> list[str]:
        """The folders of the layers below it (absolute), the topmost first. Raises NotFound."""
        return [self._layers.path(layer) for layer in self._layers.stack(self._get(key).chain)]

    def usage(self, key: str) -> int:
        """The bytes of the files that were written (hard links once, folders not at all)."""
        return usage_of(self.upper(key))

    def changes(self, key: str) -> list[tuple[str, str]]:
        """What differs from the image as ("A" | "C" | "D", path), in the order of paths, as `docker diff`."""
        return changes_of(self.upper(key), self.lower(key))

    def all(self) -> list[str]:
        """The keys, in order."""
        return sorted(self._snapshots)

    def chains(self) -> set[ChainID]:
        """The layers that snapshots stand on."""
        return {snapshot.chain for snapshot in self._snapshots.values() if snapshot.chain}

    def sweep(self, needed: Iterable[str]) -> None:
        """Remove every snapshot but the needed ones."""
        for key in set(self._snapshots) - set(needed):
            self.remove(key)

    def recover(self) -> None:
        """At start: forget snapshots without files, and files without a record."""
        for key in self.all():
            if not os.path.isdir(os.path.join(self.root, key, "upper")):
                self.remove(key)
        for name in os.listdir(self.root):
            if name not in self._snapshots and name != _EMPTY:
                self._trash.take(os.path.join(self.root, name))

    def _get(self, key: str) -> _Snapshot:
        try:
            return self._snapshots[key]
        except KeyError:
            raise NotFound(f"no such snapshot: {key}") from None

    def _empty(self) -> str:
        """A lower folder for images without layers: overlayfs needs one."""
        os.makedirs(os.path.join(self.root, _EMPTY), 0o755, exist_ok=True)
        return f"../snapshots/{_EMPTY}"


def usage_of(folder: str) -> int:
    """The bytes of the files in a tree (hard links once, folders not at all). Tolerates a tree in motion."""
    total = 0
    seen: set[int] = set()
    pending = [folder]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode):
                pending.append(entry.path)
            elif status.st_nlink == 1 or status.st_ino not in seen:
                seen.add(status.st_ino)
                total += status.st_size
    return total


def _is_full(folder: str) -> bool:
    """Whether there is so little space that nothing more may wait for its deletion."""
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize < _ROOM or (space.f_files > 0 and space.f_favail < _INODES)


def _take_after(folder: str, model: os.stat_result) -> None:
    if model.st_uid or model.st_gid:
        os.chown(folder, model.st_uid, model.st_gid)
    os.chmod(folder, stat.S_IMODE(model.st_mode))


def _remove_directory(path: str) -> None:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
