"""Which control group hierarchies this machine offers and where they are mounted.

`detect` reads the mount table once; everything else in this room asks the Layout and never looks again.
Four modes exist: "v2" (one unified hierarchy), "v1" (one per controller), "hybrid" (v1 controllers with a
v2 hierarchy beside them) and "none" (nothing mounted or nothing writable: containers run unlimited).
"""

from __future__ import annotations

import os

from nakagin.kernel.mounttable import unescaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Literal

    Mode = Literal["v2", "v1", "hybrid", "none"]

# What the v2 core does without a controller of its own: freezing, killing, device programs (BPF).
_ALWAYS_IN_V2 = frozenset({"freezer", "devices"})


class Layout:
    """The hierarchies of this machine. Immutable.

    `v1` maps a controller ("memory", "blkio") to its mount point, `hierarchies` lists those mount points
    once each (cpu and cpuacct are often mounted together), `v2` is the unified mount point or "" and
    `v2_controllers` what is available there ("io", "memory"). `reason` says why the mode is "none".
    """

    __slots__ = ("hierarchies", "mode", "reason", "v1", "v2", "v2_controllers")

    def __init__(
        self,
        mode: Mode,
        v1: Mapping[str, str],
        v2: str = "",
        v2_controllers: frozenset[str] = frozenset(),
        reason: str = "",
    ) -> None:
        self.mode = mode
        self.v1 = v1
        self.hierarchies = tuple(dict.fromkeys(v1.values()))
        self.v2 = v2
        self.v2_controllers = v2_controllers
        self.reason = reason

    @property
    def controllers(self) -> frozenset[str]:
        """Every controller that can limit something here, by its own name ("blkio" on v1, "io" on v2)."""
        return frozenset(self.v1) | self.v2_controllers

    def version(self, controller: str) -> int:
        """1 or 2: the version of the hierarchy that has the controller; 0 when none has it."""
        if controller in self.v1:
            return 1
        if controller in self.v2_controllers or (self.mode == "v2" and controller in _ALWAYS_IN_V2):
            return 2
        return 0

    def mount(self, controller: str) -> str:
        """The mount point of the controller's hierarchy, or "" when none has it."""
        return self.v1.get(controller) or (self.v2 if self.version(controller) == 2 else "")


def detect(mountinfo_text: str | None = None, root: str = "/sys/fs/cgroup") -> Layout:
    """The layout found under `root`, by proc_pid_mountinfo(5) text (default: this process's own).

    Where an unprivileged caller may not write at the top of the v2 hierarchy, the highest ancestor of its
    own group that it may write to (what systemd delegates) takes the top's place.

    Raises OSError when the mount table cannot be read.
    """
    if mountinfo_text is None:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
            mountinfo_text = table.read()
    v1: dict[str, str] = {}
    v2 = ""
    refused: list[str] = []
    for mount_point, kind, options in _cgroup_mounts(mountinfo_text, root):
        if kind == "cgroup2":
            v2 = v2 or _writable_v2(mount_point)
            if not v2:
                refused.append(mount_point)
        elif os.access(mount_point, os.W_OK):
            for name in options:
                v1.setdefault(name, mount_point)
        else:
            refused.append(mount_point)
    if not v1 and not v2:
        reason = (
            f"{refused[0]} is not writable" if refused else f"no cgroup hierarchy is mounted under {root}"
        )
        return Layout("none", {}, reason=reason)
    v2_controllers = frozenset(_words(f"{v2}/cgroup.controllers")) if v2 else frozenset()
    if not v1:
        return Layout("v2", {}, v2, v2_controllers)
    return Layout("hybrid" if v2 else "v1", v1, v2, v2_controllers - v1.keys())


def own_paths(text: str | None = None) -> dict[str, str]:
    """The calling process's own group by controller ("" for v2), from proc_pid_cgroup(5) text."""
    if text is None:
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as source:
            text = source.read()
    paths: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _cgroup_mounts(text: str, root: str) -> Iterator[tuple[str, str, list[str]]]:
    """(mount point, "cgroup" or "cgroup2", v1 controllers) of each hierarchy at or below `root`."""
    for line in text.splitlines():
        front, _, back = line.partition(" - ")
        fields = back.split(" ")
        if fields[0] not in ("cgroup", "cgroup2"):
            continue
        mount_point = unescaped(front.split(" ")[4])
        if mount_point != root and not mount_point.startswith(root + "/"):
            continue
        yield mount_point, fields[0], [name for name in fields[2].split(",") if name in _V1_CONTROLLERS]


_V1_CONTROLLERS = frozenset(
    {
        "blkio",
        "cpu",
        "cpuacct",
        "cpuset",
        "devices",
        "freezer",
        "hugetlb",
        "memory",
        "misc",
        "net_cls",
        "net_prio",
        "perf_event",
        "pids",
        "rdma",
    }
)


def _writable_v2(mount_point: str) -> str:
    """The highest directory of the v2 hierarchy that the caller may make groups in, or ""."""
    if os.access(mount_point, os.W_OK):
        return mount_point
    try:
        own = own_paths().get("", "/")
    except OSError:
        return ""
    directory = mount_point
    for name in own.split("/"):
        directory = f"{directory}/{name}" if name else directory
        if os.access(directory, os.W_OK) and os.access(f"{directory}/cgroup.procs", os.W_OK):
            return directory
    return ""


def _words(path: str) -> list[str]:
    """The words of a small file; none when it is not there (a folder that only looks like a hierarchy)."""
    try:
        with open(path, encoding="ascii") as source:
            return source.read().split()
    except FileNotFoundError:
        return []
