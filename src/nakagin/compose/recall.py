"""A project that is known by its name alone, as the labels of its containers tell of it: who depends on whom."""

from __future__ import annotations

from nakagin.compose import labels
from nakagin.compose.model import Ipam, Network, Project, Service, Volume
from nakagin.compose.observe import State
from nakagin.compose.parts import Dependency
from nakagin.spec.labels import SCHEDULE, SCHEDULE_ZONE


def recalled(name: str, state: State) -> Project:
    """Services without anything but their dependencies, images and schedules; networks and
    volumes by their names.
    """
    services: dict[str, Service] = {}
    for each in state.containers:
        if each.oneoff:
            continue
        needed: dict[str, Dependency] = {}
        for text in each.labels.get(labels.DEPENDENCIES, "").split(","):
            other, _, rest = text.partition(":")
            condition, _, restart = rest.partition(":")
            if other:
                needed[other] = Dependency(
                    condition=condition or "service_started", restart=restart == "true", required=False
                )
        image = str(each.summary.get("Image", ""))
        services[each.service] = Service(
            command=None, entrypoint=None, depends_on=needed,
            labels={key: text for key, text in each.labels.items() if key in (SCHEDULE, SCHEDULE_ZONE)},
            image="" if image == f"{name}-{each.service}" else image,
        )  # fmt: skip
    networks = {
        key: Network(name=each.name, ipam=Ipam())
        for each in state.networks.values()
        if each.labels.get(labels.PROJECT) == name and (key := each.labels.get(labels.NETWORK))
    }
    volumes = {
        key: Volume(name=each.name)
        for each in state.volumes.values()
        if each.labels.get(labels.PROJECT) == name and (key := each.labels.get(labels.VOLUME))
    }
    return Project(name=name, services=services, networks=networks, volumes=volumes)
