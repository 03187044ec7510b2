"""A container's interfaces: attaching its network namespace to a bridge, or on top of a host's interface.

Import-light; runs in the single-threaded monitor at a start, and in a thread of the engine for a container
that runs. Two netlink batches, one on either side. Knows nothing of records, ports or names.
"""

from __future__ import annotations

import errno
import os
import socket

from nakagin.errors import AddressTaken, StepFailed
from nakagin.kernel import netlink
from nakagin.kernel.namespaces import in_network_namespace
from nakagin.network import probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.network.model import EndpointPlan

_LOOPBACK_INDEX = 1
# Kernels before 6.13 refuse a name that an interface of the host has, though the new one is made elsewhere.
_NEWBORN = "nk-newborn"


def attach(plan: EndpointPlan, pid: int) -> None:
    """Give the network namespace of process `pid` the interface that `plan` describes, and its loopback.

    Raises StepFailed (the kernel's words in it), AddressTaken; nothing of the interface is left then.
    """
    namespace = -1
    try:
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        if plan.get("probe") and plan.get("driver") == "ipvlan":
            # An ipvlan hears only what is for addresses it has: its parent, with the same MAC address, asks for it.
            _check_free(plan["bridge"], plan["addresses"])
        _plug(plan, namespace)
        with in_network_namespace(namespace):
            _configure(plan)
    except OSError as error:
        _remove(plan, namespace)
        what = "bridge" if _is_bridge(plan) else "parent"
        step = f"attach {plan['interface']} to network {plan['network']} ({what} {plan['bridge']})"
        kind = AddressTaken if error.errno == errno.EADDRINUSE else StepFailed
        raise kind(
            step, error.strerror or str(error), errno=error.errno or 0, hint=_hint(plan, error)
        ) from error
    finally:
        if namespace >= 0:
            os.close(namespace)


def _is_bridge(plan: EndpointPlan) -> bool:
    return plan.get("driver", "bridge") == "bridge"


def _hint(plan: EndpointPlan, error: OSError) -> str | None:
    if error.errno == errno.EOPNOTSUPP and not _is_bridge(plan):
        return f"this kernel has no {plan.get('driver')} (modprobe {plan.get('driver')})"
    if error.errno == errno.EADDRINUSE:
        return (
            "keep it out of the network's pool with --ip-range or --aux-address, or choose another with --ip"
        )
    if error.errno == errno.EBUSY and not _is_bridge(plan):
        return "the interface below is in use in another way: as a bridge's port, or by the other of macvlan and ipvlan"
    return None


def _plug(plan: EndpointPlan, namespace: int) -> None:
    """The host's half: the interface is made inside the container at once."""
    below = socket.if_nametoindex(plan["bridge"])
    with netlink.Socket() as host:
        host.send(_requests(plan, namespace, below))


def _requests(plan: EndpointPlan, namespace: int, below: int) -> list[netlink.Request]:
    new, mac, mtu, mode = _NEWBORN, plan["mac"], plan["mtu"], plan.get("mode", "")
    match plan.get("driver", "bridge"):
        case "macvlan":
            return [netlink.add_macvlan(new, parent=below, netns=namespace, mode=mode, mac=mac, mtu=mtu)]
        case "ipvlan":
            flag = plan.get("flag", "")
            return [netlink.add_ipvlan(new, parent=below, netns=namespace, mode=mode, flag=flag, mtu=mtu)]
    host, name = plan["host_interface"], plan["interface"]
    pair = netlink.add_veth(host, peer=name, peer_netns=namespace, peer_mac=mac, master=below, mtu=mtu)
    hairpin, isolated = plan.get("hairpin", False), plan.get("isolated", False)
    port = [netlink.set_port(host, hairpin=hairpin, isolated=isolated)] if hairpin or isolated else []
    return [pair, *port]


