"""update: change the limits of a living container."""

from __future__ import annotations

import sys

from nakagin.errors import Invalid
from nakagin.runtime import container
from nakagin.spec import document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.runtime.command import Call
    from nakagin.spec.runtime import Resources

# option -> (section, key) of linux.resources
_NUMBERS = {
    "blkio-weight": ("blockIO", "weight"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-share": ("cpu", "shares"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "cpu-idle": ("cpu", "idle"),
    "kernel-memory": ("memory", "kernel"),
    "kernel-memory-tcp": ("memory", "kernelTCP"),
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
    "pids-limit": ("pids", "limit"),
}
_TEXTS = {"cpuset-cpus": ("cpu", "cpus"), "cpuset-mems": ("cpu", "mems")}


def update_(call: Call) -> int:
    """Apply a resources document (--resources FILE or "-") or single options."""
    container.load(call.root, call.words[0], call.log.warn).update(_resources(call))
    return 0


def _resources(call: Call) -> Resources:
    path = call.text("resources")
    if path:
        if path == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                data = file.read()
        given: Resources = document.parse(data, path)
        # Whole configs nest it; a nil object of a Go client is null.
        return {key: value for key, value in given.items() if value is not None}  # type: ignore[return-value]
    for option in ("l3-cache-schema", "mem-bw-schema"):
        if call.text(option):
            raise Invalid("the resctrl filesystem is not driven by update", where=f"--{option}")
    wanted: dict[str, dict[str, int | str]] = {}
    for option, (section, key) in _NUMBERS.items():
        number = _amount(call, option)
        if number is not None:
            wanted.setdefault(section, {})[key] = number
    for option, (section, key) in _TEXTS.items():
        if call.text(option):
            wanted.setdefault(section, {})[key] = call.text(option)
    return wanted  # type: ignore[return-value]


_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def _amount(call: Call, option: str) -> int | None:
    """A number; memory may have a unit ("64m", "1GiB")."""
    text = call.text(option).lower()
    if not text:
        return None
    if "memory" in option:
        bare = text.removesuffix("ib").removesuffix("b")
        if bare and bare[-1] in _UNITS and bare[:-1].isdecimal():
            return int(bare[:-1]) * _UNITS[bare[-1]]
        text = bare
    try:
        return int(text)
    except ValueError:
        raise Invalid(f"{text!r} is not a number", where=f"--{option}") from None
