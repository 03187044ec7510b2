"""What a container's mounts come from, made ready for a start: volumes in use, images, and parts of both.

What is not simply a folder of the machine is mounted below the exec root for the life of the container. A part of a
volume (`volume-subpath`) is found inside it, whatever links somebody put there: the container gets what was found,
not a path (CVE-2023-5528 and its kin).
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from nakagin.containers import overlays
from nakagin.errors import Conflict, Invalid, StepFailed
from nakagin.kernel import abi, mount, namespaces, paths

if TYPE_CHECKING:
    from nakagin.containers.model import Container, MountSpec
    from nakagin.containers.shelf import Shelf
    from nakagin.containers.surroundings import Surroundings


def prepare(around: Surroundings, record: Container) -> tuple[MountSpec, ...]:
    """The container's mounts with the host paths that are to be bound; `release` undoes it. Blocking.

    Raises Invalid (a subpath that is not there), StepFailed, OSError.
    """
    found = []
    for number, spec in enumerate(record.mounts):
        if spec.overlay:
            found.append(overlays.prepare(around, record, number))
            continue
        if spec.type == "volume":
            around.volumes.use(spec.name, record.id)
        if spec.type == "image" or spec.subpath:
            place = os.path.join(_pins(around, record), str(number))
            try:
                _pin(around, spec, place)
            except OSError as error:
                raise StepFailed(
                    f"mount {spec.name} for {spec.target}", str(error), errno=error.errno or 0
                ) from error
            spec = msgspec.structs.replace(spec, source=place)
        found.append(spec)
    return tuple(found)


def takes_time(around: Surroundings, record: Container) -> bool:
    """Whether `prepare` has anything to mount."""
    return any(
        spec.type == "image" or spec.subpath or (spec.type == "volume" and around.volumes.is_mount(spec.name))
        for spec in record.mounts
    )


def release(around: Surroundings, record: Container) -> None:
    """Let go of what `prepare` made; fine if it is gone, or was made by an earlier engine."""
    for spec in record.mounts:
        if spec.type == "volume":
            around.volumes.end_use(spec.name, record.id)
    pins = _pins(around, record)
    if not os.path.lexists(pins):
        return
    for name in sorted(os.listdir(pins)):
        place = os.path.join(pins, name)
        while paths.is_mount_point(place):
            mount.umount(place, abi.MNT_DETACH)
        # Only the empty place: what would still be mounted there is somebody's data.
        (os.rmdir if os.path.isdir(place) else os.unlink)(place)
    os.rmdir(pins)


def _pins(around: Surroundings, record: Container) -> str:
    return os.path.join(around.exec_root, "pins", record.id)


def _pin(around: Surroundings, spec: MountSpec, place: str) -> None:
    os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
    if spec.type != "image":
        _pin_part(spec, spec.source, place)
        return
    whole = f"{place}.image"
    os.makedirs(whole, exist_ok=True)
    mount_layers(*around.snapshots.layer_folders(spec.chain), whole)
    _pin_part(spec, whole, place)


def _pin_part(spec: MountSpec, whole: str, place: str) -> None:
    """Mount `spec.subpath` of the tree `whole`, or all of it, at `place`."""
    part = open_part(spec, whole)
    try:
        if stat.S_ISDIR(os.fstat(part).st_mode):
            os.makedirs(place, exist_ok=True)
        else:
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        tree = mount.open_tree(part, recursive=True)
        try:
            target = os.open(place, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                mount.move_mount(tree, target)
            finally:
                os.close(target)
        finally:
            os.close(tree)
    finally:
        os.close(part)


def open_part(spec: MountSpec, whole: str) -> int:
    """An O_PATH descriptor of `spec.subpath` inside the tree `whole`. Raises Invalid where it is not there."""
    root = os.open(whole, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return paths.open_in_root(root, spec.subpath or ".", os.O_PATH)
    except OSError as error:
        raise Invalid(
            f"cannot access path {spec.subpath} of {spec.type} {spec.name}: {error.strerror}",
            hint=f"make it first: it is to be mounted at {spec.target}",
        ) from error
    finally:
        os.close(root)


def mount_layers(cwd: str, folders: Sequence[str], place: str) -> None:
    """Mount the merged layer folders (names relative to `cwd`, topmost first) read-only. Blocking; raises OSError."""
    failure: list[OSError] = []

    def work() -> None:
        try:
            # Relative names keep the options within one page; so this thread needs a working directory of its own.
            namespaces.unshare(abi.CLONE_FS)
            os.chdir(cwd)
            if len(folders) == 1:  # overlayfs wants two, or something to write to
                mount.mount(folders[0], place, None, abi.MS_BIND)
                mount.mount(None, place, None, abi.MS_BIND | abi.MS_REMOUNT | abi.MS_RDONLY)
            else:
                mount.mount("overlay", place, "overlay", abi.MS_RDONLY, f"lowerdir={':'.join(folders)}")
        except OSError as error:
            failure.append(error)

    thread = threading.Thread(target=work, name="layers")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]


class VolumeNames:
    """New names for volumes, in the records of the containers that have them too."""

    def __init__(self, shelf: Shelf, around: Surroundings) -> None:
        self._shelf = shelf
        self._around = around

    def rename(self, name: str, wanted: str) -> None:
        """Give a volume another name. Conflict if a container runs on it, or the name is taken; NotFound, Invalid."""
        having = [
            capsule for capsule in self._shelf
            if any(spec.type == "volume" and spec.name == name for spec in capsule.record.mounts)
        ]  # fmt: skip
        if running := next((each.record for each in having if each.record.running), None):
            raise Conflict(
                f"rename {name}: the volume is used by the running container {running.name}",
                hint="stop it first",
            )

        if self._around.volumes.users(name):
            raise Conflict(f"rename {name}: the volume is in use at this moment")

        def save_all() -> None:
            for capsule in having:
                self._shelf.save(capsule, _with_renamed(capsule.record, name, wanted))

        self._around.volumes.rename(name, wanted, save_all)


def _with_renamed(record: Container, name: str, wanted: str) -> Container:
    """The record of a container whose volume `name` is now called `wanted`; also in what was asked for."""
    host = record.host_config
    return msgspec.structs.replace(
        record,
        mounts=tuple(
            msgspec.structs.replace(spec, name=wanted)
            if spec.type == "volume" and spec.name == name
            else spec
            for spec in record.mounts
        ),
        host_config=msgspec.structs.replace(
            host,
            binds=tuple(
                f"{wanted}{bind[len(name) :]}" if bind.startswith(f"{name}:") else bind for bind in host.binds
            ),
            mounts=tuple(
                msgspec.structs.replace(each, source=wanted)
                if each.type == "volume" and each.source == name
                else each
                for each in host.mounts
            ),
        ),
    )
