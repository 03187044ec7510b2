"""The words of the network room: networks, endpoints, published ports.

Engine side only. What crosses to the monitor is `EndpointPlan`, a plain JSON object (see `links`).
Addresses are strings ("172.17.0.2", interfaces with prefix "172.17.0.2/16"), ids are 64 hex digits.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

import msgspec

Protocol = Literal["tcp", "udp", "sctp"]

DEFAULT_BRIDGE = "bridge"
PREDEFINED = (DEFAULT_BRIDGE, "host", "none")
DRIVERS = ("bridge", "host", "ipvlan", "macvlan", "null")

#: How a bridge network's family leads outside: translated, routed as it is, not at all (see docs/network.md).
GatewayMode = Literal["nat", "nat-unprotected", "routed", "isolated"]


class Subnet(msgspec.Struct, frozen=True, omit_defaults=True):
    """One pool of a network; IPv4 or IPv6 alike. `gateway` is the host's address there, "" for none."""

    subnet: str
    gateway: str = ""
    ip_range: str = ""
    auxiliary: dict[str, str] = {}

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.subnet

    @property
    def length(self) -> str:
        """The prefix length as text."""
        return self.subnet.rpartition("/")[2]

    @property
    def route(self) -> str:
        """Where containers send what is for outside: the gateway, or the router that the user named instead."""
        return self.auxiliary.get(
            "DefaultGatewayIPv6" if self.is_ipv6 else "DefaultGatewayIPv4", self.gateway
        )


class Network(msgspec.Struct, frozen=True, omit_defaults=True):
    """A network as it is recorded. `driver` is one of DRIVERS; `bridge` is the interface of a bridge network.

    `parent` is the interface of the host below a macvlan or ipvlan network; `found` says that bridge or parent
    were there before, and stay. `trusted` are interfaces of the host from which published ports are reached at the
    container's own address as well. `egress` is None where containers may reach everything, else what they may.
    """

    id: str
    name: str
    driver: str
    created: str
    subnets: tuple[Subnet, ...] = ()
    bridge: str = ""
    mtu: int = 1500
    internal: bool = False
    attachable: bool = False
    icc: bool = True
    masquerade: bool = True
    host_binding: str = ""
    trusted: tuple[str, ...] = ()
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    ipam_driver: str = "default"
    ipam_options: dict[str, str] = {}
    config_only: bool = False
    config_from: str = ""
    gateway_mode4: GatewayMode = "nat"
    gateway_mode6: GatewayMode = "nat"
    interface_prefix: str = "eth"
    parent: str = ""
    found: bool = False
    mode: str = ""
    flag: str = ""
    egress: tuple[str, ...] | None = None
    user_subnets: bool = False

    @property
    def enable_ipv4(self) -> bool:
        return any(not each.is_ipv6 for each in self.subnets)

    @property
    def enable_ipv6(self) -> bool:
        return any(each.is_ipv6 for each in self.subnets)

    @property
    def is_default_bridge(self) -> bool:
        return self.name == DEFAULT_BRIDGE

    @property
    def predefined(self) -> bool:
        return self.name in PREDEFINED

    @property
    def below(self) -> str:
        """The interface of this host that its containers hang on: bridge or parent."""
        return self.bridge or self.parent

    def gateway_mode(self, *, ipv6: bool) -> GatewayMode:
        return self.gateway_mode6 if ipv6 else self.gateway_mode4

    def routes(self, *, ipv6: bool) -> bool:
        """Whether containers on it can have their default route by it."""
        pool = next((each for each in self.subnets if each.is_ipv6 == ipv6), None)
        if pool is None or self.internal:
            return False
        return bool(pool.route) or self.mode in {"l3", "l3s"}


class PortRequest(msgspec.Struct, frozen=True):
    """One wish of `-p`: container port to one host port of first..last (0, 0: the engine picks one).

    An empty `host_ip` means the network's default: all addresses of the host, IPv4 and IPv6. `announced`: the
    container wants to be told who the client is, by PROXY protocol.
    """

    container_port: int
    protocol: Protocol = "tcp"
    host_ip: str = ""
    host_first: int = 0
    host_last: int = 0
    announced: bool = False


