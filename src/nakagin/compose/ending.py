"""How a container is stopped: its pre_stop hooks, then the request to end."""

from __future__ import annotations

from nakagin.compose.model import Service
from nakagin.compose.observe import Observed
from nakagin.compose.plan import Plan, RunHook, StopContainer


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
