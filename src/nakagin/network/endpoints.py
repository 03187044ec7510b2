"""A container's place on a network: the values that `networks` hands out and records. Pure but for ids."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from typing import TYPE_CHECKING, Any

from nakagin.errors import Invalid
from nakagin.network.addresses import first_host, mac_of
from nakagin.network.firewall import Published
from nakagin.network.model import DEFAULT_BRIDGE, Endpoint, EndpointPlan, Network, Settings, Subnet

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Sequence

    from nakagin.network.ports import Publication


class Attachment:
    """What `allocate` gives: the endpoint, the monitor's plan for it, and its ports with bound sockets.

    The caller passes `sockets` to the monitor, with `proxies` to say what they are for, then calls close().
    """

    __slots__ = ("endpoint", "plan", "publications")

    def __init__(self, endpoint: Endpoint, plan: EndpointPlan, publications: Sequence[Publication]) -> None:
        self.endpoint = endpoint
        self.plan = plan
        self.publications = tuple(publications)

    @property
    def sockets(self) -> list[socket.socket]:
        return [one for each in self.publications for one in each.sockets]

    def proxies(self, first_index: int = 0) -> list[dict[str, Any]]:
        """What each of `sockets` is for: {"fd_index", "proto", "target": [address, port]}."""
        target = self.endpoint.addresses[0].partition("/")[0]
        ports = (
            (each.mapping.protocol, each.mapping.container_port + offset)
            for each in self.publications
            for offset in range(len(each.sockets))
        )
        return [
            {"fd_index": number, "proto": protocol, "target": [target, port]}
            for number, (protocol, port) in enumerate(ports, first_index)
        ]

    def close(self) -> None:
        for each in self.publications:
            each.close()


def predefined(name: str, settings: Settings) -> Network:
    """A network that exists from the start; the default bridge with what subnets the settings give."""
    created = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
    key = os.urandom(32).hex()
    if name != DEFAULT_BRIDGE:
        return Network(key, name, "null" if name == "none" else name, created)
    return Network(
        key,
        name,
        "bridge",
        created,
        _subnets(settings),
        bridge=settings.bridge,
        mtu=settings.mtu,
        icc=settings.icc,
        masquerade=settings.masquerade,
        host_binding=settings.host_binding,
    )


def _subnets(settings: Settings) -> tuple[Subnet, ...]:
    """The subnets that --bip and --fixed-cidr-v6 give. Raises Invalid."""
    found = []
    where = "--bip"
    try:
        if settings.bridge_address:
            gateway = ipaddress.ip_interface(settings.bridge_address)
            found.append(Subnet(str(gateway.network), str(gateway.ip), ip_range=settings.fixed_cidr))
        where = "--fixed-cidr-v6"
        if settings.fixed_cidr_v6:
            subnet = str(ipaddress.IPv6Network(settings.fixed_cidr_v6))
            found.append(Subnet(subnet, first_host(subnet)))
    except ValueError as error:
        raise Invalid(str(error), where=where) from None
    return tuple(found)


def make_endpoint(
    network: Network,
    container_id: str,
    container_name: str,
    addresses: Sequence[str],
    publications: Iterable[Publication],
    mac: str,
) -> Endpoint:
    key = os.urandom(32).hex()
    return Endpoint(
        key,
        network.id,
        container_id,
        container_name,
        host_interface=f"veth{key[:8]}",
        interface="eth0",
        mac=mac or mac_of(addresses[0]),
        addresses=tuple(addresses),
        ports=tuple(each.mapping for each in publications),
    )


def attachment_plan(network: Network, endpoint: Endpoint, *, filtered: bool) -> EndpointPlan:
    """What the monitor does for an endpoint. `filtered`: the firewall sees bridged frames (br_netfilter).

    Then a container's connection to its own published port is turned back inside the bridge, which needs
    hairpin mode; without br_netfilter it passes through the host's IP layer. And then the firewall keeps
    containers apart where they shall not talk (icc), else the bridge must.
    """
    gateways = {pool.is_ipv6: pool.gateway for pool in network.subnets}
    plan: EndpointPlan = {
        "network": network.name,
        "bridge": network.bridge,
        "host_interface": endpoint.host_interface,
        "interface": endpoint.interface,
        "mac": endpoint.mac,
        "addresses": list(endpoint.addresses),
        "gateway": "" if network.internal else gateways.get(False, ""),
        "mtu": network.mtu,
    }
    if filtered and endpoint.ports:
        plan["hairpin"] = True
    if not filtered and not network.icc:
        plan["isolated"] = True
    if True in gateways and not network.internal:
        plan["gateway6"] = gateways[True]
    return plan


def published(endpoint: Endpoint) -> list[Published]:
    """The endpoint's mappings, with the address of their family; those without one are the proxy's."""
    by_family = {":" in each: each.partition("/")[0] for each in endpoint.addresses}
    return [Published(each, by_family[each.is_ipv6]) for each in endpoint.ports if each.is_ipv6 in by_family]
