"""How a container is stopped, its pre_stop hooks first, and removed."""

from __future__ import annotations

from nakagin.compose.model import Service
from nakagin.compose.observe import Observed
from nakagin.compose.plan import Plan, RemoveContainer, RunHook, StopContainer
from nakagin.spec.labels import SCHEDULE


def plan_end(
    plan: Plan,
    container: Observed,
    service: Service | None,
    cause: str,
    after: list[int],
    *,
    seconds: int | None = None,
) -> list[int]:
    """Add what stops a running container; the numbers after which it has ended. Others need nothing.

    `seconds` until it is killed, None for the service's own patience.
    """
    if not container.is_running:
        return after
    if seconds is None and service is not None:
        seconds = service.stop_seconds
    after = plan_farewell(plan, container, service, cause, after)
    return [plan.add(StopContainer(container.name, container.id, container.service, seconds), cause, after)]


def plan_farewell(
    plan: Plan, container: Observed, service: Service | None, cause: str, after: list[int]
) -> list[int]:
    """Add a running container's pre_stop hooks, one after the other; the numbers after which they have run."""
    for hook in service.pre_stop if service and container.is_running else ():
        run = RunHook(container.name, container.service, container.number, hook, "pre_stop", container.id)
        after = [plan.add(run, cause, after)]
    return after


def removal(container: Observed, *, volumes: bool = False) -> RemoveContainer:
    """What removes a container that has ended; by force where the engine may have started it again on its schedule."""
    return RemoveContainer(container.name, container.id, volumes=volumes, force=SCHEDULE in container.labels)
