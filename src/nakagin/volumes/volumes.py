"""Named volumes: directories that outlive the containers that use them (the "local" driver).

Containers hold the volumes they use (records' holds); nothing held is removed.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from nakagin.errors import Conflict, Invalid, NotFound, nearest
from nakagin.spec.labels import has_labels
from nakagin.storage import bounded
from nakagin.storage.usage import disk_usage
from nakagin.volumes import mounting
from nakagin.volumes.model import ANONYMOUS, KIND, Mounted, Volume, check_options, mounted, wanted_size

if TYPE_CHECKING:
    from nakagin.events import EventBus
    from nakagin.storage.records import Records

Document = dict[str, Any]
Documents = list[Document]
Filters = Mapping[str, Sequence[str]]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
# It is the name of a folder (NAME_MAX).
_LONGEST_NAME = 255
_FIRST_PROJECT = 0x4E4B0000  # of project quotas; far from what people number by hand


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Volume).decode


class Volumes:
    """All volumes of one engine; documents are shaped as Docker's Volume. Calls block: briefly, but for removal."""

    def __init__(self, records: Records, root: str, events: EventBus) -> None:
        """`root` is the data root; the volumes lie in its folder volumes/."""
        self._records = records
        self._root = os.path.join(root, "volumes")
        self._events = events
        self._volumes: dict[str, Volume] = {}
        self._users: dict[str, set[str]] = {}
        self._making = threading.Lock()
        self._mounting = threading.Lock()
        self._told: set[str] = set()

    def start(self) -> None:
        """Read the records and finish removals that a crash interrupted."""
        os.makedirs(self._root, mode=0o711, exist_ok=True)
        for _, data in self._records.all(KIND):
            volume = _decode(data)
            self._volumes[volume.name] = volume
        for volume in tuple(self._volumes.values()):
            if volume.removing:
                self._delete(volume)
        known = {os.path.basename(self._folder(volume)) for volume in self._volumes.values()}
        for name in set(os.listdir(self._root)) - known:
            bounded.unmount(os.path.join(self._root, name, "_data"))
            shutil.rmtree(os.path.join(self._root, name), ignore_errors=True)

    def create(
        self,
        name: str | None = None,
        *,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Document:
        """Make it, or return the one of that name; without a name an anonymous one with a 64-hex name.

        Raises Invalid (name, options), Conflict (the same name with other options or driver), NotFound (driver).
        """
        return self._document(self.ensure(name, driver=driver, options=options, labels=labels))

    def ensure(
        self,
        name: str | None,
        *,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """As `create`, but returns the record."""
        with self._making:
            return self._ensure(name, driver, options or {}, labels or {})

    def _ensure(
        self, name: str | None, driver: str, options: Mapping[str, str], labels: Mapping[str, str]
    ) -> Volume:
        known = self._volumes.get(name or "")
        if known is not None:
            _check_same(known, driver, options)
            return known
        given = dict(labels)
        if not name:
            name, given = os.urandom(32).hex(), {ANONYMOUS: "", **given}
        else:
            _check_name(name)
        if (driver or "local") != "local":
            raise NotFound(f'error looking up volume plugin {driver}: plugin "{driver}" not found')
        given_options = dict(options)
        check_options(given_options)
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        volume = Volume(
            name=name,
            created=created,
            driver_options=given_options,
            labels=given,
            folder=self._free_folder(name),
        )
        # Its parent folder is ours alone: only what is mounted into containers is open to others. A crash before
        # the record is written leaves a folder that the next start sweeps.
        os.makedirs(self._folder(volume), mode=0o701, exist_ok=True)
        os.makedirs(self._data(volume), mode=0o755, exist_ok=True)
        if size := wanted_size(given_options):
            taken = {each.limit.project for each in self._volumes.values() if each.limit}
            project = bounded.free_project(_FIRST_PROJECT, taken)
            limit = mounting.make_limit(self._folder(volume), self._data(volume), size, project)
            volume = msgspec.structs.replace(volume, limit=limit)
        self._save(volume)
        self._events.publish("volume", "create", name, {"driver": "local"})
        return volume

    def _free_folder(self, name: str) -> str:
        """Where a new volume lies: "" for its name, which a renamed one may still have."""
        taken = {os.path.basename(self._folder(volume)) for volume in self._volumes.values()}
        return f"{name}-{os.urandom(4).hex()}" if name in taken else ""

    def _save(self, volume: Volume) -> None:
        self._records.put(KIND, volume.name, _encode(volume))
        self._volumes[volume.name] = volume

    # --- Use

    def path(self, name: str) -> str:
        """The folder to mount into containers, while they `use` it; NotFound."""
        return self._place(self._get(name))

    def _place(self, volume: Volume) -> str:
        what = mounted(volume.driver_options)
        return what.device if what is not None and what.is_plain_bind else self._data(volume)

    def use(self, name: str, user: str) -> str:
        """Make the volume ready for `user` (any word) and return its folder. Again by the same user is fine.

        Blocks; raises NotFound, StepFailed (it cannot be mounted), Invalid.
        """
        volume = self._get(name)
        place, what = self._place(volume), mounted(volume.driver_options)
        with self._mounting:
            self._make_ready(volume, place, what)
            self._users.setdefault(name, set()).add(user)
        return place

    def _make_ready(self, volume: Volume, place: str, what: Mounted | None) -> None:
        name = volume.name
        if what is not None and what.is_plain_bind:
            mounting.check_folder(name, place)
        elif self._is_mount(volume) and not bounded.is_mounted(place):
            if what is not None:
                mounting.mount_volume(name, what, place)
            else:
                mounting.mount_image(name, self._folder(volume), place)

    def end_use(self, name: str, user: str) -> None:
        """The user is gone; after the last one, what was mounted is unmounted. Fine if it never used it."""
        with self._mounting:
            users = self._users.get(name, set())
            users.discard(user)
            volume = self._volumes.get(name)
            if not users and volume is not None and self._is_mount(volume):
                self._users.pop(name, None)
                bounded.unmount(self._data(volume))

    @contextmanager
    def used(self, name: str, user: str) -> Iterator[str]:
        """Its folder, ready for the length of the context."""
        place = self.use(name, user)
        try:
            yield place
        finally:
            self.end_use(name, user)

    def settle(self) -> None:
        """Once it is known which containers live: unmount what an earlier engine left for others."""
        for name, volume in self._volumes.items():
            if self._is_mount(volume) and not self._users.get(name):
                bounded.unmount(self._data(volume))

    def is_mount(self, name: str) -> bool:
        """Whether it is mounted for its first user, which may take a moment; NotFound."""
        return self._is_mount(self._get(name))

    def users(self, name: str) -> set[str]:
        """Who uses it now."""
        return set(self._users.get(name, ()))

    def _is_mount(self, volume: Volume) -> bool:
        if volume.limit is not None and volume.limit.by == "file":
            return True
        what = mounted(volume.driver_options)
        return what is not None and not what.is_plain_bind

    def check_limits(self) -> None:
        """Tell of volumes that have outgrown a limit which nothing enforces; once, until they are within it again."""
        for name, volume in tuple(self._volumes.items()):
            if volume.limit is None or volume.limit.by != "watch":
                continue
            size = self.usage(name)
            if size <= volume.limit.size:
                self._told.discard(name)
            elif name not in self._told:
                self._told.add(name)
                attributes = {"driver": "local", "size": str(size), "limit": str(volume.limit.size)}
                self._events.publish("volume", "limit-exceeded", name, attributes)

    def hold(self, name: str, container: str) -> None:
        """Keep the volume as long as the container (full id) exists."""
        self._records.hold(KIND, name, f"container:{container}", f"used by container {container[:12]}")

    def let_go(self, name: str, container: str) -> None:
        """End that container's hold."""
        self._records.release_hold(KIND, name, f"container:{container}")

    def __contains__(self, name: object) -> bool:
        return name in self._volumes

    def list(self, filters: Filters | None = None) -> Documents:
        """The volumes, by name; filters dangling, driver, label, name. Raises Invalid for others."""
        _check_filters(filters, ("dangling", "driver", "label", "name"))
        held = self._records.held(KIND) if "dangling" in (filters or {}) else set()
        return [
            self._document(volume)
            for _, volume in sorted(self._volumes.items())
            if all(_matches(volume, key, values, held) for key, values in (filters or {}).items() if values)
        ]

    def inspect(self, name: str) -> Document:
        """The document of GET /volumes/{name}; NotFound."""
        return self._document(self._get(name))

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove it with its content; Conflict if a container holds it; with `force` an unknown name is no error."""
        if force and name not in self._volumes:
            return
        volume = self._get(name)
        holders = self._records.holders(KIND, name)
        if holders:
            users = ", ".join(hold.holder.partition(":")[2] for hold in holders)
            raise Conflict(
                f"remove {name}: volume is in use - [{users}]", hint="remove those containers first"
            )
        volume = msgspec.structs.replace(volume, removing=True)
        self._save(volume)
        self._delete(volume)
        self._events.publish("volume", "destroy", name, {"driver": "local"})

    def rename(self, name: str, wanted: str, also: Callable[[], None]) -> None:
        """Give it another name; its files stay where they are. `also` writes what else knows the name, in one commit.

        NotFound, Invalid, Conflict (the name is taken).
        """
        volume = self._get(name)
        _check_name(wanted)
        if wanted in self._volumes:
            raise Conflict(f"rename {name}: a volume named {wanted} exists already")
        renamed = msgspec.structs.replace(volume, name=wanted, folder=volume.folder or name)
        with self._records.transaction():
            self._records.put(KIND, wanted, _encode(renamed))
            for hold in self._records.holders(KIND, name):
                self._records.hold(KIND, wanted, hold.holder, hold.reason)
                self._records.release_hold(KIND, name, hold.holder)
            self._records.delete(KIND, name)
            also()
        self._volumes[wanted] = renamed
        del self._volumes[name]
        if users := self._users.pop(name, None):
            self._users[wanted] = users
        self._events.publish("volume", "rename", wanted, {"driver": "local", "oldName": name})

    def prune(self, filters: Filters | None = None) -> Document:
        """Remove what no container holds; {"VolumesDeleted": [names], "SpaceReclaimed": bytes}.

        Anonymous ones only, unless the filter `all` says otherwise; others are label and label!.
        """
        _check_filters(filters, ("all", "label", "label!"))
        wanted = dict(filters or {})
        everything = any(value.lower() in {"1", "true"} for value in wanted.pop("all", ()))
        held = self._records.held(KIND)
        deleted, freed = [], 0
        for name, volume in sorted(self._volumes.items()):
            if name in held or not (everything or ANONYMOUS in volume.labels):
                continue
            if not all(_matches(volume, key, values, held) for key, values in wanted.items() if values):
                continue
            size = self.usage(name)
            self.remove(name)
            deleted.append(name)
            freed += size
        self._events.publish("volume", "prune", "", {"reclaimed": str(freed)})
        return {"VolumesDeleted": deleted, "SpaceReclaimed": freed}

    def usage(self, name: str) -> int:
        """The bytes that it takes on the disk; walks the folder."""
        return disk_usage(self._folder(self._get(name)))

    def disk_usage(self) -> Documents:
        """The documents of all volumes with UsageData, for GET /system/df."""
        return [
            self._document(volume)
            | {"UsageData": {"Size": self.usage(name), "RefCount": len(self._records.holders(KIND, name))}}
            for name, volume in sorted(self._volumes.items())
        ]

    def _get(self, name: str) -> Volume:
        volume = self._volumes.get(name)
        if volume is None:
            raise NotFound(f"get {name}: no such volume", hint=nearest(name, self._volumes))
        return volume

    def _folder(self, volume: Volume) -> str:
        return os.path.join(self._root, volume.folder or volume.name)

    def _data(self, volume: Volume) -> str:
        return os.path.join(self._folder(volume), "_data")

    def _delete(self, volume: Volume) -> None:
        folder = self._folder(volume)
        # What is mounted is somebody else's: it must not be there when the folder is deleted.
        bounded.unmount(self._data(volume))
        if os.path.lexists(folder):
            shutil.rmtree(folder)
        bounded.unbound(self._root, volume.limit)
        self._records.delete(KIND, volume.name)
        self._volumes.pop(volume.name, None)

    def _document(self, volume: Volume) -> Document:
        document: Document = {
            "CreatedAt": volume.created,
            "Driver": volume.driver,
            "Labels": volume.labels or None,
            "Mountpoint": self._data(volume),
            "Name": volume.name,
            "Options": volume.driver_options or None,
            "Scope": "local",
        }
        if volume.limit is not None:
            document["Status"] = {"Limit": volume.limit.size, "LimitedBy": volume.limit.by}
        return document


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid(
            f'"{name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" '
            "are allowed",
            hint="If you intended to pass a host directory, use absolute path",
        )
    if len(name) > _LONGEST_NAME:
        raise Invalid(f"the volume name is too long: {len(name)} characters", hint=f"at most {_LONGEST_NAME}")


def _check_same(known: Volume, driver: str, options: Mapping[str, str]) -> None:
    if (driver or "local") != known.driver:
        raise Conflict(
            f"create {known.name}: conflict: driver of the existing volume is {known.driver}, not {driver}"
        )
    if options and dict(options) != known.driver_options:
        raise Conflict(f"create {known.name}: conflict: a volume of that name exists with other options")


def _check_filters(filters: Filters | None, known: Sequence[str]) -> None:
    for key in filters or ():
        if key not in known:
            raise Invalid(f"invalid filter '{key}'", hint=f"known filters: {', '.join(known)}")


def _matches(volume: Volume, key: str, values: Sequence[str], held: set[str]) -> bool:
    match key:
        case "dangling":
            return (volume.name not in held) == any(value.lower() in {"1", "true"} for value in values)
        case "driver":
            return volume.driver in values
        case "name":
            return any(value in volume.name for value in values)
        case "label":
            return has_labels(volume.labels, values)
        case "label!":
            return not any(has_labels(volume.labels, [value]) for value in values)
        case _:
            raise AssertionError(f"an unchecked filter: {key}")
