"""Folders that cannot outgrow a size: by a project quota, or as a file system of their own in a file.

Which one it is is decided when the folder is made, and recorded. Everything here blocks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Literal

import msgspec

from nakagin.errors import StepFailed
from nakagin.kernel import abi, loopdevice, mount, paths, quota

SMALLEST = 8 << 20

_PATIENCE = 120
_TOOLS = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin"


class Limit(msgspec.Struct, frozen=True):
    """How large a folder may become, in bytes. "quota" is the file system's own (of `project`), "file" a file system in
    a file, and with "watch" nothing enforces it: whoever asked for it looks now and then, and tells.
    """

    size: int
    by: Literal["quota", "file", "watch"]
    project: int = 0


def best_for(folder: str) -> Literal["quota", "file", "watch"]:
    """What this machine has to bound something in `folder`."""
    if quota.is_counted(folder):
        return "quota"
    has_disks = shutil.which("mkfs.ext4", path=_TOOLS) and os.path.exists("/dev/loop-control")
    return "file" if has_disks else "watch"


def free_project(first: int, taken: set[int]) -> int:
    """A number for a project quota from `first` on that is none of the `taken` ones."""
    return next(number for number in range(first, 1 << 32) if number not in taken)


def bound(folder: str, limit: Limit) -> None:
    """Set a quota on the empty directory; all that will be made below counts. Raises OSError."""
    quota.limit(folder, limit.project, limit.size)


def unbound(folder: str, limit: Limit | None) -> None:
    """Forget the quota of what is to be deleted; fine where there is none. `folder` may be any of that file system."""
    if limit is not None and limit.by == "quota":
        try:
            quota.set_size(folder, limit.project, 0)
        except OSError:
            pass  # the file system is mounted without quotas now


def make_disk(path: str, size: int) -> None:
    """A file system in a sparse file, with next to nothing kept back for itself. It, or StepFailed and nothing."""
    options = ["-q", "-F", "-m", "0", "-O", "^has_journal" if size < 1 << 28 else "has_journal"]
    options += ["-E", "root_owner=0:0,nodiscard"]
    try:
        with open(path, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.truncate(size)
        subprocess.run(
            [shutil.which("mkfs.ext4", path=_TOOLS) or "mkfs.ext4", *options, path],
            check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_PATIENCE,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        if os.path.lexists(path):
            os.unlink(path)
        words = getattr(error, "stderr", "") or str(error)
        raise StepFailed(f"make a file system of {size} bytes in {path}", words.strip()) from error


def mount_disk(path: str, place: str) -> None:
    """Mount the file system in the file on the directory `place`; fine if it is mounted. Raises OSError."""
    if is_mounted(place):
        return
    device, name = loopdevice.attach(path)
    try:
        mount.mount(name, place, "ext4", 0)
    finally:
        os.close(device)
    # It is empty when it is new.
    lost = os.path.join(place, "lost+found")
    if os.path.isdir(lost) and os.listdir(place) == ["lost+found"]:
        os.rmdir(lost)


def is_mounted(place: str) -> bool:
    """Whether something is mounted on the directory."""
    try:
        return paths.is_mount_point(place)
    except OSError:
        return False


def unmount(place: str) -> None:
    """Unmount it; fine if nothing is mounted. What a process still has open stays until it is closed.

    Raises StepFailed where it stays mounted: nothing below may be deleted then.
    """
    try:
        while is_mounted(place):
            mount.umount(place, abi.MNT_DETACH)
    except OSError as error:
        raise StepFailed(f"unmount {place}", error.strerror or str(error), errno=error.errno or 0) from error
