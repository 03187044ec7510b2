"""Services that name a container of another one: in its namespaces, with its volumes, linked to it.

Compose writes the other container's id in place of the service's name before it hashes: a service is made anew when
the one that it shares with is.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from nakagin.compose.model import Service


def sharing(service: Service) -> list[str]:
    """The services whose containers' ids stand in a container of this one."""
    found = [
        text.removeprefix("service:")
        for text in (service.network_mode, service.ipc, service.pid)
        if text.startswith("service:")
    ]
    return found + [
        each.partition(":")[0] for each in service.volumes_from if not each.startswith("container:")
    ]


def with_ids(service: Service, container_of: Callable[[str], str]) -> Service:
    """The service with ids in place of the names of services; `container_of` a service's first container."""

    def mode(text: str) -> str:
        other = text.removeprefix("service:")
        return f"container:{container_of(other)}" if other != text else text

    def source(text: str) -> str:
        if text.startswith("container:"):
            return text.split(":")[1]
        return container_of(text.partition(":")[0])

    if not sharing(service) and not service.volumes_from:
        return service
    return replace(
        service,
        network_mode=mode(service.network_mode),
        ipc=mode(service.ipc),
        pid=mode(service.pid),
        volumes_from=[source(each) for each in service.volumes_from],
    )
