"""The kernel's side of a bridge network: the link, its addresses and switches. Knows no containers."""

from __future__ import annotations

import glob
import ipaddress
import socket
import threading
from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Invalid, StepFailed
from nakagin.kernel import netlink
from nakagin.network.addresses import Use, mac_of
from nakagin.network.definition import inhibits_ipv4

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from nakagin.network.model import Network, Settings


_SHORTEST_PREFIX = 8
#: Between two looks whether a bridge is gone, in seconds.
_GLANCE = 0.0005


def plan(network: Network) -> list[tuple[str, str]]:
    """The switches under /proc/sys/net that a bridge network needs, and their values."""
    switches = [("ipv4/ip_forward", "1")]
    if network.enable_ipv6:
        switches += [("ipv6/conf/all/forwarding", "1"), (f"ipv6/conf/{network.bridge}/accept_ra", "0")]
    # Otherwise containers would reach the host by its link-local address, past every rule for IPv4.
    # Nor would the host solicit neighbours for what it forwards before its own address is through with detection.
    switches.append((f"ipv6/conf/{network.bridge}/accept_dad", "0"))
    own = network.enable_ipv6 and network.gateway_mode6 != "isolated"
    switches.append((f"ipv6/conf/{network.bridge}/disable_ipv6", "0" if own else "1"))
    return switches


def addresses(network: Network) -> list[str]:
    """The addresses of this host on the bridge, with prefix length."""
    return [
        f"{pool.gateway}/{pool.length}"
        for pool in network.subnets
        if pool.gateway
        and network.gateway_mode(ipv6=pool.is_ipv6) != "isolated"
        and (pool.is_ipv6 or not inhibits_ipv4(network))
    ]


def index(name: str) -> int:
    """The bridge's interface index, 0 where it does not exist."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def adopt(settings: Settings) -> Settings:
    """The settings with the addresses of the user's own bridge, where the default network is on one (--bridge)."""
    if settings.existing_bridge in {"", "none"}:
        return settings
    with netlink.Socket() as kernel:
        link = kernel.link(settings.existing_bridge)
        if link is None:
            raise Invalid(f"bridge {settings.existing_bridge} does not exist", where="--bridge")
        mine = [
            each
            for number, each in kernel.addresses()
            if number == link.index and not each.startswith("fe80:")
        ]
    first = {ipv6: next((each for each in mine if (":" in each) == ipv6), "") for ipv6 in (False, True)}
    return msgspec.structs.replace(
        settings, bridge_address=first[False], bridge_address6=first[True] or settings.bridge_address6
    )


def check_found(name: str) -> bool:
    """Whether there is a bridge of that name already, which we then use and leave. Raises Invalid for another kind."""
    with netlink.Socket() as kernel:
        link = kernel.link(name)
    if link is not None and link.kind != "bridge":
        raise Invalid(
            f"{name} is an interface of this host, but no bridge", hint="choose another bridge name"
        )
    return link is not None


def ensure(network: Network, *, ip_forward: bool = True) -> int:
    """Make the bridge with its gateway addresses, or complete it; its interface index. Raises StepFailed."""
    try:
        with netlink.Socket() as kernel:
            if not index(network.bridge):
                gateway = network.subnets[0].gateway if network.subnets else ""
                mac = mac_of(gateway) if gateway else f"02:42:{bytes.fromhex(network.id[:8]).hex(':')}"
                kernel.send([netlink.add_bridge(network.bridge, mac=mac, mtu=network.mtu)])
            number = socket.if_nametoindex(network.bridge)
            for path, value in plan(network):
                if path.endswith(("ip_forward", "forwarding")):
                    if not ip_forward:
                        continue
                    if path.startswith("ipv6"):
                        _keep_router_advertisements()
                _switch(path, value)
            batch = [netlink.add_address(number, network.bridge, each) for each in addresses(network)]
            kernel.send([*batch, netlink.set_up(number, network.bridge)])
    except OSError as error:
        cause = error.strerror or str(error)
        raise StepFailed(f"make bridge {network.bridge}", cause, errno=error.errno or 0) from error
    return number


def _keep_router_advertisements() -> None:
    """A host that forwards IPv6 ignores routers, and would lose its own default route (ip-sysctl: accept_ra)."""
    for path in glob.glob("/proc/sys/net/ipv6/conf/*/accept_ra"):
        name = path.split("/")[-2]
        with open(path, encoding="ascii") as file:
            if file.read().strip() == "1" and name not in {"all", "default", "lo"}:
                _switch(f"ipv6/conf/{name}/accept_ra", "2")


