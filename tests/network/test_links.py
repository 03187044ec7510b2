from __future__ import annotations

import os
import socket

import pytest
from tests.network.sandbox import Host, hosts, in_namespace

from nakagin.errors import StepFailed
from nakagin.kernel import netlink
from nakagin.network import links
from nakagin.network.model import EndpointPlan

pytestmark = pytest.mark.root


def make_bridge() -> None:
    with netlink.Socket() as kernel:
        kernel.send([netlink.add_bridge("br0", mac="02:42:0a:01:00:01", mtu=1500)])
        index = socket.if_nametoindex("br0")
        kernel.send([netlink.add_address(index, "br0", "10.1.0.1/16"), netlink.set_up(index, "br0")])


def plan(number: int = 2, **changes: object) -> EndpointPlan:
    made: EndpointPlan = {
        "network": "test", "bridge": "br0", "host_interface": f"veth{number}", "interface": "eth0",
        "mac": f"02:42:0a:01:00:{number:02x}", "addresses": [f"10.1.0.{number}/16"],
        "gateway": "10.1.0.1", "mtu": 1450,
    }  # fmt: skip
    made.update(changes)  # type: ignore[typeddict-item]
    return made


def inside(host: Host, path: str) -> str:
    """A file below /proc/net or /proc/sys/net as the host sees it."""
    with host.inside(), open(path, encoding="ascii") as file:
        return file.read().strip()


@in_namespace
def test_an_attached_namespace_has_interface_address_route_and_loopback() -> None:
    make_bridge()
    with hosts(1) as (host,):
        links.attach(plan(), host.pid)
        with host.inside(), netlink.Socket() as there:
            link = there.link("eth0")
            assert link is not None
            assert (link.mac, link.mtu) == ("02:42:0a:01:00:02", 1450)
            assert {address for _, address in there.addresses()} == {"127.0.0.1/8", "::1/128", "10.1.0.2/16"}
        assert inside(host, "/proc/sys/net/ipv6/conf/eth0/disable_ipv6") == "1"
        with host.open() as listener:
            listener.bind(("10.1.0.2", 80))
            listener.listen()
            with socket.create_connection(("10.1.0.2", 80), 5):
                pass


@in_namespace
def test_dual_stack_works_without_waiting_for_duplicate_detection() -> None:
    make_bridge()
    with netlink.Socket() as kernel:
        kernel.send([netlink.add_address(socket.if_nametoindex("br0"), "br0", "fd00:9::1/64")])
    with hosts(1) as (host,):
        links.attach(plan(addresses=["10.1.0.2/16", "fd00:9::2/64"], gateway6="fd00:9::1"), host.pid)
        with host.open(family=socket.AF_INET6) as listener:
            listener.bind(("fd00:9::2", 80))
            listener.listen()
            with socket.create_connection(("fd00:9::2", 80), 5):
                pass


@in_namespace
def test_a_failed_attach_leaves_nothing() -> None:
    make_bridge()
    with hosts(1) as (host,), netlink.Socket() as kernel:
        with pytest.raises(StepFailed, match=r"attach eth0 to network test .*invalid gateway"):
            links.attach(plan(gateway="192.0.2.1"), host.pid)
        with pytest.raises(StepFailed, match=r"\(bridge missing\): no interface with this name"):
            links.attach(plan(bridge="missing"), host.pid)
        assert [each.name for each in kernel.links() if each.kind == "veth"] == []
        links.attach(plan(), host.pid)
        links.detach(plan())
        links.detach(plan())
        assert kernel.link("veth2") is None


@in_namespace
def test_loopback_alone() -> None:
    with hosts(1) as (host,):
        links.loopback_up(host.pid)
        with host.inside(), socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), 5).close()
    with pytest.raises(StepFailed):
        links.loopback_up(host.pid)


@in_namespace
def test_attaching_keeps_no_descriptor() -> None:
    make_bridge()
    before = len(os.listdir("/proc/self/fd"))
    with hosts(20) as several:
        descriptors = len(os.listdir("/proc/self/fd"))
        for number, host in enumerate(several, 2):
            links.attach(plan(number), host.pid)
        assert len(os.listdir("/proc/self/fd")) == descriptors
    assert len(os.listdir("/proc/self/fd")) == before
