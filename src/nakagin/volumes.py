"""Named volumes: directories that outlive the containers that use them (the "local" driver).

Containers hold the volumes they use (records' holds); nothing held is removed.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from nakagin.errors import Conflict, Invalid, NotFound, Unsupported
from nakagin.spec.labels import has_labels

if TYPE_CHECKING:
    from nakagin.events import EventBus
    from nakagin.storage.records import Records

Document = dict[str, Any]
Documents = list[Document]
Filters = Mapping[str, Sequence[str]]

KIND = "volume"
ANONYMOUS = "com.docker.volume.anonymous"

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_OPTIONS = {"type", "device", "o", "size"}


class Volume(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record of a volume; `driver_options` as given (type, device, o for one that is a mount)."""

    name: str
    created: str
    driver: str = "local"
    driver_options: dict[str, str] = {}
    labels: dict[str, str] = {}
    removing: bool = False


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

    def start(self) -> None:
        """Read the records and finish removals that a crash interrupted."""
        os.makedirs(self._root, mode=0o711, exist_ok=True)
        for _, data in self._records.all(KIND):
            volume = _decode(data)
            self._volumes[volume.name] = volume
        for volume in tuple(self._volumes.values()):
            if volume.removing:
                self._delete(volume)
        for name in set(os.listdir(self._root)) - set(self._volumes):
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
        known = self._volumes.get(name or "")
        if known is not None:
            _check_same(known, driver, options or {})
            return known
        given = dict(labels or {})
        if not name:
            name, given = os.urandom(32).hex(), {ANONYMOUS: "", **given}
        elif not _NAME.fullmatch(name):
            raise Invalid(
                f'"{name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" '
                "are allowed",
                hint="If you intended to pass a host directory, use absolute path",
            )
        if (driver or "local") != "local":
            raise NotFound(f'error looking up volume plugin {driver}: plugin "{driver}" not found')
        _check_options(options or {})
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        volume = Volume(name=name, created=created, driver_options=dict(options or {}), labels=given)
        self._records.put(KIND, name, _encode(volume))
        self._volumes[name] = volume
        # Its parent folder is ours alone: only what is mounted into containers is open to others.
        os.makedirs(os.path.join(self._root, name), mode=0o701, exist_ok=True)
        os.makedirs(self._data(name), mode=0o755, exist_ok=True)
        self._events.publish("volume", "create", name, {"driver": "local"})
        return volume

    def path(self, name: str) -> str:
        """The folder to mount into containers; NotFound."""
        volume = self._get(name)
        if volume.driver_options.get("device"):
            return volume.driver_options["device"]
        return self._data(name)

    def hold(self, name: str, container: str) -> None:
        """Keep the volume as long as the container (full id) exists."""
        self._records.hold(KIND, name, f"container:{container}", f"used by container {container[:12]}")

    def list(self, filters: Filters | None = None) -> Documents:
        """The volumes, by name; filters dangling, driver, label, name."""
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
        self._records.put(KIND, name, _encode(volume))
        self._volumes[name] = volume
        self._delete(volume)
        self._events.publish("volume", "destroy", name, {"driver": "local"})

    def prune(self, filters: Filters | None = None) -> Document:
        """Remove what no container holds; {"VolumesDeleted": [names], "SpaceReclaimed": bytes}.

        Anonymous ones only, unless the filter `all` says otherwise.
        """
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
        """Bytes of the files in it; walks the folder."""
        total, seen = 0, set()
        for folder, _, files in os.walk(self._data(name)):
            for file in files:
                try:
                    status = os.lstat(os.path.join(folder, file))
                except FileNotFoundError:
                    continue
                if status.st_ino not in seen:
                    seen.add(status.st_ino)
                    total += status.st_size
        return total

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
            raise NotFound(f"get {name}: no such volume")
        return volume

    def _data(self, name: str) -> str:
        return os.path.join(self._root, name, "_data")

    def _delete(self, volume: Volume) -> None:
        folder = os.path.join(self._root, volume.name)
        if os.path.lexists(folder):
            shutil.rmtree(folder)
        self._records.delete(KIND, volume.name)
        self._volumes.pop(volume.name, None)

    def _document(self, volume: Volume) -> Document:
        return {
            "CreatedAt": volume.created,
            "Driver": volume.driver,
            "Labels": volume.labels or None,
            "Mountpoint": self._data(volume.name),
            "Name": volume.name,
            "Options": volume.driver_options or None,
            "Scope": "local",
        }


def _check_same(known: Volume, driver: str, options: Mapping[str, str]) -> None:
    if (driver or "local") != known.driver:
        raise Conflict(
            f"create {known.name}: conflict: driver of the existing volume is {known.driver}, not {driver}"
        )
    if options and dict(options) != known.driver_options:
        raise Conflict(f"create {known.name}: conflict: a volume of that name exists with other options")


def _check_options(options: Mapping[str, str]) -> None:
    for name in options:
        if name not in _OPTIONS:
            raise Invalid(f'invalid option: "{name}"', hint=f"known options: {', '.join(sorted(_OPTIONS))}")
    if not options:
        return
    if options.get("type") not in {"none", "", None} or "bind" not in options.get("o", "").split(","):
        raise Unsupported(
            "volumes of a filesystem type of their own are not supported yet", hint="type=none, o=bind"
        )
    if not os.path.isdir(options.get("device", "")):
        raise Invalid(f'the device of a bind volume must be a directory: "{options.get("device", "")}"')


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
            raise Invalid(f"invalid filter '{key}'", hint="dangling, driver, label or name")
