"""A container's interfaces: the monitor attaches its network namespace to a bridge, in two netlink batches.

Import-light; runs in the single-threaded monitor. Knows nothing of records, ports or names.
"""

from __future__ import annotations

import os
import socket

from nakagin.errors import StepFailed
from nakagin.kernel import netlink
from nakagin.kernel.namespaces import in_network_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.network.model import EndpointPlan

_LOOPBACK_INDEX = 1


def attach(plan: EndpointPlan, pid: int) -> None:
    """Give the network namespace of process `pid` the interface that `plan` describes, and its loopback.

    Raises StepFailed (the kernel's words in it); nothing of the interface is left then.
    """
    namespace = -1
    try:
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _plug(plan, namespace)
        with in_network_namespace(namespace):
            _configure(plan)
    except OSError as error:
        detach(plan)
        step = f"attach {plan['interface']} to network {plan['network']} (bridge {plan['bridge']})"
        raise StepFailed(step, error.strerror or str(error), errno=error.errno or 0) from error
    finally:
        if namespace >= 0:
            os.close(namespace)


def _plug(plan: EndpointPlan, namespace: int) -> None:
    """The pair of interfaces: one end on the bridge, the other made inside the container at once."""
    with netlink.Socket() as host:
        pair = netlink.add_veth(
            plan["host_interface"],
            peer=plan["interface"],
            peer_netns=namespace,
            peer_mac=plan["mac"],
            master=socket.if_nametoindex(plan["bridge"]),
            mtu=plan["mtu"],
        )
        batch = [pair]
        hairpin, isolated = plan.get("hairpin", False), plan.get("isolated", False)
        if hairpin or isolated:
            batch.append(netlink.set_port(plan["host_interface"], hairpin=hairpin, isolated=isolated))
        host.send(batch)


def _configure(plan: EndpointPlan) -> None:
    name = plan["interface"]
    index = socket.if_nametoindex(name)
    if not any(":" in address for address in plan["addresses"]):
        _disable_ipv6(name)
    batch = [netlink.set_up(_LOOPBACK_INDEX, "lo"), netlink.set_up(index, name)]
    batch += [netlink.add_address(index, name, address) for address in plan["addresses"]]
    batch += [netlink.add_route(index, name, *route) for route in plan.get("routes", ())]
    for gateway in (plan["gateway"], plan.get("gateway6", "")):
        if gateway:
            batch.append(netlink.add_route(index, name, "default", gateway))
    with netlink.Socket() as inside:
        inside.send(batch)


def _disable_ipv6(interface: str) -> None:
    """Before the interface is up, so that it never gets a link-local address on an IPv4 network."""
    try:
        switch = os.open(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6", os.O_WRONLY)
    except FileNotFoundError:
        return  # a kernel without IPv6
    try:
        os.write(switch, b"1")
    finally:
        os.close(switch)


def loopback_up(pid: int) -> None:
    """Bring up `lo` in the network namespace of process `pid` (what `--network none` has)."""
    namespace = -1
    try:
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        with in_network_namespace(namespace), netlink.Socket() as inside:
            inside.send([netlink.set_up(_LOOPBACK_INDEX, "lo")])
    except OSError as error:
        raise StepFailed("bring up lo", error.strerror or str(error), errno=error.errno or 0) from error
    finally:
        if namespace >= 0:
            os.close(namespace)


def detach(plan: EndpointPlan) -> None:
    """Delete the host's side of the interface where it is still there; the container's side goes with it."""
    try:
        with netlink.Socket() as host:
            host.send([netlink.delete_link(plan["host_interface"])])
    except OSError:
        pass  # it went with its namespace
