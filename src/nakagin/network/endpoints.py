"""A container's places on networks: the values that `attaching` hands out and records. Pure but for ids."""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING, Any

import msgspec

from nakagin.errors import Invalid
from nakagin.network.addresses import first_host, mac_of
from nakagin.network.definition import new_id, timestamp
from nakagin.network.model import DEFAULT_BRIDGE, Endpoint, EndpointPlan, Network, Settings, Subnet, Wish
from nakagin.network.portmaps import Published

if TYPE_CHECKING:
    import socket
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from nakagin.network.ports import Publication

IFNAME = "com.docker.network.endpoint.ifname"
SYSCTLS = "com.docker.network.endpoint.sysctls"

#: A route by the interface alone, where the network has no gateway (ipvlan in its L3 modes).
_EVERYWHERE = {False: "0.0.0.0/0", True: "::/0"}


class Attachment:
    """What a container gets: its endpoints, the monitor's plans for them, and its ports with bound sockets.

    The caller passes `sockets` to the monitor, with `proxies` to say what they are for, then calls close().
    """

    __slots__ = ("endpoints", "plans", "publications")

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        plans: Sequence[EndpointPlan],
        publications: Sequence[Publication] = (),
    ) -> None:
        self.endpoints = tuple(endpoints)
        self.plans = list(plans)
        self.publications = tuple(publications)

    @property
    def addresses(self) -> list[str]:
        """Its addresses on all networks, with prefix length."""
        return [address for each in self.endpoints for address in each.addresses]

    @property
    def sockets(self) -> list[socket.socket]:
        return [one for each in self.publications for one in each.sockets]

    def proxies(self, first_index: int = 0) -> list[dict[str, Any]]:
        """What each of `sockets` is for: {"fd_index", "proto", "target": [address, port], "announce"}."""
        holder = next((each for each in self.endpoints if each.ports), None)
        if holder is None:
            return []
        target = carried_to(holder)
        ports = (
            (each.mapping, each.mapping.container_port + offset)
            for each in self.publications
            for offset in range(len(each.sockets))
        )
        return [
            {
                "fd_index": number,
                "proto": mapping.protocol,
                "target": [target, port],
                "announce": mapping.announced,
            }
            for number, (mapping, port) in enumerate(ports, first_index)
        ]

    def close(self) -> None:
        for each in self.publications:
            each.close()


def carried_to(holder: Endpoint) -> str:
    """The address to which the monitor's proxies carry what arrives at the sockets of published ports."""
    return holder.address(ipv6=False) or holder.address(ipv6=True)


def predefined(name: str, settings: Settings) -> Network:
    """A network that exists from the start; the default bridge with what subnets the settings give."""
    key, created = new_id(), timestamp()
    if name != DEFAULT_BRIDGE:
        return Network(key, name, "null" if name == "none" else name, created)
    return Network(
        key,
        name,
        "bridge",
        created,
        _subnets(settings),
        bridge=settings.bridge,
        found=settings.existing_bridge not in {"", "none"},
        mtu=settings.mtu,
        icc=settings.icc,
        masquerade=settings.masquerade,
        host_binding=settings.host_binding,
    )


def _subnets(settings: Settings) -> tuple[Subnet, ...]:
    """The subnets that --bip, --bip6, --fixed-cidr and --fixed-cidr-v6 give. Raises Invalid."""
    found = []
    where = ""
    routers = {False: settings.default_gateway, True: settings.default_gateway6}
    try:
        for flag, given, span in (
            ("--bip", settings.bridge_address, settings.fixed_cidr),
            ("--bip6", settings.bridge_address6, settings.fixed_cidr_v6),
        ):
            where = flag
            if given:
                gateway = ipaddress.ip_interface(given)
                found.append(Subnet(str(gateway.network), str(gateway.ip), ip_range=span))
            elif span:
                where = f"--fixed-cidr{flag.removeprefix('--bip').replace('6', '-v6')}"
                subnet = str(ipaddress.ip_network(span))
                found.append(Subnet(subnet, first_host(subnet)))
    except ValueError as error:
        raise Invalid(str(error), where=where) from None
    return tuple(
        msgspec.structs.replace(
            each, auxiliary={f"DefaultGatewayIPv{6 if each.is_ipv6 else 4}": routers[each.is_ipv6]}
        )
        if routers[each.is_ipv6]
        else each
        for each in found
    )


def make_endpoint(
    network: Network,
    container_id: str,
    container_name: str,
    wish: Wish,
    addresses: Sequence[str],
    interface: str,
) -> Endpoint:
    """The record of a place. Its MAC address follows from the first address, where none was asked for."""
    key = os.urandom(32).hex()
    mac = wish.mac or (mac_of(addresses[0]) if addresses else f"02:42:{bytes.fromhex(key[:8]).hex(':')}")
    return Endpoint(
        key,
        network.id,
        container_id,
        container_name,
        host_interface=f"veth{key[:8]}" if network.bridge else "",
        interface=interface,
        mac="" if network.driver == "ipvlan" else mac.lower(),
        addresses=tuple(addresses),
        aliases=wish.aliases,
        dns_names=wish.dns_names,
        links=wish.links,
        link_local=wish.link_local,
        driver_opts=wish.driver_opts,
        gw_priority=wish.gw_priority,
    )


def interface_name(network: Network, wish: Wish, taken: Collection[str]) -> str:
    """What the interface is called inside: as asked for, else the first free number. Raises Invalid."""
    wanted = wish.driver_opts.get(IFNAME, "")
    if wanted:
        if wanted in taken or wanted == "lo" or len(wanted) > 15 or "/" in wanted or not wanted.isprintable():
            raise Invalid(f'invalid interface name "{wanted}" for network {network.name}', where=IFNAME)
        return wanted
    number = 0
    while f"{network.interface_prefix}{number}" in taken:
        number += 1
    return f"{network.interface_prefix}{number}"


