"""How a service's container is attached: its network mode, and one endpoint for each of its networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nakagin.compose.labels import container_name
from nakagin.compose.model import Project, Service
from nakagin.compose.parts import ServiceNetwork

Document = dict[str, Any]


def by_priority(service: Service) -> list[str]:
    """Keys of the service's networks, the most important first."""
    return sorted(
        service.networks, key=lambda name: (-(service.networks[name] or ServiceNetwork()).priority, name)
    )


def network_mode(project: Project, service: Service) -> str:
    """HostConfig.NetworkMode: the first network's name, where no other mode is given."""
    if service.network_mode or not service.networks:
        return service.network_mode or "none"
    return project.networks[by_priority(service)[0]].name


def endpoints(
    project: Project, service: Service, container: str, name: str, container_of: Callable[[str], str]
) -> Document:
    """NetworkingConfig.EndpointsConfig: name of the network → EndpointSettings."""
    if service.network_mode:
        return {}
    made: Document = {}
    for key in by_priority(service):
        settings = service.networks[key] or ServiceNetwork()
        aliases = [container, *([name, *settings.aliases] if name else [])]
        options = dict(settings.driver_opts)
        if settings.interface_name:
            options["com.docker.network.endpoint.ifname"] = settings.interface_name
        endpoint: Document = {
            "Aliases": list(dict.fromkeys(aliases)),
            "Links": links(project, service, container_of) or None,
            "MacAddress": settings.mac_address
            or (service.mac_address if key == by_priority(service)[0] else ""),
            "DriverOpts": options or None,
            "GwPriority": settings.gw_priority,
            "IPAMConfig": {
                "IPv4Address": settings.ipv4_address,
                "IPv6Address": settings.ipv6_address,
                "LinkLocalIPs": settings.link_local_ips,
            },
        }
        kept = {field: value for field, value in endpoint.items() if value}
        if service.networks[key] is None:
            kept.pop("IPAMConfig")
        made[project.networks[key].name] = kept
    return made


def links(project: Project, service: Service, container_of: Callable[[str], str]) -> list[str]:
    """CONTAINER:ALIAS for each link, also by the container's own name."""
    made: list[str] = []
    for link in service.links:
        name, _, alias = link.partition(":")
        other = container_of(name)
        full = container_name(project, name, project.services[name], 1)
        made += [
            f"{other}:{alias or name}",
            f"{other}:{full}",
            f"{other}:{full.removeprefix(project.name + '-')}",
        ]
    for link in service.external_links:
        name, _, alias = link.partition(":")
        made.append(f"{name}:{alias or name}")
    return made
