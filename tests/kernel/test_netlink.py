from __future__ import annotations

import os
import socket

import pytest
from tests.network.sandbox import hosts, in_namespace

from nakagin.kernel import netlink


def test_a_batch_is_one_datagram_whose_last_message_asks_for_the_answer() -> None:
    data = netlink.encode([netlink.set_up(1, "lo"), netlink.delete_link("veth0")], 7)
    found = list(netlink.messages(data))
    assert [(kind, flags, sequence) for kind, flags, sequence, _ in found] == [(16, 0x1, 7), (17, 0x5, 8)]
    assert netlink.attributes(found[1][3], 16) == {3: b"veth0\0"}


def test_damaged_messages_are_not_read_past_their_end() -> None:
    assert list(netlink.messages(b"\x05\0\0\0" + bytes(30))) == []
    assert netlink.attributes(b"\x02\0\x01\0") == {}


@pytest.mark.root
@in_namespace
def test_links_addresses_and_routes_are_made_and_listed() -> None:
    with netlink.Socket() as kernel, hosts(1) as (other,):
        kernel.send([netlink.add_bridge("br0", mac="02:42:0a:00:00:01", mtu=1400)])
        index = socket.if_nametoindex("br0")
        kernel.send(
            [
                netlink.add_address(index, "br0", "10.0.0.1/24"),
                netlink.add_address(index, "br0", "fd00:7::1/64"),
                netlink.set_up(index, "br0"),
                netlink.add_veth(
                    "v0",
                    peer="eth0",
                    peer_netns=other.namespace,
                    peer_mac="02:42:0a:00:00:02",
                    master=index,
                    mtu=1400,
                ),
                netlink.set_port("v0", hairpin=True, isolated=False),
            ]
        )
        kernel.send([netlink.add_route(index, "br0", "10.9.0.0/16", "10.0.0.2")])
        bridge, veth = kernel.link("br0"), kernel.link("v0")
        assert bridge is not None
        assert veth is not None
        assert (bridge.kind, bridge.mac, bridge.mtu, bridge.master) == (
            "bridge",
            "02:42:0a:00:00:01",
            1400,
            0,
        )
        assert (veth.kind, veth.master, veth.flags & netlink.IFF_UP) == ("veth", index, 1)
        assert {each.name for each in kernel.links()} >= {"lo", "br0", "v0"}
        assert {(index, "10.0.0.1/24"), (index, "fd00:7::1/64")} <= set(kernel.addresses())
        assert {("10.0.0.0/24", index), ("10.9.0.0/16", index)} <= set(kernel.routes())
        with other.inside(), netlink.Socket() as there:
            peer = there.link("eth0")
            assert peer is not None
            assert peer.mac == "02:42:0a:00:00:02"
        kernel.send([netlink.delete_link("v0"), netlink.delete_link("br0")])
        assert kernel.link("br0") is None


@pytest.mark.root
@in_namespace
def test_an_error_says_what_was_tried_and_why_the_kernel_refused() -> None:
    with netlink.Socket() as kernel:
        kernel.send([netlink.add_bridge("br0", mac="02:00:00:00:00:01", mtu=1500)])
        index = socket.if_nametoindex("br0")
        kernel.send([netlink.set_up(index, "br0")])
        with pytest.raises(FileExistsError, match="add bridge br0: File exists"):
            kernel.send([netlink.add_bridge("br0", mac="02:00:00:00:00:01", mtu=1500)])
        with pytest.raises(
            OSError, match=r"add route 0\.0\.0\.0/0 by 10\.0\.0\.1 .*Nexthop has invalid gateway"
        ):
            kernel.send(
                [netlink.add_route(index, "br0", "default", "10.0.0.1"), netlink.set_up(index, "br0")]
            )
        assert kernel.link("br0") is not None  # the socket is still in step


@pytest.mark.root
@in_namespace
def test_many_links_are_listed_whole() -> None:
    before = os.listdir("/proc/self/fd")
    with netlink.Socket() as kernel:
        for number in range(100):
            kernel.send([netlink.add_bridge(f"b{number}", mac="02:00:00:00:00:01", mtu=1500)])
        assert len(kernel.links()) >= 101
    assert len(os.listdir("/proc/self/fd")) == len(before)
