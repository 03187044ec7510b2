"""Keys of services that are ours alone, and begin with x-, so that other tools pass over them.

x-nakagin-ready: {tcp: 5432}                 when a started service counts as ready: it accepts connections,
x-nakagin-ready: {http: 8080/health}         answers a request with less than 400,
x-nakagin-ready: {log: "ready to accept"}    or its output has a line with this (a regular expression);
                                             `timeout` (1m), `interval` (200ms) between two looks
x-nakagin-job: once                          it ends, and is not run again once it has ended well, until it changes
x-nakagin-job: "30 3 * * *"                  the engine starts it on a schedule
x-nakagin-job: {schedule: "@every 10m", time_zone: Europe/Vienna}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from nakagin.compose.model import Project
from nakagin.compose.shapes import Problem
from nakagin.errors import Invalid, nearest
from nakagin.spec.duration import parse_duration, show_duration
from nakagin.spec.labels import SCHEDULE, SCHEDULE_ZONE

READY = "x-nakagin-ready"
JOB = "x-nakagin-job"
ONCE = "once"
_PORT = re.compile(r"(\d+)(/.*)?")


class Readiness(Struct, frozen=True, kw_only=True):
    """How to see from outside that a container is ready; one of `tcp`, `http` and `log`. Times in nanoseconds."""

    tcp: int = 0
    http: int = 0
    path: str = "/"
    log: str = ""
    timeout: int = 60 * 10**9
    interval: int = 200 * 10**6

    def __str__(self) -> str:
        if self.tcp:
            return f"it accepts connections at port {self.tcp}"
        if self.http:
            return f"port {self.http} answers GET {self.path}"
        return f"its output has {self.log!r}"


class Job(Struct, frozen=True):
    """A service that ends. Without a schedule it runs once."""

    schedule: str = ""
    zone: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """What tells the engine."""
        zone = {SCHEDULE_ZONE: self.zone} if self.zone else {}
        return {SCHEDULE: self.schedule, **zone} if self.schedule else {}


def readiness(project: Project, name: str) -> Readiness | None:
    """What a service says about when it is ready. Raises Invalid."""
    value = _value(project, name, READY)
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise Invalid(f"{READY} must be a map", hint="as in {tcp: 5432}")
    known = ("tcp", "http", "log", "timeout", "interval")
    for key in value:
        if key not in known:
            raise Invalid(f"{READY} knows no {key!r}", hint=nearest(str(key), known))
    given = [key for key in known[:3] if key in value]
    if len(given) != 1:
        raise Invalid(f"{READY} needs one of tcp, http and log", hint="as in {tcp: 5432}")
    made = Readiness(
        timeout=_time(value.get("timeout", "1m")), interval=_time(value.get("interval", "200ms"))
    )
    text = str(value[given[0]])
    if given[0] == "log":
        return replace(made, log=_expression(text))
    found = _PORT.fullmatch(text)
    if not found or not 0 < int(found[1]) < 65536 or (found[2] and given[0] == "tcp"):
        raise Invalid(f"{READY}: {text!r} is no port", hint="as in {tcp: 5432} or {http: 8080/health}")
    if given[0] == "tcp":
        return replace(made, tcp=int(found[1]))
    return replace(made, http=int(found[1]), path=found[2] or "/")


def _time(value: object) -> int:
    time = parse_duration(str(value))
    if time <= 0:
        raise Invalid(f"{READY}: {value} is no time to wait", hint="as in 30s")
    return time


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise Invalid(f"{READY}: log is not a regular expression: {error}") from None
    return text


def job(project: Project, name: str) -> Job | None:
    """What a service says about when it runs, in this key or by the engine's own labels. Raises Invalid."""
    value = _value(project, name, JOB)
    if value is None:
        found = project.services[name].labels
        return Job(found[SCHEDULE], found.get(SCHEDULE_ZONE, "")) if SCHEDULE in found else None
    given = value if isinstance(value, Mapping) else {"schedule": value}
    for key in given:
        if key not in ("schedule", "time_zone"):
            raise Invalid(f"{JOB} knows no {key!r}", hint=nearest(str(key), ("schedule", "time_zone")))
    schedule, zone = str(given.get("schedule") or ""), str(given.get("time_zone") or "")
    if schedule == ONCE:
        return Job()
    from nakagin.spec.schedule import Schedule  # with its time zones, for those who need it

    Schedule(schedule, zone)
    return Job(schedule, zone)


def has_schedules(project: Project) -> bool:
    """Whether the engine is to start something on a schedule."""
    return any((found := job(project, name)) and found.schedule for name in project.services)


def _value(project: Project, name: str, key: str) -> object:
    return project.extensions.get(f"services.{name}", {}).get(key)


def problems(project: Project) -> Iterator[Problem]:
    """What is wrong about these keys."""
    for name in project.services:
        for key, read in ((READY, readiness), (JOB, job)):
            try:
                read(project, name)
            except Invalid as error:
                yield Problem(("services", name, key), error.message, error.hint)


def show_timeout(ready: Readiness) -> str:
    """ "1m0s"."""
    return show_duration(ready.timeout)
