"""Which file systems of this machine a sandbox has a copy of, besides that of `/`.

An overlay shows one file system; what is mounted below it needs an overlay of its own.
"""

from __future__ import annotations

import os

from nakagin.errors import Invalid
from nakagin.kernel.mounttable import mount_id, unescaped
from nakagin.sandbox.secrets import inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

TABLE = "/proc/self/mountinfo"
_DISKS = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "xfs", "zfs"})
# Files that are views of the kernel: a copy of them would be none.
_KERNEL = frozenset(
    {"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs",
     "fusectl", "mqueue", "proc", "pstore", "rpc_pipefs", "securityfs", "selinuxfs", "sysfs", "tracefs"}
)  # fmt: skip


def copied(
    table: Iterable[str], at: Callable[[str], int], folder: str, mode: str, left_out: Sequence[str]
) -> list[str]:
    """The mount points: whole disks, and what the current folder lies on if it is to be written over. Pure.

    `table` are the lines of mountinfo, `at` gives the id of the mount on which a path lies; `folder` is absolute,
    without links, `mode` as in request.MODES; what lies in the paths `left_out` is not seen anyway. Invalid where the
    current folder cannot be had.
    """
    points = _points(table)
    found = {
        point
        for number, (point, _, disk) in points.items()
        if disk
        and not any(inside(point, each) for each in left_out)
        and ":" not in point
        and at(point) == number
    }
    if mode != "overlay":
        return sorted(found - {folder, "/"})
    under, fstype, _ = points.get(at(folder), ("/", "", False))
    if fstype in _KERNEL:
        raise Invalid(
            f"{folder} is the kernel's own ({fstype}), which cannot be copied", hint="go to another folder"
        )
    if ":" in under:
        raise Invalid(f"{under} cannot be copied, for its name has a colon", hint="mount it at another place")
    return sorted((found | {under}) - {"/"})


def _points(table: Iterable[str]) -> dict[int, tuple[str, str, bool]]:
    """The id of each mount → its place, its type, and whether it is a whole disk and another one than that of `/`."""
    found: dict[int, tuple[str, str, str, bool]] = {}
    roots: set[str] = set()
    for line in table:
        # 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
        before, _, after = line.partition(" - ")
        number, _, device, part, point, *_ = before.split(" ")
        fstype, source, superblock = after.rstrip("\n").split(" ", 2)
        point = unescaped(point)
        if point == "/":
            roots.add(device)
        whole = part == "/" or f"subvol={part}" in superblock.split(",")
        # A file that is mounted comes and goes: it is a volume of some engine, or an image that somebody works on.
        disk = fstype in _DISKS and whole and not source.startswith("/dev/loop")
        found[int(number)] = (point, fstype, device, disk)
    return {
        # All subvolumes of a btrfs are one device, and each is a file system to an overlay.
        number: (point, fstype, disk and (device not in roots or fstype == "btrfs"))
        for number, (point, fstype, device, disk) in found.items()
    }


def mount_at(path: str) -> int:
    """The id of the mount on which a path lies; -1 where it cannot be reached."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        return mount_id(fd)
    finally:
        os.close(fd)
