"""The engine's counters for Prometheus (`--metrics-addr`), under dockerd's names where dockerd has them."""

from __future__ import annotations

import os
import resource
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aiohttp import web

from nakagin.api.answers import Answer
from nakagin.spec.exposition import TEXT, Histogram, family, sample

if TYPE_CHECKING:
    from nakagin.engine import Engine

#: As those of Prometheus' own libraries, which dockerd uses.
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: Requests that dockerd times: (noun, action) by key of the table of routes.
_TIMED = {
    "POST /containers/create": ("container", "create"), "POST /containers/*/start": ("container", "start"),
    "DELETE /containers/*": ("container", "delete"), "GET /containers/*/changes": ("container", "changes"),
    "POST /commit": ("container", "commit"),
    "POST /networks/create": ("network", "create"), "DELETE /networks/*": ("network", "delete"),
    "POST /networks/*/connect": ("network", "connect"), "POST /networks/*/disconnect": ("network", "disconnect"),
    "POST /images/create": ("image", "pull"), "POST /images/*/push": ("image", "push"),
    "DELETE /images/*": ("image", "delete"), "POST /images/load": ("image", "load"),
}  # fmt: skip
_TICKS = os.sysconf("SC_CLK_TCK")


class Metrics:
    """What one engine's doors have counted."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._actions = {action: Histogram(_BOUNDS) for action in _TIMED.values()}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """A request got its answer; `route` is its key in the table of routes."""
        self._requests[route, status] += 1
        if (action := _TIMED.get(route)) is not None and status < 400:
            self._actions[action].observe(seconds)

    async def text(self, engine: Engine) -> str:
        """All samples, those of the engine's state as of now."""
        lines = [*self._counted(), *_state(engine, await engine.info()), *_process()]
        return "\n".join(lines) + "\n"

    def _counted(self) -> Iterator[str]:
        for noun in ("container", "image", "network"):
            name = f"engine_daemon_{noun}_actions_seconds"
            yield from family(
                name, "histogram", f"The number of seconds it takes to process each {noun} action"
            )
            for (of, action), durations in self._actions.items():
                if of == noun:
                    yield from durations.samples(name, {"action": action})
        name = "nakagin_api_requests_total"
        yield from family(name, "counter", "Requests by endpoint and status")
        for (route, status), count in sorted(self._requests.items()):
            yield sample(name, count, {"endpoint": route, "status": str(status)})


def _state(engine: Engine, info: dict[str, Any]) -> Iterator[str]:
    name = "engine_daemon_container_states_containers"
    yield from family(name, "gauge", "The count of containers in various states")
    for state in ("paused", "running", "stopped"):
        yield sample(name, info[f"Containers{state.title()}"], {"state": state})
    yield from family(
        "engine_daemon_engine_info", "gauge", "The information related to the engine and its host"
    )
    about = {
        "architecture": info["Architecture"], "commit": "", "daemon_id": info["ID"], "graphdriver": info["Driver"],
        "kernel": info["KernelVersion"], "os": info["OperatingSystem"], "os_type": info["OSType"],
        "os_version": info["OSVersion"], "version": info["ServerVersion"],
    }  # fmt: skip
    yield sample("engine_daemon_engine_info", 1, about)
    checks = engine.containers.execs.checks
    for name, kind, words, value in (
        ("engine_cpus_cpus", "gauge", "The number of cpus that the host system of the engine has", info["NCPU"]),
        ("engine_memory_bytes", "gauge", "The number of bytes of memory that the host system has", info["MemTotal"]),
        ("events_total", "counter", "The number of events logged", engine.events.published),
        ("events_subscribers_total", "gauge", "The number of current subscribers to events", engine.events.listeners),
        ("health_checks_total", "counter", "The total number of health checks", checks.total()),
        ("health_checks_failed_total", "counter", "The total number of failed health checks", checks["failed"]),
    ):  # fmt: skip
        yield from family(f"engine_daemon_{name}", kind, words)
        yield sample(f"engine_daemon_{name}", value)


def _process() -> Iterator[str]:
    """This process, under the names that every Prometheus library has for it: proc(5)."""
    with open("/proc/self/stat", "rb") as file:
        words = file.read().rpartition(b")")[2].split()
    with open("/proc/stat", encoding="ascii") as file:
        booted = next(int(line.split()[1]) for line in file if line.startswith("btime"))
    for name, kind, what, value in (
        ("cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.",
         (int(words[11]) + int(words[12])) / _TICKS),
        ("max_fds", "gauge", "Maximum number of open file descriptors.",
         resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        ("open_fds", "gauge", "Number of open file descriptors.", len(os.listdir("/proc/self/fd"))),
        ("resident_memory_bytes", "gauge", "Resident memory size in bytes.",
         int(words[21]) * resource.getpagesize()),
        ("start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.",
         booted + int(words[19]) / _TICKS),
        ("virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", int(words[20])),
    ):  # fmt: skip
        yield from family(f"process_{name}", kind, what)
        yield sample(f"process_{name}", value)


def make_runner(engine: Engine, metrics: Metrics) -> web.BaseRunner:
    """The server of `GET /metrics`, and of nothing else."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/metrics":
            return Answer(404, b"404 page not found\n", kind="text/plain; charset=utf-8")
        return Answer(200, (await metrics.text(engine)).encode(), kind=TEXT)

    return web.ServerRunner(web.Server(handle, access_log=None))
