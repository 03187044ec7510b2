"""Shares of cache and memory bandwidth: Intel's RDT through the resctrl filesystem (kernel documentation,
arch/x86/resctrl). No control group, but the same idea: a folder, a file of limits, a file of tasks.

A closID names a group that may be the administrator's own: it is then used, and never changed or removed.
"""

from __future__ import annotations

import os

from nakagin.errors import Conflict, Invalid, StepFailed, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nakagin.spec.runtime import IntelRdt

ROOT = "/sys/fs/resctrl"
_WHERE = "linux.intelRdt"


class Plan:
    """The group's folder, the lines of its `schemata`, whether it is the container's own (named by its id).

    `monitored` is the folder of its monitoring group, or "".
    """

    __slots__ = ("folder", "lines", "monitored", "own")

    def __init__(self, folder: str, lines: list[str], *, own: bool, monitored: str) -> None:
        self.folder = folder
        self.lines = lines
        self.own = own
        self.monitored = monitored


def plan(section: IntelRdt, container_id: str, root: str = ROOT) -> Plan:
    """What a section of the config asks for. Pure. Raises Invalid."""
    name = section.get("closID") or container_id
    if name in {".", ".."} or "/" in name or "\n" in name:
        raise Invalid(f"{name!r} is not the name of a group", where=f"{_WHERE}.closID")
    lines = list(section.get("schemata") or ())
    # The L3 schema may not change the bandwidth behind the other key's back (as in runc).
    lines += [
        line for line in (section.get("l3CacheSchema") or "").splitlines() if not line.startswith("MB:")
    ]
    lines += (section.get("memBwSchema") or "").splitlines()
    for line in lines:
        if ":" not in line:
            raise Invalid(f"{line!r} is not a line of schemata", where=_WHERE)
    folder = f"{root}/{name}"
    monitored = f"{folder}/mon_groups/{container_id}" if section.get("enableMonitoring") else ""
    return Plan(folder, lines, own=not section.get("closID"), monitored=monitored)


def enter(wanted: Plan, pid: int) -> None:
    """Make the group where it is missing, and put the process in. Raises Unsupported, Conflict, StepFailed."""
    root = os.path.dirname(wanted.folder)
    if not os.path.exists(f"{root}/schemata"):
        raise Unsupported(
            f"cache and memory bandwidth ({_WHERE}) cannot be limited: there is no resctrl at {root}",
            hint="a processor with RDT is needed, and mount -t resctrl resctrl /sys/fs/resctrl",
        )
    made = False
    if not os.path.isdir(wanted.folder):
        if not wanted.own and not wanted.lines:
            raise Conflict(
                f"{_WHERE}.closID: there is no group {wanted.folder}, and no schema to make one with"
            )
        _step(f"make {wanted.folder}", os.mkdir, wanted.folder)
        made = True
    elif wanted.lines:
        _compare(wanted)
    try:
        if made:
            for line in wanted.lines:
                _write(f"{wanted.folder}/schemata", line)
        _write(f"{wanted.folder}/tasks", str(pid))
        if wanted.monitored:
            _step(f"make {wanted.monitored}", os.mkdir, wanted.monitored)
            _write(f"{wanted.monitored}/tasks", str(pid))
    except StepFailed:
        if made:
            _remove(wanted.folder)
        raise


def leave(wanted: Plan) -> None:
    """Remove the container's own groups; those that are gone are fine."""
    if wanted.monitored:
        _remove(wanted.monitored)
    if wanted.own:
        _remove(wanted.folder)


def _compare(wanted: Plan) -> None:
    """A group that is there must already be as the config says."""
    with open(f"{wanted.folder}/schemata") as file:
        present = {_normal(line) for line in file.read().splitlines()}
    for line in wanted.lines:
        if _normal(line) not in present:
            raise Conflict(
                f"{_WHERE}: {wanted.folder} exists and its schemata differ: {line} is not among them"
            )


def _normal(line: str) -> str:
    """Without blanks, and hexadecimal masks without leading zeros."""
    name, _, rest = line.replace(" ", "").partition(":")
    parts = [part.partition("=") for part in rest.split(";")]
    return f"{name}:" + ";".join(f"{domain}={value.lstrip('0').lower() or '0'}" for domain, _, value in parts)


def _remove(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError:
        pass  # gone, or tasks of others are in it: the kernel moves them up when it goes for good


def _write(path: str, text: str) -> None:
    def write() -> None:
        with open(path, "a") as file:
            file.write(text + "\n")

    _step(f"write {text} to {path}", write)


def _step(words: str, call: Callable[..., object], *arguments: object) -> None:
    try:
        call(*arguments)
    except OSError as error:
        raise StepFailed(words, error.strerror or "", errno=error.errno or 0) from None