def open_loopback(name: str) -> None:
    """Let connections to a port published on 127.0.0.1 leave by this bridge.

    Only after the firewall's guard against the way back stands (CVE-2020-8558).
    """
    _switch(f"ipv4/conf/{name}/route_localnet", "1")


def frames_are_filtered() -> bool:
    """Whether the machine passes bridged frames through the IP firewall (br_netfilter)."""
    try:
        with open("/proc/sys/net/bridge/bridge-nf-call-iptables", encoding="ascii") as file:
            return file.read().strip() != "0"
    except OSError:
        return False


def subnets_in_use(own: int = 0) -> list[tuple[Use, int]]:
    """Every routed subnet and address of this host but those of interface `own`, and the interface's index.

    Routes like 0.0.0.0/1 are left out: they are a VPN's way to say "default". So are link-local ones.
    """
    with netlink.Socket() as kernel:
        found = kernel.routes() + [(address, number) for number, address in kernel.addresses()]
        names = {link.index: link.name for link in kernel.links()}
    seen: dict[tuple[str, int], None] = {}
    for subnet, number in found:
        long = int(subnet.rpartition("/")[2]) >= _SHORTEST_PREFIX
        if number != own and long and not subnet.startswith(("fe80:", "127.", "::1/", "ff00:")):
            seen[str(ipaddress.ip_network(subnet, strict=False)), number] = None
    return [(Use(subnet, f"the route by {names.get(number, '?')}"), number) for subnet, number in seen]


def sweep(name: str, keep: Collection[str]) -> None:
    """Delete the interfaces on a bridge that belong to no living endpoint."""
    with netlink.Socket() as kernel:
        for port in _ports(kernel, name):
            if port not in keep:
                _delete(kernel, port)


def _ports(kernel: netlink.Socket, name: str) -> list[str]:
    number = index(name)
    if not number:
        return []
    return [link.name for link in kernel.links() if link.master == number and link.kind == "veth"]


def plug_in(name: str, host_interfaces: Collection[str]) -> None:
    """Put these interfaces on the bridge again, where they have lost it (the bridge was deleted under us)."""
    master = index(name)
    with netlink.Socket() as kernel:
        lost = [link for link in kernel.links() if link.name in host_interfaces and link.master != master]
        if lost:
            kernel.send([netlink.set_master(link.index, link.name, master) for link in lost])


def remove(name: str, *, wholly: bool = False) -> None:
    """Delete a bridge and the interfaces on it; nothing happens where it is not there. Raises StepFailed.

    The kernel takes the bridge off its list at once, and lets the caller go when its last readers are through: 30 to
    50 ms later, in which the engine would stand still. So a thread waits for that, and for the interfaces (most go
    with their namespaces): nobody finds the bridge any more, and its name and addresses are free. `wholly` waits, too.
    """
    with netlink.Socket() as kernel:
        names = [name, *_ports(kernel, name)]
    failures: list[StepFailed] = []
    deleting = threading.Thread(target=_delete_all, args=(names, failures), daemon=True)
    deleting.start()
    while deleting.is_alive() and (wholly or index(name)):
        deleting.join(_GLANCE)
    if failures:
        raise failures[0]


def _delete_all(names: Sequence[str], failures: list[StepFailed]) -> None:
    try:
        with netlink.Socket() as kernel:
            for name in names:
                _delete(kernel, name)
    except StepFailed as error:
        failures.append(error)


def _delete(kernel: netlink.Socket, name: str) -> None:
    try:
        kernel.send([netlink.delete_link(name)])
    except OSError as error:
        if index(name):
            cause = error.strerror or str(error)
            raise StepFailed(f"delete {name}", cause, errno=error.errno or 0) from error


def _switch(path: str, value: str) -> None:
    """Write a switch where it differs: a machine that forbids the write may have it right already."""
    full = f"/proc/sys/net/{path}"
    try:
        with open(full, encoding="ascii") as file:
            if file.read().strip() == value:
                return
    except FileNotFoundError:
        return  # a kernel without IPv6
    try:
        with open(full, "w", encoding="ascii") as file:
            file.write(value)
    except OSError as error:
        step, cause = f"write {value} to {full}", error.strerror or str(error)
        hint = f"set it yourself: sysctl -w net.{path.replace('/', '.')}={value}"
        raise StepFailed(step, cause, errno=error.errno or 0, hint=hint) from error
