"""ipvlan in its three modes, and VLANs, where the kernel has them; tests/vm runs this on one that does."""

from __future__ import annotations

import socket

import pytest
from tests.network.sandbox import Greeter, Host, ask, greeting, hosts, in_namespace

from nakagin.errors import StepFailed
from nakagin.kernel import netlink
from nakagin.network import bridges, links, parents
from nakagin.network.model import EndpointPlan, Network

pytestmark = pytest.mark.root


def needs(kind: str) -> pytest.MarkDecorator:
    """Skip where the kernel cannot make interfaces of this kind."""
    return pytest.mark.skipif(not _has(kind), reason=f"this kernel has no {kind}")


def _has(kind: str) -> bool:
    found = True

    @in_namespace
    def probe() -> None:
        with netlink.Socket() as kernel:
            kernel.send([netlink.add_pair("p0", "p1")])
            index = socket.if_nametoindex("p0")
            if kind == "vlan":
                kernel.send([netlink.add_vlan("p0.9", parent=index, tag=9)])
            else:
                with open("/proc/self/ns/net", "rb") as here:
                    kernel.send(
                        [
                            netlink.add_ipvlan(
                                "i0", parent=index, netns=here.fileno(), mode="l2", flag="", mtu=0
                            )
                        ]
                    )

    try:
        probe()
    except AssertionError:
        found = False
    return found


def wire(far: Host, address: str) -> None:
    """`eth0` here, on one cable with the other host's."""
    with netlink.Socket() as kernel:
        kernel.send([netlink.add_pair("eth0", "other")])
        kernel.send([netlink.set_up(socket.if_nametoindex("eth0"), "eth0")])
        index = socket.if_nametoindex("other")
        kernel.send([netlink.move(index, "other", far.namespace)])
    with far.inside(), netlink.Socket() as kernel:
        index = socket.if_nametoindex("other")
        kernel.send(
            [
                netlink.set_up(1, "lo"),
                netlink.set_up(index, "other"),
                netlink.add_address(index, "other", address),
            ]
        )


def plan(address: str, mode: str, parent: str = "eth0", gateway: str = "") -> EndpointPlan:
    return {
        "network": "n", "bridge": parent, "host_interface": "", "interface": "eth0", "mac": "",
        "addresses": [address], "gateway": gateway, "mtu": 0, "driver": "ipvlan", "mode": mode, "flag": "",
        "probe": mode == "l2",
    }  # fmt: skip


@needs("ipvlan")
@pytest.mark.parametrize("mode", ["l2", "l3", "l3s"])
def test_neighbours_on_one_parent_and_the_outside(mode: str) -> None:
    @in_namespace
    def body() -> None:
        with hosts(3) as (one, two, outside):
            wire(outside, "10.0.0.9/24")
            # in the L3 modes the parent answers for the container, and its own subnet is another one
            subnet = "10.0.0" if mode == "l2" else "10.7.0"
            default = "" if mode == "l2" else "0.0.0.0/0"
            for number, host in enumerate((one, two), 1):
                links.attach(plan(f"{subnet}.{number}/24", mode, gateway=default), host.pid)
            Greeter(two, "two", range(80, 81))
            Greeter(outside, "outside", range(80, 81))
            assert greeting(one.connect(f"{subnet}.2", 80)) == f"two 80 {subnet}.1"
            if mode == "l2":
                assert greeting(one.connect("10.0.0.9", 80)) == "outside 80 10.0.0.1"
                assert ask(outside.open(socket.SOCK_DGRAM), "10.0.0.2", 80) == "two 80 10.0.0.9"
                with (
                    hosts(1) as (late,),
                    pytest.raises(StepFailed, match=r"10\.0\.0\.9 is already in use"),
                ):
                    links.attach(plan("10.0.0.9/24", mode), late.pid)
            links.detach(plan(f"{subnet}.1/24", mode), one.pid)
            with one.inside(), netlink.Socket() as kernel:
                assert [each.name for each in kernel.links()] == ["lo"]

    body()


@needs("vlan")
@in_namespace
def test_a_vlan_of_a_parent_is_made_and_goes() -> None:
    with hosts(2) as (one, outside):
        wire(outside, "10.0.0.9/24")
        with outside.inside(), netlink.Socket() as kernel:
            below = socket.if_nametoindex("other")
            kernel.send([netlink.add_vlan("other.50", parent=below, tag=50)])
            index = socket.if_nametoindex("other.50")
            kernel.send([netlink.set_up(index, "x"), netlink.add_address(index, "x", "10.50.0.9/24")])
        Greeter(outside, "outside", range(80, 81))
        network = Network("a" * 64, "n", "macvlan", "", parent="eth0.50", mode="bridge")
        assert parents.ensure(network)
        assert not parents.ensure(network)
        tagged = plan("10.50.0.1/24", "bridge", parent="eth0.50")
        tagged["driver"], tagged["mac"] = "macvlan", "02:00:00:00:00:50"
        links.attach(tagged, one.pid)
        assert greeting(one.connect("10.50.0.9", 80)) == "outside 80 10.50.0.1"
        parents.remove(network)
        assert not bridges.index("eth0.50")
