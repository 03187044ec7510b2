"""Volumes that are file systems of their own: mounted on their folder while a container uses them.

They are the only mounts of the engine's that the machine's mount table shows: all containers that use the volume
share one. A new engine finds them there.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from nakagin.errors import Invalid, StepFailed
from nakagin.kernel import abi, mount
from nakagin.storage import bounded
from nakagin.storage.bounded import Limit

if TYPE_CHECKING:
    from nakagin.volumes.model import Mounted

_IMAGE = "disk.ext4"


def check_folder(name: str, device: str) -> None:
    """Raise StepFailed, in Docker's words, where the folder that a volume stands for is not there."""
    if not os.path.isdir(device):
        raise StepFailed(
            f"error while mounting volume '{name}': failed to mount local volume: mount {device}",
            "not a directory" if os.path.lexists(device) else "no such file or directory",
            hint="the volume's device must be a folder of this machine",
        )


def mount_volume(name: str, what: Mounted, place: str) -> None:
    """Mount it. Raises StepFailed with the words of the kernel, Invalid for an address without an answer."""
    data = what.data
    if host := what.address:
        data = ",".join(
            f"addr={_resolve(host)}" if word == f"addr={host}" else word for word in data.split(",")
        )
    try:
        mount.mount(what.device, place, what.type or None, what.flags, data or None)
        if what.is_bind and what.flags & abi.MS_RDONLY:
            mount.mount(None, place, None, what.flags | abi.MS_REMOUNT)
    except OSError as error:
        raise StepFailed(
            f"mount the volume {name} ({what.device}, type {what.type or 'none'}, {data or 'no options'})",
            error.strerror or str(error),
            errno=error.errno or 0,
        ) from error


def _resolve(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None)[0][4][0])
    except OSError as error:
        raise Invalid(f"error resolving passed in network volume address: {host}: {error}") from None


def make_limit(folder: str, data: str, size: int, project: int) -> Limit:
    """Bound the new, empty volume in `folder` (its files: `data`) by the best that this machine has."""
    limit = Limit(size, by := bounded.best_for(data), project if by == "quota" else 0)
    if by == "quota":
        bounded.bound(data, limit)
    elif by == "file":
        bounded.make_disk(os.path.join(folder, _IMAGE), size)
    return limit


def mount_image(name: str, folder: str, place: str) -> None:
    """Mount the file system in the volume's file. Raises StepFailed."""
    try:
        bounded.mount_disk(os.path.join(folder, _IMAGE), place)
    except OSError as error:
        raise StepFailed(f"mount the volume {name}", str(error), errno=error.errno or 0) from error
