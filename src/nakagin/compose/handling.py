"""What `start`, `restart`, `kill`, `pause`, `unpause` and `rm` do to containers that are there. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nakagin.compose.ending import plan_farewell
from nakagin.compose.model import Project
from nakagin.compose.observe import Observed, State
from nakagin.compose.plan import Action, Plan, RestartContainer
from nakagin.compose.reconcile import ordered
from nakagin.compose.starting import Conditions, plan_begin, plan_hooks
from nakagin.errors import NotFound


def plan_start(project: Project, state: State) -> Plan:
    """Start what does not run, each service when what it depends on is as its conditions say.

    Raises NotFound for a service that has no container.
    """
    plan = Plan()
    conditions = Conditions(plan, project)
    started: dict[str, list[int]] = {}
    for name in ordered(project):
        service = project.services[name]
        if not state.of(name) and service.replicas and service.provider is None:
            raise NotFound(f'service "{name}" has no container to start', hint=f"make it with: up {name}")
        stopped = [each for each in state.of(name) if not each.is_running]
        before = conditions.before(name, service, started) if stopped else []
        started[name] = [
            plan_begin(plan, name, service, each.number, each.name, f"it is {each.state}", before, each.id)
            for each in stopped
        ]
    return plan


def plan_restart(
    project: Project, state: State, chosen: Sequence[str], *, dependents: bool, seconds: int | None
) -> Plan:
    """Stop and start again, dependencies first; with `dependents` also who says `restart: true` of one of them."""
    plan = Plan()
    again = dict.fromkeys(chosen or project.services)
    causes = dict.fromkeys(again, "it was asked for")
    conditions = Conditions(plan, project)
    restarted: dict[str, list[int]] = {}
    for name in ordered(project):
        service = project.services[name]
        followed = [key for key, each in service.depends_on.items() if each.restart and key in causes]
        if dependents and followed and name not in causes:
            causes[name] = f"{followed[0]}, which it depends on, is restarted"
        if name not in causes:
            continue
        before = [number for key in service.depends_on for number in restarted.get(key, ())]
        if followed:
            before += conditions.before(name, service, restarted)
        restarted[name] = []
        for each in state.of(name):
            ended = plan_farewell(plan, each, service, causes[name], before)
            action = RestartContainer(each.name, each.id, name, seconds)
            number = plan.add(action, causes[name], ended)
            last = plan_hooks(plan, name, service, each.number, each.name, number, each.id)
            restarted[name].append(last)
    return plan


def plan_each(containers: Sequence[Observed], action: Callable[[Observed], Action], cause: str) -> Plan:
    """The same to all of them, at once."""
    plan = Plan()
    for each in containers:
        plan.add(action(each), cause)
    return plan
