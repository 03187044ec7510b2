"""events: statistics and out-of-memory notices as JSON lines, in runc's words."""

from __future__ import annotations

import select
import time

from nakagin.cgroups import stats
from nakagin.cgroups.events import OomWatch
from nakagin.errors import Conflict, Invalid
from nakagin.runtime import container
from nakagin.spec import document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.cgroups.stats import Stats
    from nakagin.runtime.command import Call
    from nakagin.runtime.container import Container

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def events_(call: Call) -> int:
    """With --stats one line; else a line every --interval and at each OOM, until the container ends."""
    made = container.load(call.root, call.words[0], call.log.warn)
    if made.status == "stopped":
        raise Conflict(f"container {made.id} is not running")
    if call.flag("stats"):
        _print("stats", made.id, figures(stats.read(made.group)))
        return 0
    interval = duration(call.text("interval") or "5s")
    watch = OomWatch(made.group)
    poller = select.poll()
    poller.register(made.pidfd, select.POLLIN)
    if watch.fileno() >= 0:
        poller.register(watch.fileno(), watch.mask)
    due = time.monotonic()
    while True:
        for fd, _ in poller.poll(max(0.0, due - time.monotonic()) * 1000):
            if fd == made.pidfd:
                return 0
            for _ in range(watch.happened()):
                _print("oom", made.id, None)
        if time.monotonic() >= due:
            due += interval
            _report(made)


def _report(made: Container) -> None:
    _print("stats", made.id, figures(stats.read(made.group)))


def _print(kind: str, id_: str, data: object) -> None:
    line = {"type": kind, "id": id_}
    print(document.render(line if data is None else {**line, "data": data}), flush=True)


def duration(text: str) -> float:
    """ "500ms", "5s", "1m" -> seconds. Raises Invalid."""
    for unit, factor in _UNITS.items():
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdecimal() and float(number) > 0:
            return float(number) * factor
    raise Invalid(f"{text!r} is not a duration like 5s", where="--interval")


def figures(read: Stats) -> dict[str, object]:
    """The group's figures in runc's shape (libcontainer's types/events.go)."""
    cpu, memory = read["cpu_stats"], read["memory_stats"]
    usage, throttling = cpu["cpu_usage"], cpu["throttling_data"]
    entries = {
        name.removesuffix("_recursive").replace("io_s", "ioS").replace("ervice_bytes", "erviceBytes"): listed
        or []
        for name, listed in read["blkio_stats"].items()
        if name in {"io_service_bytes_recursive", "io_serviced_recursive"}
    }
    return {
        "cpu": {
            "usage": {
                "total": usage.get("total_usage", 0),
                "percpu": usage.get("percpu_usage", []),
                "kernel": usage.get("usage_in_kernelmode", 0),
                "user": usage.get("usage_in_usermode", 0),
            },
            "throttling": {
                "periods": throttling["periods"],
                "throttledPeriods": throttling["throttled_periods"],
                "throttledTime": throttling["throttled_time"],
            },
        },
        "memory": {
            "cache": memory.get("stats", {}).get("cache", 0),
            "usage": {
                "limit": memory.get("limit", 0),
                "usage": memory.get("usage", 0),
                "max": memory.get("max_usage", 0),
                "failcnt": memory.get("failcnt", 0),
            },
            "raw": memory.get("stats", {}),
        },
        "pids": {
            "current": read["pids_stats"].get("current", 0),
            "limit": read["pids_stats"].get("limit", 0),
        },
        "blkio": entries,
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": None,
    }
