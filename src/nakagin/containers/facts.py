"""A living container as the kernel has it: what /proc and the cgroup files say, beside what was asked for."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nakagin.containers import rootview
from nakagin.kernel import identity, paths
from nakagin.kernel.mounttable import unescaped
from nakagin.kernel.namespaces import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from nakagin.cgroups.group import Group

_SECCOMP = {"0": "disabled", "1": "strict", "2": "filter"}
# (what it is, controller, the file with the limit in v1 and v2, the file with the use in v1 and v2)
_FILES = (
    (
        "memory",
        "memory",
        ("memory.limit_in_bytes", "memory.max"),
        ("memory.usage_in_bytes", "memory.current"),
    ),
    ("cpu quota", "cpu", ("cpu.cfs_quota_us", "cpu.max"), ("", "")),
    ("cpu weight", "cpu", ("cpu.shares", "cpu.weight"), ("", "")),
    ("cpu time", "cpuacct", ("", ""), ("cpuacct.usage", "")),
    ("processes", "pids", ("pids.max", "pids.max"), ("pids.current", "pids.current")),
    ("processors", "cpuset", ("cpuset.cpus", "cpuset.cpus"), ("", "cpuset.cpus.effective")),
)
# file systems without a size, and those whose server may be gone
_UNMEASURED = frozenset({"proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2", "securityfs", "bpf"})
_DISTANT = ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "afs")


def namespaces(pid: int, engine: int) -> list[dict[str, Any]]:
    """[{"Kind": "net", "Inode": 4026532, "Own": true}, …]: Own where it is not the engine's, and so the host's."""
    found = []
    for kind, (_, file) in KINDS.items():
        own, hosts = _inode(pid, file), _inode(engine, file)
        if own:
            found.append({"Kind": kind, "Inode": own, "Own": own != hosts})
    return found


def _inode(pid: int, file: str) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/{file}").st_ino
    except OSError:
        return 0


def privileges(pid: int) -> dict[str, Any]:
    """Who the process is and what it may: numbers, capability names, the filter of its system calls (proc(5))."""
    status = dict(_status(pid))
    return {
        "Uid": int(status["Uid"].split()[1]),
        "Gid": int(status["Gid"].split()[1]),
        "Capabilities": identity.capability_names(int(status["CapEff"], 16)),
        "Bounding": identity.capability_names(int(status["CapBnd"], 16)),
        "NoNewPrivileges": status.get("NoNewPrivs") == "1",
        "Seccomp": _SECCOMP.get(status.get("Seccomp", "0"), "unknown"),
        "Label": _first_line(f"/proc/{pid}/attr/current").strip("\0\n "),
        "UidMap": [" ".join(line.split()) for line in _lines(f"/proc/{pid}/uid_map")],
    }


def parent(pid: int) -> int:
    """Whose child a process is: of a container's first process, its monitor; 0 where it has ended."""
    return int(dict(_status(pid)).get("PPid", "0"))


def _status(pid: int) -> Iterator[tuple[str, str]]:
    for line in _lines(f"/proc/{pid}/status"):
        name, _, value = line.partition(":")
        yield name, value.strip()


def limits(group: Group) -> list[dict[str, str]]:
    """[{"Name": "memory", "File": …, "Limit": "67108864", "UseFile": …, "Use": "1048576"}, …]; "" is none."""
    found = []
    for name, controller, limit_files, use_files in _FILES:
        directory = group.directory(controller)
        if not directory:
            continue
        version = 1 if group.layout.version(controller) == 1 else 2
        limit, use = limit_files[version - 1], use_files[version - 1]
        limit_path, use_path = (f"{directory}/{each}" if each else "" for each in (limit, use))
        row = {
            "Name": name,
            "File": limit_path,
            "Limit": _first_line(limit_path).strip(),
            "UseFile": use_path,
            "Use": _first_line(use_path).strip(),
        }
        if row["Limit"] or row["Use"]:
            found.append(row)
    return found


def mounts(pid: int) -> list[dict[str, Any]]:
    """[{"Target", "Type", "Source", "Root", "Options", "Size", "Used"}, …] in the order of mounting.

    From proc_pid_mountinfo(5); Source of an overlay is the topmost of its lower folders. Size and Used are bytes of the
    file system, of a single file Size is its own and Used None; both None where there is nothing to measure or asking
    might never be answered.
    """
    found: list[dict[str, Any]] = []
    for line in _lines(f"/proc/{pid}/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, tail = before.split(), after.split()
        if len(fields) < 6 or len(tail) < 2:
            continue
        found.append(
            {
                "Target": unescaped(fields[4]),
                "Root": unescaped(fields[3]),
                "Options": fields[5],
                "Type": tail[0],
                "Source": _over(tail[2:]) if tail[0] == "overlay" else unescaped(tail[1]),
                "Size": None,
                "Used": None,
            }
        )
    with suppress(OSError), rootview.of_process(pid) as view:
        for each in found:
            if each["Type"] not in _UNMEASURED and not each["Type"].startswith(_DISTANT):
                each |= _space(view.root, each["Target"])
    return found


def _space(root: int, target: str) -> dict[str, int | None]:
    """How large what is mounted at a path of the container is; no link of the container leads out."""
    try:
        fd = paths.open_in_root(root, target, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return {}
    try:
        status = os.fstat(fd)
        if not stat.S_ISDIR(status.st_mode):
            return {"Size": status.st_size, "Used": None} if stat.S_ISREG(status.st_mode) else {}
        space = os.fstatvfs(fd)
    finally:
        os.close(fd)
    used = (space.f_blocks - space.f_bfree) * space.f_frsize
    return {"Size": space.f_blocks * space.f_frsize, "Used": used}


def _over(options: Sequence[str]) -> str:
    """The folder that an overlay is put over, by its superblock's options; "overlay" where they do not tell."""
    found = re.search(r"(?:^|,)lowerdir\+?=((?:\\.|[^,:\\])*)", "".join(options[:1]))
    # What overlayfs was given has backslashes of its own, which the table writes in octal.
    return re.sub(r"\\(.)", r"\1", unescaped(found[1])) if found else "overlay"


def tree(processes: Iterable[int]) -> list[dict[str, Any]]:
    """[{"Pid": on the host, "Inside": in the innermost namespace, "Command": …}, …]."""
    found = []
    for pid in processes:
        status = dict(_status(pid))
        if not status:
            continue
        inside = status.get("NSpid", str(pid)).split()[-1]
        found.append({"Pid": pid, "Inside": int(inside), "Command": _command(pid) or status.get("Name", "")})
    return sorted(found, key=lambda each: each["Inside"])


def _command(pid: int) -> str:
    return " ".join(_first_line(f"/proc/{pid}/cmdline").split("\0")).strip()


def layers(upper: str, size: int, lower: Mapping[str, int | None]) -> list[dict[str, Any]]:
    """The folders that make the root, topmost first; of a folder that is no layer the size is not known."""
    rows = [{"Path": upper, "Writable": True, "Size": size}] if upper else []
    return rows + [{"Path": path, "Writable": False, "Size": each} for path, each in lower.items()]


def _first_line(path: str) -> str:
    return next(iter(_lines(path)), "")


def _lines(path: str) -> list[str]:
    if not path:
        return []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []
