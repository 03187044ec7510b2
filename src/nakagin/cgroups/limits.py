"""Limits as data: an OCI `linux.resources` object becomes the list of files to write.

`plan` is pure; `group.Group.apply` carries the plan out. Each section of the object goes to v1.py or v2.py,
by the version of the hierarchy that has its controller on this machine.
"""

from __future__ import annotations

from nakagin.errors import Invalid, Unsupported

from . import devices, v1, v2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from nakagin.spec.runtime import Resources

    from .layout import Layout


class Plan:
    """What to write, in this order, and what cannot be limited here.

    `writes`: (controller, file, value). A write that the kernel refuses with EINVAL is tried once more after
    the others, because pairs of files (limit and limit+swap, quota and burst) check each other.
    `instead`: (file, value) -> the (file, value) to write where the kernel does not have the first file.
    `warnings`: sentences for the user. `device_program`: the v2 device filter (BPF), if one is wanted.
    `memory_guard`: refuse everything when more than these bytes are in use already.
    """

    __slots__ = ("device_program", "instead", "memory_guard", "warnings", "writes")

    def __init__(self) -> None:
        self.writes: list[tuple[str, str, str]] = []
        self.instead: dict[tuple[str, str], tuple[str, str]] = {}
        self.warnings: list[str] = []
        self.device_program: bytes | None = None
        self.memory_guard: int | None = None

    def write(self, controller: str, file: str, value: object) -> None:
        """Add a write of `value` to `file` of the group in the controller's hierarchy."""
        self.writes.append((controller, file, str(value)))

    def take(self, controller: str) -> Plan:
        """The writes of one controller as a plan of their own; they are no longer in this one."""
        taken = Plan()
        taken.writes = [each for each in self.writes if each[0] == controller]
        self.writes = [each for each in self.writes if each[0] != controller]
        return taken

    def otherwise(self, file: str, value: object) -> None:
        """What to write instead of the last write where the kernel does not have that one's file."""
        _, last_file, last_value = self.writes[-1]
        self.instead[last_file, last_value] = (file, str(value))

    def warn(self, sentence: str) -> None:
        """Add a sentence that says what is not limited and why."""
        self.warnings.append(sentence)

    def lines(self) -> list[str]:
        """The plan as text, one write per line, for `explain` and dry runs."""
        lines = [f"{file} = {value}" for _, file, value in self.writes]
        if self.device_program is not None:
            lines.append(f"device program of {len(self.device_program) // 8} instructions")
        return lines


def plan(resources: Resources, layout: Layout) -> Plan:
    """The writes that put `resources` (OCI runtime-spec, config-linux) into force under `layout`.

    Raises Invalid for values that contradict each other, Unsupported for `unified` keys without cgroup v2.
    """
    result = Plan()
    for section, controllers, on_v1, on_v2 in _SECTIONS:
        wanted: Any = resources.get(section)
        if not wanted:
            continue
        named, reason = _home(controllers, layout)
        if not named:
            result.warn(f"{_told(section, wanted)} not limited: {reason}")
        elif layout.version(named) == 1:
            on_v1(result, wanted, layout)
        else:
            on_v2(result, wanted, layout)
    _unified(result, resources.get("unified") or {}, layout)
    return result


def _home(controllers: tuple[str, ...], layout: Layout) -> tuple[str, str]:
    """The first of the controllers that is here, else "" and the reason."""
    for name in controllers:
        if layout.version(name):
            return name, ""
    return "", layout.reason or f"this machine has no {controllers[0]} controller"


def _told(section: str, wanted: Any) -> str:
    """The section's name with its keys, for a warning ("memory (limit, swap) is")."""
    keys = f" ({', '.join(wanted)})" if isinstance(wanted, dict) else ""
    return f"{section}{keys} is"


# Devices come first: nothing may run in the group before its filter is there.
_SECTIONS: tuple[
    tuple[
        str,
        tuple[str, ...],
        Callable[[Plan, Any, Layout], None],
        Callable[[Plan, Any, Layout], None],
    ],
    ...,
] = (
    ("devices", ("devices",), devices.on_v1, devices.on_v2),
    ("memory", ("memory",), v1.memory, v2.memory),
    ("cpu", ("cpu", "cpuset"), v1.cpu, v2.cpu),
    ("pids", ("pids",), v1.pids, v1.pids),  # the file is the same in both versions
    ("blockIO", ("blkio", "io"), v1.block_io, v2.block_io),
    ("hugepageLimits", ("hugetlb",), v1.hugetlb, v2.hugetlb),
    ("network", ("net_cls", "net_prio"), v1.network, v2.network),
    ("rdma", ("rdma",), v1.rdma, v1.rdma),  # likewise
)


def _unified(result: Plan, wanted: Mapping[str, str], layout: Layout) -> None:
    """Raw v2 files. They win over what was converted from the version-independent keys."""
    if not wanted:
        return
    if layout.mode == "none":
        result.warn(f"unified ({', '.join(wanted)}) is not limited: {layout.reason}")
        return
    if not layout.v2:
        raise Unsupported("unified resources need cgroup v2", hint="this machine has cgroup v1 only")
    result.writes = [write for write in result.writes if write[1] not in wanted]
    for file, value in wanted.items():
        controller = file.partition(".")[0]
        if "/" in file or not value or "." not in file:
            raise Invalid(f"{file!r} is not a cgroup v2 file", where="linux.resources.unified")
        if controller != "cgroup" and layout.version(controller) != 2:
            raise Unsupported(
                f"unified resource {file}: the {controller} controller is not available in cgroup v2",
                hint=f"available: {' '.join(sorted(layout.v2_controllers)) or 'none'}",
            )
        for line in value.splitlines():
            result.write(controller, file, line)