def elect(endpoints: Iterable[Endpoint], networks: Mapping[str, Network]) -> dict[str, str]:
    """By which endpoint (id) the default route of each family ("4", "6") goes.

    As Docker: the highest priority; then networks with both families, then by the network's name.
    """
    chosen: dict[str, str] = {}
    for digit in ("4", "6"):
        ipv6 = digit == "6"
        able = [
            each
            for each in endpoints
            if each.address(ipv6=ipv6) and networks[each.network_id].routes(ipv6=ipv6)
        ]
        if able:
            chosen[digit] = min(able, key=lambda each: _rank(each, networks[each.network_id])).id
    return chosen


def _rank(endpoint: Endpoint, network: Network) -> tuple[int, bool, str]:
    dual = network.enable_ipv4 and network.enable_ipv6
    return -endpoint.gw_priority, not dual, network.name


def gateways(network: Network, endpoint: Endpoint) -> tuple[str, str]:
    """The gateways of the families whose default route goes by this endpoint, "" for none: IPv4, IPv6."""
    found = {"4": "", "6": ""}
    for digit in endpoint.gateway:
        ipv6 = digit == "6"
        address = endpoint.address(ipv6=ipv6)
        pool = pool_of(network, address)
        by_link = network.mode in {"l3", "l3s"}
        found[digit] = _EVERYWHERE[ipv6] if by_link else (pool.route if pool else "")
    return found["4"], found["6"]


def pool_of(network: Network, address: str) -> Subnet | None:
    """The network's subnet in which an address lies."""
    if not address:
        return None
    mine = [each for each in network.subnets if each.is_ipv6 == (":" in address)]
    if len(mine) == 1:
        return mine[0]
    where = ipaddress.ip_address(address.partition("/")[0])
    return next((each for each in mine if where in ipaddress.ip_network(each.subnet)), None)


def attachment_plan(network: Network, endpoint: Endpoint, *, filtered: bool) -> EndpointPlan:
    """What the monitor does for an endpoint. `filtered`: the firewall sees bridged frames (br_netfilter).

    Then a container's connection to its own published port is turned back inside the bridge, which needs
    hairpin mode; without br_netfilter it passes through the host's IP layer. And then the firewall keeps
    containers apart where they shall not talk (icc), else the bridge must.
    """
    first, second = gateways(network, endpoint)
    plan: EndpointPlan = {
        "network": network.name,
        "bridge": network.below,
        "host_interface": endpoint.host_interface,
        "interface": endpoint.interface,
        "mac": endpoint.mac,
        "addresses": [*endpoint.addresses, *(_with_length(each) for each in endpoint.link_local)],
        "gateway": first,
        "mtu": network.mtu,
    }
    if second:
        plan["gateway6"] = second
    if network.driver != "bridge":
        plan["driver"], plan["mode"], plan["flag"] = network.driver, network.mode, network.flag
        plan["mtu"] = 0 if network.mtu == _STANDARD_MTU else network.mtu  # 0: its parent's
        plan["probe"] = not network.internal and network.mode not in {"l3", "l3s"}
    if filtered and endpoint.ports:
        plan["hairpin"] = True
    if not filtered and not network.icc:
        plan["isolated"] = True
    if sysctls := interface_sysctls(endpoint):
        plan["sysctls"] = sysctls
    return plan


_STANDARD_MTU = 1500


def _with_length(link_local: str) -> str:
    if "/" in link_local:
        return link_local
    return f"{link_local}/64" if ":" in link_local else f"{link_local}/16"


def interface_sysctls(endpoint: Endpoint) -> list[list[str]]:
    """[path below /proc/sys, value] of the endpoint's "net.ipv4.conf.IFNAME.log_martians=1,…". Raises Invalid."""
    found = []
    for entry in filter(None, endpoint.driver_opts.get(SYSCTLS, "").split(",")):
        name, equals, value = entry.strip().partition("=")
        parts = name.split(".")
        if (
            not equals
            or len(parts) != 5
            or parts[0] != "net"
            or parts[3].upper() != "IFNAME"
            or not all(parts)
        ):
            raise Invalid(
                f'invalid sysctl "{entry}" in {SYSCTLS}', hint="net.PROTOCOL.GROUP.IFNAME.SETTING=VALUE"
            )
        if any("/" in part or part in {".", ".."} for part in parts):
            raise Invalid(f'invalid sysctl "{entry}" in {SYSCTLS}')
        parts[3] = endpoint.interface
        found.append(["/".join(parts), value])
    return found


def published(
    endpoints: Sequence[Endpoint], networks: Mapping[str, Network], *, direct: bool = False
) -> list[Published]:
    """A container's mappings, each with the address of its family by which the container answers.

    That is the address on the network by which its default route goes: else the answer would not come back
    the same way. Mappings without such an address, and those that are announced, are the proxy's.
    """
    found = []
    for ipv6 in (False, True):
        digit = "6" if ipv6 else "4"
        holder = next((each for each in endpoints if digit in each.gateway), None)
        holder = holder or next((each for each in endpoints if each.ports and each.address(ipv6=ipv6)), None)
        if holder is None:
            continue
        network = networks[holder.network_id]
        routed = network.gateway_mode(ipv6=ipv6) == "routed"
        address = holder.address(ipv6=ipv6)
        found += [
            Published(mapping, address, routed, direct or bool(network.trusted))
            for each in endpoints
            for mapping in each.ports
            if mapping.is_ipv6 == ipv6 and not mapping.announced
        ]
    return found
