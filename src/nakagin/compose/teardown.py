"""What `down` does: pure, from `Project` and `State` to the plan that takes it all away, dependents first."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from nakagin.compose import labels
from nakagin.compose.ending import plan_end, removal
from nakagin.compose.labels import image_name
from nakagin.compose.model import Project
from nakagin.compose.observe import Observed, State
from nakagin.compose.plan import (
    Plan,
    RemoveImage,
    RemoveNetwork,
    RemoveVolume,
    RunProvider,
)
from nakagin.compose.reconcile import ordered
from nakagin.compose.select import for_services, without_unused
from nakagin.compose.sharing import sharing
from nakagin.errors import NotFound


class Ending(Struct, frozen=True):
    """What `down` was asked for. `images` is "", "all" or "local" (those without a name in the file)."""

    services: list[str] = []
    volumes: bool = False
    images: str = ""
    orphans: bool = False
    seconds: int | None = None


def plan_down(project: Project, state: State, ending: Ending) -> Plan:
    """Raises NotFound for a service that is not there."""
    plan = Plan()
    known = {*project.services, *project.disabled}
    for name in ending.services:
        if name not in known:
            raise NotFound(f"no such service: {name}")
    removed: dict[str, list[int]] = {}
    for name in reversed(ordered(project)):
        if ending.services and name not in ending.services:
            continue
        users = _users(project, name, removed)
        if project.services[name].provider is not None:
            removed[name] = [plan.add(RunProvider(name, "release"), "the project goes down", users)]
            continue
        removed[name] = [_end(plan, project, each, users, ending) for each in state.of(name)]
    for each in state.containers:
        orphan = each.service not in project.services
        if (each.oneoff and not ending.services) or (
            orphan and not ending.services and _goes(each, known, ending)
        ):
            removed.setdefault(each.service, []).append(_end(plan, project, each, [], ending))
    gone = [number for numbers in removed.values() for number in numbers]
    _resources(plan, _of(project, ending.services), state, ending, gone)
    return plan


def _of(project: Project, names: list[str]) -> Project:
    """The project with nothing but these services and what they use; all of it where none is named."""
    return without_unused(for_services(project, names, dependencies=False)) if names else project


def plan_stop(
    project: Project, state: State, seconds: int | None = None, chosen: Collection[str] = ()
) -> Plan:
    """Ask the (chosen) services' containers to end, those first that depend on others."""
    plan = Plan()
    stopped: dict[str, list[int]] = {}
    for name in reversed(ordered(project)):
        users = _users(project, name, stopped)
        service = project.services[name]
        stopped[name] = [
            number
            for each in state.of(name)
            if each.is_running and (not chosen or name in chosen)
            for number in plan_end(plan, each, service, "the project is stopped", users, seconds=seconds)
        ] or users
    return plan


def _users(project: Project, name: str, ended: dict[str, list[int]]) -> list[int]:
    """Numbers after which nobody needs a service any more."""
    return [
        number
        for other, service in project.services.items()
        if name in service.depends_on or name in sharing(service)
        for number in ended.get(other, ())
    ]


def _goes(container: Observed, known: set[str], ending: Ending) -> bool:
    """Services of profiles that are not active belong to the project; unknown ones only go when asked."""
    return container.service in known or ending.orphans


def _end(plan: Plan, project: Project, container: Observed, after: list[int], ending: Ending) -> int:
    cause = "the project goes down"
    service = project.services.get(container.service)
    after = plan_end(plan, container, service, cause, after, seconds=ending.seconds)
    return plan.add(removal(container, volumes=ending.volumes), cause, after)


def _resources(plan: Plan, project: Project, state: State, ending: Ending, gone: list[int]) -> None:
    for each in state.networks.values():
        key = each.labels.get(labels.NETWORK)
        if (
            key
            and each.labels.get(labels.PROJECT) == project.name
            and (key in project.networks or not project.services)
        ):
            plan.add(RemoveNetwork(each.name, each.id), "no container of the project needs it any more", gone)
    if ending.volumes:
        for volume in state.volumes.values():
            key = volume.labels.get(labels.VOLUME)
            if (
                key
                and volume.labels.get(labels.PROJECT) == project.name
                and (key in project.volumes or not ending.services)
            ):
                plan.add(RemoveVolume(volume.name), "-v was given", gone)
    if ending.images:
        for name, service in project.services.items():
            here = state.image(project, name, service) is not None
            if here and (ending.images == "all" or not service.image):
                plan.add(
                    RemoveImage(image_name(project, name, service)), f"--rmi {ending.images} was given", gone
                )