def _configure(plan: EndpointPlan) -> None:
    name = plan["interface"]
    if not _is_bridge(plan):
        with netlink.Socket() as inside:
            inside.send([netlink.rename(socket.if_nametoindex(_NEWBORN), _NEWBORN, name)])
    index = socket.if_nametoindex(name)
    if not any(":" in address for address in plan["addresses"]):
        _switch(f"net/ipv6/conf/{name}/disable_ipv6", "1", may_miss=True)
    elif _is_bridge(plan):
        # All addresses on a bridge are ours to give: its link-local one need not wait for a second either.
        _switch(f"net/ipv6/conf/{name}/accept_dad", "0", may_miss=True)
    for path, value in plan.get("sysctls", ()):
        _switch(path, value)
    batch = [netlink.set_up(_LOOPBACK_INDEX, "lo"), netlink.set_up(index, name)]
    batch += [netlink.add_address(index, name, address) for address in plan["addresses"]]
    batch += [netlink.add_route(index, name, *route) for route in plan.get("routes", ())]
    batch += _default_routes(index, name, (plan["gateway"], plan.get("gateway6", "")))
    if plan.get("probe") and plan.get("driver") == "macvlan":
        with netlink.Socket() as inside:
            inside.send(batch[:2])
        _check_free(name, plan["addresses"])
    with netlink.Socket() as inside:
        inside.send(batch)


def _check_free(interface: str, addresses: Sequence[str]) -> None:
    """On a network that is not ours alone somebody else may have an address. Raises OSError, naming who."""
    taken = probe.ask(interface, [each.partition("/")[0] for each in addresses])
    if taken is not None:
        address, mac = taken
        raise OSError(errno.EADDRINUSE, f"address {address} is already in use on the network by {mac}")


def _default_routes(index: int, name: str, gateways: Sequence[str]) -> list[netlink.Request]:
    """A gateway is an address, or "0.0.0.0/0" or "::/0" for a route by the interface alone."""
    return [
        netlink.add_route(index, name, each, "")
        if "/" in each
        else netlink.add_route(index, name, "default", each)
        for each in gateways
        if each
    ]


def _switch(path: str, value: str, *, may_miss: bool = False) -> None:
    """Write below /proc/sys: that of the present network namespace."""
    full = f"/proc/sys/{path}"
    try:
        switch = os.open(full, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        if may_miss:
            return  # a kernel without IPv6
        raise OSError(error.errno, f"{full}: {error.strerror}") from None
    try:
        os.write(switch, value.encode())
    except OSError as error:
        raise OSError(error.errno, f"write {value} to {full}: {error.strerror}") from None
    finally:
        os.close(switch)


def route_by(interface: str, gateways: Sequence[str], pid: int) -> None:
    """Let the default routes of a running container go by another of its interfaces. Raises StepFailed."""
    namespace = -1
    try:
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        with in_network_namespace(namespace):
            index = socket.if_nametoindex(interface)
            with netlink.Socket() as inside:
                inside.send(_default_routes(index, interface, gateways))
    except OSError as error:
        step = f"set the default route by {interface}"
        raise StepFailed(step, error.strerror or str(error), errno=error.errno or 0) from error
    finally:
        if namespace >= 0:
            os.close(namespace)


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


def detach(plan: EndpointPlan, pid: int = 0) -> None:
    """Delete the interface where it is still there; both sides go together.

    `pid` is a process inside, needed for what has no side on the host (macvlan, ipvlan).
    """
    namespace = -1
    try:
        if pid:
            namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        pass  # it ended, and its interfaces with it
    try:
        _remove(plan, namespace)
    finally:
        if namespace >= 0:
            os.close(namespace)


def _remove(plan: EndpointPlan, namespace: int) -> None:
    try:
        if _is_bridge(plan):
            with netlink.Socket() as host:
                host.send([netlink.delete_link(plan["host_interface"])])
        elif namespace >= 0:
            with in_network_namespace(namespace), netlink.Socket() as inside:
                unnamed = inside.link(_NEWBORN) is not None
                inside.send([netlink.delete_link(_NEWBORN if unnamed else plan["interface"])])
    except OSError:
        pass  # it went with its namespace