class PortMapping(msgspec.Struct, frozen=True, omit_defaults=True):
    """`count` consecutive host ports published to as many consecutive container ports.

    What is `announced` is carried by the monitor, which says who the client is, and never translated.
    """

    protocol: Protocol
    host_ip: str
    host_port: int
    container_port: int
    count: int = 1
    announced: bool = False

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.host_ip


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One network that a container shall be on, and what it asks for there.

    `dns_names` are all names it answers to on the network, `aliases` those of them that the user gave.
    """

    network: str
    mac: str = ""
    ipv4: str = ""
    ipv6: str = ""
    link_local: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    driver_opts: dict[str, str] = {}
    gw_priority: int = 0


class Endpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """A container's place on a network, as it is recorded while the container runs.

    `gateway` has the families ("4", "6") whose default route goes by here.
    """

    id: str
    network_id: str
    container_id: str
    container_name: str
    host_interface: str
    interface: str
    mac: str
    addresses: tuple[str, ...]
    ports: tuple[PortMapping, ...] = ()
    aliases: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    link_local: tuple[str, ...] = ()
    driver_opts: dict[str, str] = {}
    gw_priority: int = 0
    gateway: tuple[str, ...] = ()

    def address(self, *, ipv6: bool) -> str:
        """Its address of a family without prefix length, or ""."""
        return next((each.partition("/")[0] for each in self.addresses if (":" in each) == ipv6), "")


class EndpointPlan(TypedDict):
    """What the monitor needs to attach a container: see `links.attach`.

    `bridge` is the bridge of a bridge network, or the parent of a macvlan or ipvlan one (`driver` says which).
    """

    network: str
    bridge: str
    host_interface: str
    interface: str
    mac: str
    addresses: list[str]
    gateway: str
    gateway6: NotRequired[str]
    mtu: int
    routes: NotRequired[list[list[str]]]  # [destination, gateway]
    hairpin: NotRequired[bool]
    isolated: NotRequired[bool]
    driver: NotRequired[str]
    mode: NotRequired[str]
    flag: NotRequired[str]
    sysctls: NotRequired[list[list[str]]]  # [path below /proc/sys, value]
    probe: NotRequired[bool]


class Settings(msgspec.Struct, frozen=True):
    """What dockerd's network flags say; `instance` keeps several engines on one machine apart."""

    instance: str = ""
    bridge_address: str = ""  # --bip, "172.17.0.1/16"
    fixed_cidr: str = ""  # --fixed-cidr
    fixed_cidr_v6: str = ""  # --fixed-cidr-v6
    bridge_address6: str = ""  # --bip6
    ipv6: bool = False  # --ipv6: the default bridge has IPv6 as well
    default_gateway: str = ""  # --default-gateway: another router for containers on the default bridge
    default_gateway6: str = ""
    existing_bridge: str = (
        ""  # --bridge: the default bridge is this interface of the user's; "none": there is none
    )
    network_options: dict[str, dict[str, str]] = {}  # --default-network-opt: options by driver
    ula: str = ""  # the /48 from which IPv6 subnets are cut where no pool is given
    mtu: int = 1500
    icc: bool = True
    masquerade: bool = True
    ip_forward: bool = True
    firewall: bool = True  # --iptables
    firewall6: bool = True  # --ip6tables
    direct_routing: bool = False  # --allow-direct-routing
    host_binding: str = ""  # --ip; empty: 0.0.0.0 and ::
    pools: tuple[tuple[str, int], ...] = ()  # --default-address-pool (base, size); empty: Docker's

    @property
    def bridge(self) -> str:
        if self.existing_bridge not in {"", "none"}:
            return self.existing_bridge
        return f"nk-{self.instance[:11]}0" if self.instance else "nakagin0"

    @property
    def table(self) -> str:
        return f"nakagin_{self.instance}" if self.instance else "nakagin"

    def bridge_of(self, network_id: str) -> str:
        """The name of the bridge of a network whose user did not choose one."""
        return f"nk-{self.instance[:7]}{network_id}"[:15]
