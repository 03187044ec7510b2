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


class Subnet(msgspec.Struct, frozen=True, omit_defaults=True):
    """One pool of a network; IPv4 or IPv6 alike."""

    subnet: str
    gateway: str
    ip_range: str = ""
    auxiliary: dict[str, str] = {}

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.subnet


class Network(msgspec.Struct, frozen=True, omit_defaults=True):
    """A network as it is recorded. `driver` is "bridge", "host" or "null" (Docker's name for none)."""

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
    options: dict[str, str] = {}
    labels: dict[str, str] = {}

    @property
    def enable_ipv4(self) -> bool:
        return any(not each.is_ipv6 for each in self.subnets)

    @property
    def enable_ipv6(self) -> bool:
        return any(each.is_ipv6 for each in self.subnets)

    @property
    def is_default_bridge(self) -> bool:
        return self.name == DEFAULT_BRIDGE


class PortRequest(msgspec.Struct, frozen=True):
    """One wish of `-p`: container port to one host port of first..last (0, 0: the engine picks one).

    An empty `host_ip` means the network's default: all addresses of the host, IPv4 and IPv6.
    """

    container_port: int
    protocol: Protocol = "tcp"
    host_ip: str = ""
    host_first: int = 0
    host_last: int = 0


class PortMapping(msgspec.Struct, frozen=True, omit_defaults=True):
    """`count` consecutive host ports published to as many consecutive container ports."""

    protocol: Protocol
    host_ip: str
    host_port: int
    container_port: int
    count: int = 1

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.host_ip


class Endpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """A container's place on a network, as it is recorded while the container runs."""

    id: str
    network_id: str
    container_id: str
    container_name: str
    host_interface: str
    interface: str
    mac: str
    addresses: tuple[str, ...]
    ports: tuple[PortMapping, ...] = ()


class EndpointPlan(TypedDict):
    """What the monitor needs to attach a container: see `links.attach`."""

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


class Settings(msgspec.Struct, frozen=True):
    """What dockerd's network flags say; `instance` keeps several engines on one machine apart."""

    instance: str = ""
    bridge_address: str = ""  # --bip, "172.17.0.1/16"
    fixed_cidr: str = ""  # --fixed-cidr
    fixed_cidr_v6: str = ""  # --fixed-cidr-v6: the default bridge has IPv6 as well
    mtu: int = 1500
    icc: bool = True
    masquerade: bool = True
    ip_forward: bool = True
    firewall: bool = True  # --iptables
    host_binding: str = ""  # --ip; empty: 0.0.0.0 and ::
    pools: tuple[tuple[str, int], ...] = ()  # --default-address-pool (base, size); empty: Docker's

    @property
    def bridge(self) -> str:
        return f"nk-{self.instance[:11]}0" if self.instance else "nakagin0"

    @property
    def table(self) -> str:
        return f"nakagin_{self.instance}" if self.instance else "nakagin"
