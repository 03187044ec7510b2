"""How a container is started: what its service waits for by `depends_on`, the start, and its post_start hooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nakagin.compose.model import Project, Service
from nakagin.compose.own import readiness
from nakagin.compose.plan import Plan, RunHook, StartContainer, WaitFor

_WORDS = {
    "service_completed_successfully": "until it has ended well",
    "service_healthy": "until it is healthy",
}


class Conditions:
    """The waits of one plan; each is there once, whoever waits."""

    def __init__(self, plan: Plan, project: Project) -> None:
        self._plan = plan
        self._project = project
        self._waits: dict[tuple[str, str, bool], int] = {}

    def before(self, name: str, service: Service, started: Mapping[str, Sequence[int]]) -> list[int]:
        """Numbers after which the service may start; `started`: service → numbers after which it runs."""
        found: list[int] = []
        for other, dependency in sorted(service.depends_on.items()):
            if other not in self._project.services:
                continue
            ready = readiness(self._project, other)
            ends = dependency.condition == "service_completed_successfully"
            if dependency.condition == "service_started" and not ready:
                found += started.get(other, ())
                continue
            key = (other, dependency.condition if ends or not ready else "ready", dependency.required)
            if key not in self._waits:
                if ready and not ends:
                    action = WaitFor(other, "running_or_healthy", dependency.required, ready=ready)
                    words = f"until {ready}"
                else:
                    action = WaitFor(other, dependency.condition, dependency.required)
                    words = _WORDS[dependency.condition]
                self._waits[key] = self._plan.add(
                    action, f"{words}, for {name}", list(started.get(other, ()))
                )
            found.append(self._waits[key])
        return found


def plan_begin(
    plan: Plan,
    name: str,
    service: Service,
    number: int,
    full: str,
    cause: str,
    after: Sequence[int],
    id: str = "",
) -> int:
    """Add the start of a container and its post_start hooks, one after the other; the last one's number."""
    last = plan.add(StartContainer(full, name, number, id), cause, list(after))
    return plan_hooks(plan, name, service, number, full, last, id)


def plan_hooks(
    plan: Plan, name: str, service: Service, number: int, full: str, after: int, id: str = ""
) -> int:
    """Add the post_start hooks of a container that `after` starts; the last number."""
    for hook in service.post_start:
        action = RunHook(full, name, number, hook, "post_start", id)
        after = plan.add(action, "it was started", [after])
    return after
