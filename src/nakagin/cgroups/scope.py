"""A group that systemd makes: a transient scope, with its limits known to systemd too (systemd.scope(5)).

    create()  StartTransientUnit with a placeholder process, because an empty scope would be gone at once
    settle()  the container's process is in: the placeholder leaves
    apply()   SetUnitProperties, so that a reload of systemd does not undo what the files say; then the files
    remove()  StopUnit, and what is left of the directories

Delegate=yes: below the scope systemd touches nothing (https://systemd.io/CGROUP_DELEGATION).
"""

from __future__ import annotations

import os

from nakagin.errors import StepFailed, Unsupported

from . import dbus, files
from .group import Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .layout import Layout
    from .limits import Plan

    Property = tuple[str, tuple[str, Any]]

BOOTED = "/run/systemd/system"  # sd_booted(3)
_UNLIMITED = (1 << 64) - 1
_SECOND = 1_000_000
_DEFAULT_PERIOD = 100_000
_PLACE = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
# Where systemd itself keeps track of processes on v1 and hybrid machines; no controller lives there.
_TRACKING = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")


def check(booted: str = BOOTED) -> None:
    """Raises Unsupported where systemd does not run this machine."""
    if not os.path.isdir(booted):
        raise Unsupported(
            f"systemd cannot be asked for a scope: it does not run this machine ({booted} is missing)",
            hint="leave --systemd-cgroup and native.cgroupdriver=systemd out",
        )


def unit_and_slice(path: str) -> tuple[str, str]:
    """The scope's name and its slice's: of "/a.slice/a-b.slice/x.scope" they are "x.scope" and "a-b.slice"."""
    parent, _, unit = path.rpartition("/")
    return unit, parent.rpartition("/")[2] or "-.slice"


def start_properties(slice_name: str, description: str, pid: int) -> list[Property]:
    """What a new scope is made with."""
    accounting = ("CPUAccounting", "IOAccounting", "MemoryAccounting", "TasksAccounting")
    return [
        ("Description", ("s", description)),
        ("Slice", ("s", slice_name)),
        ("Delegate", ("b", True)),
        ("PIDs", ("au", [pid])),
        ("DefaultDependencies", ("b", False)),
        *((name, ("b", True)) for name in accounting),
    ]


def limit_properties(plan: Plan, majors: dict[tuple[str, int], str]) -> list[Property]:
    """What systemd must know of a plan: names and values of systemd.resource-control(5). Pure.

    `majors` maps ("c", 136) to "pts", as /proc/devices does.
    """
    files_of = {file: value for controller, file, value in plan.writes if controller != "devices"}
    found: list[Property] = []
    for file, name in _NUMBERS.items():
        if file in files_of:
            found.append((name, ("t", _number(files_of[file]))))
    found += _quota(files_of)
    for file, name in (("cpuset.cpus", "AllowedCPUs"), ("cpuset.mems", "AllowedMemoryNodes")):
        if file in files_of:
            found.append((name, ("ay", list(_bits(files_of[file])))))
    return found + _devices([write for write in plan.writes if write[0] == "devices"], majors)


_NUMBERS = {
    "memory.max": "MemoryMax", "memory.low": "MemoryLow", "memory.swap.max": "MemorySwapMax",
    "memory.limit_in_bytes": "MemoryLimit", "pids.max": "TasksMax", "cpu.weight": "CPUWeight",
    "cpu.shares": "CPUShares", "blkio.weight": "BlockIOWeight",
}  # fmt: skip


def _number(text: str) -> int:
    return _UNLIMITED if text in ("max", "-1") else int(text)


