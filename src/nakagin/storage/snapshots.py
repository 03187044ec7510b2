"""Snapshots: what a container writes, over the layers of its image, mounted by overlayfs.

No overlay is ever mounted here: `mounts` is data, the runtime mounts it inside the container's own mount
namespace, so that the mounts are gone when the container is.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
import threading
from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Conflict, Exhausted, Invalid, NotFound, Unsupported
from nakagin.kernel.inodes import spread_unjournaled
from nakagin.spec.digest import ChainID
from nakagin.storage import bounded, overlay
from nakagin.storage.bounded import Limit
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
# The lowest of all layers: the places of what every container has mounted. An image that has them, or something else
# there, hides it; where it is missing nothing need be made in a writable layer at each start.
_PLACES = "places"
_FOLDERS = ("dev", "etc", "proc", "sys")
# The last is nobody's place: by it programs know that they run in a container.
_FILES = {"etc/hostname": 0o644, "etc/hosts": 0o644, "etc/resolv.conf": 0o644, ".dockerenv": 0o755}
_FIRST_PROJECT = 0x5E4B0000  # of project quotas; far from those of volumes

_log = logging.getLogger(__name__)


class _Snapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    chain: ChainID | None
    volatile: bool = False
    limit: Limit | None = None


_decode = msgspec.json.Decoder(_Snapshot).decode


class Snapshots:
    """The active snapshots below one data root: `snapshots/<key>/{upper,work}`; `places` is the layer below all.

    One that is bounded without quotas is a file system of its own, in `.<key>.disk` beside it, that is mounted on
    `<key>` as long as it is there and the engine runs: whoever reads the folder sees the same files.
    """

    def __init__(self, root: str, records: Records, layers: Layers) -> None:
        """`root` is the data root."""
        self.root = os.path.join(root, "snapshots")
        os.makedirs(self.root, mode=0o710, exist_ok=True)
        spread_unjournaled(self.root)
        self._records = records
        self._layers = layers
        self._trash = Trash(root)
        self._snapshots = {key: _decode(data) for key, data in records.all(KIND)}
        self._options = overlay.options()
        _make_places(os.path.join(root, _PLACES))
        self._reserved: dict[str, Limit] = {}  # of what is not there yet, or no more
        self._reserving = threading.Lock()

    def reserve(self, key: str, size: int) -> None:
        """Ready what bounds the layer that `prepare` is to make to `size` bytes; `remove` takes it away again.

        Takes the time of a mkfs where the disk has no project quotas. Raises Unsupported, StepFailed.
        """
        by = bounded.best_for(self.root)
        if by == "watch":
            raise Unsupported(
                "the files of a container cannot be bounded on this machine",
                hint="a disk mounted with prjquota, or mkfs.ext4 and loop devices",
            )
        if by == "file":
            bounded.make_disk(self._disk(key), size)
        with self._reserving:
            known = [
                *self._reserved.values(),
                *(each.limit for each in self._snapshots.values() if each.limit),
            ]
            project = bounded.free_project(_FIRST_PROJECT, {each.project for each in known})
            self._reserved[key] = Limit(size, by, project if by == "quota" else 0)

    def prepare(self, key: str, chain: str | None, *, volatile: bool = False) -> None:
        """Make an empty writable layer over `chain` (None: over nothing), bounded where `reserve` was asked before.

        `volatile` is for containers that are removed when they end: overlayfs then never syncs, so their end
        does not wait for the disk. Raises Conflict (the key is taken), NotFound (no such layer), Invalid.
        """
        if not _KEY.fullmatch(key):
            raise Invalid(f"invalid snapshot key {key!r}")
        if key in self._snapshots:
            raise Conflict(f"a snapshot with the key {key} exists already")
        stack = self._layers.stack(chain)
        snapshot = _Snapshot(ChainID(chain) if chain else None, volatile, self._reserved.get(key))
        # The record is the intent: from here on `remove`, and the next start, know of it.
        self._records.put(KIND, key, msgspec.json.encode(snapshot))
        self._snapshots[key] = snapshot
        base = os.path.join(self.root, key)
        try:
            os.mkdir(base, 0o710)
            self._bound(key, snapshot.limit)
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

    def _bound(self, key: str, limit: Limit | None) -> None:
        """Bound the new, empty folder of a snapshot."""
        base = os.path.join(self.root, key)
        if limit is not None and limit.by == "file":
            bounded.mount_disk(self._disk(key), base)
            os.chmod(base, 0o710)  # noqa: S103  as every snapshot's
        elif limit is not None:
            bounded.bound(base, limit)

    def _disk(self, key: str) -> str:
        return os.path.join(self.root, f".{key}.disk")

    def mounts(self, key: str, destination: str = "/") -> tuple[str, Sequence[Mount]]:
        """The folder to change to, and the mounts (relative to it) that make the root file system.

        Relative names keep the options below one page and free of whatever the data root's path contains.
        """
        snapshot = self._get(key)
        stack = self._layers.stack(snapshot.chain)
        lower = ":".join([*(layer.folder for layer in stack), f"../{_PLACES}"])
        own = f"../snapshots/{key}"
        options = [f"lowerdir={lower}", f"upperdir={own}/upper", f"workdir={own}/work", *self._options]
        if snapshot.volatile:
            options.append("volatile")
            # Left by the mount before; overlayfs refuses what may have lost writes in a crash of the machine.
            # A container whose machine crashed is started again only if the engine decides so.
            if os.path.lexists(mark := os.path.join(self.root, key, _VOLATILE_MARK)):
                shutil.rmtree(mark)
        if len(",".join(options)) > _LONGEST_OPTIONS:
            raise Unsupported(f"an image of {len(stack)} layers is too high to mount", hint="flatten it")
        mount: Mount = {
            "type": "overlay",
            "source": "overlay",
            "destination": destination,
            "options": options,
        }
        return self._layers.root, [mount]

    def folders(self, key: str) -> tuple[str, list[str]]:
        """The folder to change to, and the names there of what is written and the layers below, topmost first."""
        stack = self._layers.stack(self._get(key).chain)
        return self._layers.root, [f"../snapshots/{key}/upper", *(layer.folder for layer in stack)]

    def layer_folders(self, chain: str) -> tuple[str, list[str]]:
        """The folder to change to, and the names there of an image's layers, topmost first. Raises NotFound."""
        return self._layers.root, [layer.folder for layer in self._layers.stack(chain)]

    def forget(self, key: str) -> None:
        """Drop the record alone, perhaps in the caller's transaction; `remove`, or the next start, does the rest."""
        snapshot = self._snapshots.pop(key, None)
        if snapshot is not None:
            self._records.delete(KIND, key)
            if snapshot.limit is not None:
                self._reserved[key] = snapshot.limit

    def remove(self, key: str) -> None:
        """Forget the snapshot; its files go to the trash, which `empty_trash` deletes. Fine if it is gone."""
        self.forget(key)
        self._clear(key)
        if _is_full(self.root):
            self.empty_trash()

    def _clear(self, key: str) -> None:
        base, disk = os.path.join(self.root, key), self._disk(key)
        limit = self._reserved.pop(key, None)
        if os.path.lexists(disk):
            bounded.unmount(base)
            self._trash.take(disk)
        self._trash.take(base)
        bounded.unbound(self.root, limit)

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

    def lower_sizes(self, key: str) -> list[int]:
        """The bytes of the files in each of these layers. Raises NotFound."""
        return [layer.size for layer in self._layers.stack(self._get(key).chain)]

    def usage(self, key: str) -> int:
        """The bytes of the files that were written (hard links once, folders not at all)."""
        return usage_of(self.upper(key))

    def all(self) -> list[str]:
        """The keys, in order."""
        return sorted(self._snapshots)

    def names(self) -> set[str]:
        """What belongs into the folder `root`."""
        disks = {self._disk(key) for key, each in self._snapshots.items() if each.limit is not None}
        return {*self._snapshots, *map(os.path.basename, disks)}

    def chains(self) -> set[ChainID]:
        """The layers that snapshots stand on."""
        return {snapshot.chain for snapshot in self._snapshots.values() if snapshot.chain}

    def sweep(self, needed: Iterable[str]) -> None:
        """Remove every snapshot but the needed ones."""
        for key in set(self._snapshots) - set(needed):
            self.remove(key)

    def recover(self) -> None:
        """At start: forget snapshots without files, and files without a record; mount what is a file system."""
        for key in self.all():
            snapshot = self._snapshots[key]
            if snapshot.limit is not None and snapshot.limit.by == "file":
                self._find_disk(key)
            elif not os.path.isdir(os.path.join(self.root, key, "upper")):
                self.remove(key)
        for name in os.listdir(self.root):
            if name.startswith(".") and name.endswith(".disk"):
                name = name[1:].removesuffix(".disk")
            if name not in self._snapshots:
                self._clear(name)

    def _find_disk(self, key: str) -> None:
        """Mount a snapshot's file system again; without its file, or if nothing was made in it yet, it is forgotten."""
        place = os.path.join(self.root, key)
        try:
            bounded.mount_disk(self._disk(key), place)
        except FileNotFoundError:
            self.remove(key)
        except OSError as error:
            _log.warning("cannot mount the files of %s: %s", key, error)
        else:
            if not os.path.isdir(os.path.join(place, "upper")):
                self.remove(key)

    def let_go(self) -> None:
        """Unmount what is mounted; `recover` mounts it again."""
        for key, snapshot in self._snapshots.items():
            if snapshot.limit is not None and snapshot.limit.by == "file":
                bounded.unmount(os.path.join(self.root, key))

    def _get(self, key: str) -> _Snapshot:
        try:
            return self._snapshots[key]
        except KeyError:
            raise NotFound(f"no such snapshot: {key}") from None


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


def _make_places(folder: str) -> None:
    for name in _FOLDERS:
        os.makedirs(os.path.join(folder, name), mode=0o755, exist_ok=True)
    for name, mode in _FILES.items():
        os.close(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, mode))
