"""The kernel's side of a bridge network: the link, its addresses and switches. Knows no containers."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from nakagin.errors import StepFailed
from nakagin.kernel import netlink
from nakagin.network.addresses import mac_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from nakagin.network.model import Network


_SHORTEST_PREFIX = 8


def plan(network: Network) -> list[tuple[str, str]]:
    """The switches under /proc/sys/net that a bridge network needs, and their values."""
    switches = [("ipv4/ip_forward", "1")]
    if network.enable_ipv6:
        switches += [("ipv6/conf/all/forwarding", "1"), (f"ipv6/conf/{network.bridge}/accept_ra", "0")]
    else:
        # Otherwise containers would reach the host by its link-local address, past every rule for IPv4.
        switches.append((f"ipv6/conf/{network.bridge}/disable_ipv6", "1"))
    return switches


def index(name: str) -> int:
    """The bridge's interface index, 0 where it does not exist."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def ensure(network: Network, *, ip_forward: bool = True) -> int:
    """Make the bridge with its gateway addresses, or complete it; its interface index. Raises StepFailed."""
    try:
        with netlink.Socket() as kernel:
            if not index(network.bridge):
                mac = mac_of(network.subnets[0].gateway)
                kernel.send([netlink.add_bridge(network.bridge, mac=mac, mtu=network.mtu)])
            number = socket.if_nametoindex(network.bridge)
            for path, value in plan(network):
                if ip_forward or not path.endswith(("ip_forward", "forwarding")):
                    _switch(path, value)
            batch = [
                netlink.add_address(number, network.bridge, f"{pool.gateway}/{pool.subnet.partition('/')[2]}")
                for pool in network.subnets
            ]
            kernel.send([*batch, netlink.set_up(number, network.bridge)])
    except OSError as error:
        cause = error.strerror or str(error)
        raise StepFailed(f"make bridge {network.bridge}", cause, errno=error.errno or 0) from error
    return number


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


def subnets_in_use(own: int = 0) -> list[tuple[str, int]]:
    """(subnet, interface index) of every route and address of this host, but those of interface `own`.

    Routes like 0.0.0.0/1 are left out: they are a VPN's way to say "default".
    """
    with netlink.Socket() as kernel:
        found = kernel.routes() + [(address, number) for number, address in kernel.addresses()]
    return [
        (subnet, number)
        for subnet, number in found
        if number != own and int(subnet.rpartition("/")[2]) >= _SHORTEST_PREFIX
    ]


def sweep(name: str, keep: Collection[str]) -> None:
    """Delete the interfaces on a bridge that belong to no living endpoint."""
    number = index(name)
    if not number:
        return
    with netlink.Socket() as kernel:
        for link in kernel.links():
            if link.master == number and link.kind == "veth" and link.name not in keep:
                _delete(kernel, link.name)


def plug_in(name: str, host_interfaces: Collection[str]) -> None:
    """Put these interfaces on the bridge again, where they have lost it (the bridge was deleted under us)."""
    master = index(name)
    with netlink.Socket() as kernel:
        lost = [link for link in kernel.links() if link.name in host_interfaces and link.master != master]
        if lost:
            kernel.send([netlink.set_master(link.index, link.name, master) for link in lost])


def remove(name: str) -> None:
    """Delete a bridge and the interfaces on it; nothing happens where it is not there."""
    sweep(name, ())
    with netlink.Socket() as kernel:
        _delete(kernel, name)


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