def _quota(files_of: dict[str, str]) -> list[Property]:
    """Time per second of time, in microseconds; systemd takes whole hundredths of a CPU."""
    if "cpu.max" in files_of:
        quota, _, period = files_of["cpu.max"].partition(" ")
    elif "cpu.cfs_quota_us" in files_of:
        quota, period = files_of["cpu.cfs_quota_us"], files_of.get("cpu.cfs_period_us", "")
    else:
        return []
    length = int(period or _DEFAULT_PERIOD)
    found: list[Property] = [("CPUQuotaPeriodUSec", ("t", length))] if period else []
    if quota in ("max", "-1"):
        return [*found, ("CPUQuotaPerSecUSec", ("t", _UNLIMITED))]
    per_second = -(-int(quota) * _SECOND // length)
    return [*found, ("CPUQuotaPerSecUSec", ("t", -(-per_second // 10_000) * 10_000))]


def _bits(text: str) -> bytes:
    """A list like "0-2,7" as systemd's bit mask, lowest byte first."""
    mask = 0
    for part in text.split(","):
        first, dash, last = part.partition("-")
        for number in range(int(first), int(last if dash else first) + 1):
            mask |= 1 << number
    return mask.to_bytes(max(1, (mask.bit_length() + 7) // 8), "little")


def _devices(writes: list[tuple[str, str, str]], majors: dict[tuple[str, int], str]) -> list[Property]:
    """On v1 systemd writes the whole list anew at a reload. On v2 there are no files: our program stays."""
    if ("devices", "devices.deny", "a") not in writes:
        return []
    allowed: list[tuple[str, str]] = []
    for _, file, value in writes:
        if file != "devices.allow":
            continue
        if value == "a":
            return []
        kind, numbers, access = value.split(" ")
        major, _, minor = numbers.partition(":")
        group = {"c": "char", "b": "block"}[kind]
        if major == "*":
            allowed.append((f"{group}-*", access))
        elif minor != "*":
            allowed.append((f"/dev/{group}/{numbers}", access))
        elif (kind, int(major)) in majors:
            allowed.append((f"{group}-{majors[kind, int(major)]}", access))
    return [("DevicePolicy", ("s", "strict")), ("DeviceAllow", ("a(ss)", allowed))]


def read_majors(path: str = "/proc/devices") -> dict[tuple[str, int], str]:
    """The drivers' names: ("c", 136) -> "pts"."""
    found: dict[tuple[str, int], str] = {}
    kind = "c"
    with open(path) as file:
        for line in file:
            number, _, name = line.strip().partition(" ")
            if line.startswith("Block"):
                kind = "b"
            elif number.isdecimal():
                found.setdefault((kind, int(number)), name)
    return found


class Scope(Group):
    """The group at `path`, which ends in "NAME.scope". Making the object touches nothing."""

    __slots__ = ("_placeholder", "bus")

    def __init__(self, path: str, layout: Layout, bus: str = "") -> None:
        super().__init__(path, layout)
        self._placeholder = (0, -1)
        self.bus = (
            bus or os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "").removeprefix("unix:path=") or dbus.SYSTEM_BUS
        )

    def create(self) -> None:
        """Let systemd make the scope. Raises Unsupported, Unavailable, StepFailed."""
        check()
        self._placeholder = _hold()
        try:
            self._start(self._placeholder[0])
            super().create()  # in the hierarchies that systemd leaves alone
        except BaseException:
            self.settle()
            raise

    def _start(self, pid: int) -> None:
        unit, slice_name = unit_and_slice(self.path)
        wanted = start_properties(slice_name, f"container {unit.removesuffix('.scope')}", pid)
        with dbus.Bus(self.bus) as bus:
            match = "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'"
            bus.call(
                "org.freedesktop.DBus",
                "/org/freedesktop/DBus",
                "org.freedesktop.DBus",
                "AddMatch",
                "s",
                match,
            )
            bus.call(*_PLACE, "Subscribe")
            (job,) = bus.call(*_PLACE, "StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", wanted, [])
            while (removed := bus.signal("JobRemoved"))[1] != job:
                pass
        if removed[3] != "done":
            raise StepFailed(
                f"start {unit}", f"systemd's job ended as {removed[3]!r}", hint=f"systemctl status {unit}"
            )

    def settle(self) -> None:
        """The container's own process is in the scope now: the placeholder leaves."""
        pid, pipe = self._placeholder
        if pid:
            os.close(pipe)
            os.waitpid(pid, 0)
            self._placeholder = (0, -1)

    def apply(self, plan: Plan) -> list[str]:
        """Tell systemd, then write the files. What systemd does not take is a warning: the files hold."""
        warnings = []
        wanted = limit_properties(plan, read_majors())
        if wanted:
            unit = unit_and_slice(self.path)[0]
            try:
                with dbus.Bus(self.bus) as bus:
                    bus.call(*_PLACE, "SetUnitProperties", "sba(sv)", unit, True, wanted)
            except StepFailed as error:
                warnings.append(f"systemd does not know the limits of {unit}: {error.cause}")
        return warnings + super().apply(plan)

    def join(self) -> None:
        """Also where systemd tracks processes, else it would take the scope for empty."""
        super().join()
        self._track("0")

    def add(self, pid: int) -> None:
        """Likewise."""
        super().add(pid)
        self._track(str(pid))

    def _track(self, pid: str) -> None:
        if self.layout.mode == "v2":
            return
        for mount in _TRACKING:
            try:
                files.write(f"{mount}{self.path}/cgroup.procs", pid)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StepFailed(
                    f"join {self.path} in {mount}", error.strerror or "", errno=error.errno or 0
                ) from None

    def remove(self, timeout: float = 5.0) -> None:
        """Let systemd forget the scope; remove what is left. Raises StepFailed."""
        self.settle()
        unit = unit_and_slice(self.path)[0]
        try:
            with dbus.Bus(self.bus) as bus:
                for call in (("StopUnit", "ss", unit, "replace"), ("ResetFailedUnit", "s", unit)):
                    try:
                        bus.call(*_PLACE, *call)
                    except StepFailed:
                        pass  # a scope that became empty is gone by itself
        finally:
            super().remove(timeout)


def _hold() -> tuple[int, int]:
    """A child that does nothing until the returned descriptor is closed, and that descriptor."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    return pid, writer
