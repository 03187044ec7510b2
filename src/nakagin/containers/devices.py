"""Device nodes of the host: those a request names, and all of them for a privileged container."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nakagin.errors import Invalid

if TYPE_CHECKING:
    from nakagin.spec import docker
    from nakagin.spec import runtime as oci

_NOT_FOR_CONTAINERS = {"pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev", "bus"}
_STANDARD = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "core", "stdin", "stdout", "stderr"}


def requested(mappings: Iterable[docker.DeviceMapping]) -> list[tuple[oci.Device, str]]:
    """The nodes of `--device`, each with its permissions; a folder stands for all devices in it."""
    found: list[tuple[oci.Device, str]] = []
    for mapping in mappings:
        inside = mapping.path_in_container or mapping.path_on_host
        access = mapping.cgroup_permissions or "rwm"
        if set(access) - set("rwm"):
            raise Invalid(f"invalid device mode: {access}", hint="a combination of r, w and m")
        path = os.path.realpath(mapping.path_on_host)
        if os.path.isdir(path):
            below = [(device, access) for device in _devices_below(path, inside)]
            if not below:
                raise Invalid(
                    f'error gathering device information while adding custom device "{path}": no device nodes'
                )
            found += below
            continue
        found.append((node(path, inside), access))
    return found


def node(path: str, inside: str) -> oci.Device:
    """The device at `path` on the host, to be made at `inside`. Raises Invalid where there is none."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise Invalid(
            f'error gathering device information while adding custom device "{path}": {(error.strerror or "").lower()}'
        ) from None
    kind = _kind(status.st_mode)
    if not kind:
        raise Invalid(
            f'error gathering device information while adding custom device "{path}": not a device node'
        )
    return _describe(status, kind, inside)


def _kind(mode: int) -> str:
    return "c" if stat.S_ISCHR(mode) else "b" if stat.S_ISBLK(mode) else ""


def _describe(status: os.stat_result, kind: str, inside: str) -> oci.Device:
    return {
        "type": kind, "path": inside, "major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode), "uid": status.st_uid, "gid": status.st_gid,
    }  # fmt: skip


def all_of_host() -> list[tuple[oci.Device, str]]:
    """Every device node below /dev that a container does not have by itself."""
    return [(device, "rwm") for device in _devices_below("/dev", "/dev")]


def _devices_below(folder: str, inside: str) -> list[oci.Device]:
    found: list[oci.Device] = []
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return []
    for entry in entries:
        if folder == "/dev" and entry.name in _NOT_FOR_CONTAINERS | _STANDARD:
            continue
        target = f"{inside}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            found += _devices_below(entry.path, target)
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if kind := _kind(status.st_mode):
            found.append(_describe(status, kind, target))
    return found


def block_numbers(paths: Iterable[str]) -> dict[str, tuple[int, int]]:
    """(major, minor) of each device path that a limit names; Invalid where one is no device."""
    numbers = {}
    for path in paths:
        try:
            status = os.stat(path)
        except OSError as error:
            raise Invalid(f"cannot limit the device {path}: {error.strerror}") from None
        if not _kind(status.st_mode):
            raise Invalid(f"cannot limit {path}: it is not a device")
        numbers[path] = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return numbers
