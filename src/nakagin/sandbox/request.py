"""What is asked of the engine for a sandbox. Pure."""

from __future__ import annotations

from nakagin.errors import Invalid
from nakagin.sandbox.secrets import inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from nakagin.client.requests import ContainerOptions

MODES = ("overlay", "read-only", "write")
LABEL = "org.nakagin.sandbox"
# What of the caller's environment goes in: how things look and where programs are, no secrets.
PASSED = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TERM",
    "COLORTERM",
    "TZ",
    "EDITOR",
    "PAGER",
)

# What is empty inside and goes with it: other people's files and sockets, unless the current folder lies there.
_PRIVATE = {"/tmp": "mode=1777", "/run": "mode=755"}  # noqa: S108

# Docker's own list of masked paths: naming ours replaces it.
_KERNEL = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip


def options(
    *,
    folder: str,
    mode: str,
    user: tuple[int, int, Sequence[int]],
    copied: Sequence[str],
    masked: Sequence[str],
    environment: Mapping[str, str],
    network: str,
    memory: int,
    cpus: float,
    pids: int,
    tty: bool,
) -> ContainerOptions:
    """The container: the machine's own root, written over; the caller's user; no network, few rights, limits.

    `folder` is the current one (absolute), `mode` one of MODES, `copied` the further mount points to be written over,
    `user` (uid, gid, groups); `memory` in bytes, `cpus` in processors, 0 for no limit.
    """
    uid, gid, groups = user
    host: dict[str, Any] = {
        "CapDrop": ["MKNOD", "NET_RAW", "SYS_CHROOT", "AUDIT_WRITE", "SETFCAP"],
        "SecurityOpt": ["no-new-privileges"],
        "MaskedPaths": [*_KERNEL, *masked],
        "GroupAdd": [str(each) for each in groups if each != gid],
        "LogConfig": {"Type": "none", "Config": {}},
    }
    host["Binds"] = [f"{point}:{point}:O" for point in copied]
    if mode != "overlay":
        host["Mounts"] = [
            {"Type": "bind", "Source": folder, "Target": folder, "ReadOnly": mode == "read-only"}
        ]
    given: ContainerOptions = {
        "rootfs": "/:overlay",
        "workdir": folder,
        "user": f"{uid}:{gid}",
        "hostname": "sandbox",
        "network": network,
        "labels": {LABEL: folder},
        "environment": environment,
        "tmpfs": private(folder, copied),
        "pids_limit": pids,
        "tty": tty,
        "interactive": True,
        "init": True,
        "host_config": host,
    }
    if memory:
        given["memory"] = memory
    if cpus:
        given["cpus"] = cpus
    return given


def private(folder: str, copied: Sequence[str]) -> dict[str, str]:
    """The places that are empty inside, with their mount options: none that holds the current folder.

    Where a file system that is copied lies deeper in such a place, that one is in it and nothing else.
    """
    points = [point for point in copied if inside(folder, point)]
    lowest = max(points, key=len, default="/")
    return {
        place: how
        for place, how in _PRIVATE.items()
        if not inside(folder, place) or (lowest != place and inside(lowest, place))
    }


def environment(wanted: Sequence[str], caller: Mapping[str, str]) -> dict[str, str]:
    """The variables inside: what is harmless of the caller's, then NAME=VALUE, or NAME for the caller's value."""
    found = {name: caller[name] for name in caller if name in PASSED or name.startswith("LC_")}
    for each in wanted:
        name, equals, value = each.partition("=")
        if equals:
            found[name] = value
        elif name in caller:
            found[name] = caller[name]
    return found


def check_mode(mode: str) -> None:
    """Invalid where there is no such way to see the current folder."""
    if mode not in MODES:
        raise Invalid(f'invalid folder mode "{mode}"', hint=f"one of: {', '.join(MODES)}")
