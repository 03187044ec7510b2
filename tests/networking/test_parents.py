"""macvlan networks on a LAN. ipvlan and VLANs: tests/vm, as not every kernel has them."""

from __future__ import annotations

import pytest

from nakagin.kernel import netlink
from tests.network_fixture import CLIENT, CLIENT6, FAR, HOST, NetworkedEngine, echo, says
from tests.networking.conftest import Make, Run

pytestmark = pytest.mark.root

LAN = (
    "--subnet", "10.99.0.0/24", "--gateway", CLIENT, "--subnet", "fd00:99::/64", "--gateway", CLIENT6,
    "--aux-address", "a=fd00:99::1", "--aux-address", "b=fd00:99::3", "--aux-address", "c=fd00:99::4",
)  # fmt: skip


def test_a_container_is_a_machine_of_the_lan(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network("-d", "macvlan", "-o", "parent=eth0", "--ip-range", "10.99.0.128/28", *LAN)
    one = run("--network", name)
    two = run("--network", name, "--ip", "10.99.0.77", "--mac-address", "02:00:00:99:00:77")
    mine = net.place(one.name, name)
    assert says(one, CLIENT, 80) == f"client 80 {mine['IPAddress']}"
    assert says(one, CLIENT6, 81, datagram=True) == f"client 81 {mine['GlobalIPv6Address']}"
    assert says(net.lan.client, "10.99.0.77", 80) == f"{two.name} 80 {CLIENT}", (
        "from outside, by no port of the host"
    )
    assert says(one, "10.99.0.77", 80) == f"{two.name} 80 {mine['IPAddress']}"
    assert echo(net.lan.far, mine["GlobalIPv6Address"])
    assert f"via {CLIENT}" in net.docker("exec", one.name, "ip", "route").stdout
    assert not echo(one, HOST, 0.3), "the parent's own addresses are out of reach: macvlan is like that"


def test_addresses_of_other_machines_are_not_taken(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network("-d", "macvlan", "-o", "parent=eth0", *LAN)
    for flags in (("--ip", FAR), ("--ip6", "fd00:99::9")):
        if ":" in flags[1]:
            with net.lan.far.inside(), netlink.Socket() as kernel:
                link = kernel.link("eth0")
                assert link is not None
                kernel.send([netlink.add_address(link.index, "eth0", "fd00:99::9/64")])
        refused = net.docker("run", "--rm", "--network", name, *flags, "busybox", "true", check=125)
        assert f"address {flags[1]} is already in use on the network by 02:99:00:00:00:04" in refused.stderr
    net.docker("network", "inspect", name)


def test_an_automatic_address_gives_way_to_whoever_has_it(
    net: NetworkedEngine, network: Make, run: Run
) -> None:
    # 1 is this machine's, 2 the gateway, 3 and 4 are machines of the LAN: 5 and 6 are left
    name = network("-d", "macvlan", "-o", "parent=eth0", "--ip-range", "10.99.0.0/29", *LAN[:4])
    one, two = run("--network", name), run("--network", "bridge")
    assert net.place(one.name, name)["IPAddress"] == "10.99.0.5"
    assert echo(one, FAR)
    net.docker("network", "connect", name, two.name)
    assert net.place(two.name, name)["IPAddress"] == "10.99.0.6", "while it runs as well"
    assert says(net.lan.far, "10.99.0.6", 80) == f"{two.name} 80 {FAR}"
    refused = net.docker("run", "--rm", "--network", name, "--ip", HOST, "busybox", "true", check=125)
    assert (
        f"address {HOST} of network {name} is already in use (reserved: {HOST} of this host)"
        in refused.stderr
    )
    # 7 is free for one, then it is told who has the last one that was tried
    three = run("--network", name)
    assert net.place(three.name, name)["IPAddress"] == "10.99.0.7"
    refused = net.docker("run", "--rm", "--network", name, "busybox", "true", check=125)
    assert "is already in use on the network by 02:99:00:00:00:0" in refused.stderr


def test_private_mode_keeps_neighbours_apart(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network(
        "-d",
        "macvlan",
        "-o",
        "parent=eth0",
        "-o",
        "macvlan_mode=private",
        "--ip-range",
        "10.99.0.160/28",
        *LAN,
    )
    one, two = run("--network", name), run("--network", name)
    assert not echo(one, net.place(two.name, name)["IPAddress"], 0.3)
    assert says(one, CLIENT, 80).startswith("client 80")


def test_without_a_parent_it_is_a_network_of_its_own(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network("-d", "macvlan")
    before = set(net.links())
    assert any(each.startswith("dm-") for each in before)
    one, two = run("--network", name), run("--network", "bridge")
    net.docker("network", "connect", name, two.name)
    assert says(one, net.place(two.name, name)["IPAddress"], 80).startswith(two.name)
    assert not echo(one, CLIENT, 0.3)
    assert echo(two, CLIENT)
    net.docker("network", "disconnect", name, two.name)
    assert "eth1" not in net.docker("exec", two.name, "ip", "-o", "link").stdout
    assert '"Internal": true' in net.docker("network", "inspect", name).stdout


def test_what_cannot_be_a_parent(net: NetworkedEngine, network: Make) -> None:
    for flags, words in (
        (("-o", "parent=eth7"), "the parent interface eth7 of network"),
        (("-o", "parent=eth7.9"), "the parent interface eth7 of network"),
        (("-o", "parent=eth0.9999"), "invalid VLAN sub-interface"),
        (("-o", "parent=lo"), "loopback interface is not a valid macvlan parent"),
        (("-o", "parent=eth0", "-o", "macvlan_mode=odd"), "requested macvlan mode 'odd' is not valid"),
    ):
        refused = net.docker("network", "create", "-d", "macvlan", *flags, "wrong", check=1)
        assert words in refused.stderr
    name = network("-d", "macvlan", "-o", "parent=eth0", "-o", "macvlan_mode=passthru", *LAN)
    second = net.docker("network", "create", "-d", "macvlan", "-o", "parent=eth0", "second", check=1)
    assert f"network {name} is already using parent interface eth0" in second.stderr
