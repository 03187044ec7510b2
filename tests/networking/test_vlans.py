"""ipvlan, VLANs and sctp by an engine, where the kernel has them; tests/vm runs this on one that does."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from nakagin.kernel import netlink
from tests.network.sandbox import Host
from tests.network.test_sctp import association, needs_sctp, said, serve
from tests.network.test_vlans import needs
from tests.network_fixture import CLIENT, CLIENT6, FAR, HOST, NetworkedEngine, echo, says
from tests.networking.conftest import Make, Run

pytestmark = pytest.mark.root

LAN = ("-o", "parent=eth0", "--subnet", "10.99.0.0/24", "--gateway", CLIENT)


@needs("ipvlan")
def test_ipvlan_makes_a_container_a_machine_of_the_lan(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network(
        "-d", "ipvlan", "--ip-range", "10.99.0.128/28", "--subnet", "fd00:99::/64", "--gateway", CLIENT6, *LAN
    )
    one = run("--network", name)
    two = run("--network", name, "--ip", "10.99.0.77", "--ip6", "fd00:99::77")
    mine = net.place(one.name, name)
    assert says(one, CLIENT, 80) == f"client 80 {mine['IPAddress']}"
    assert says(one, CLIENT6, 81, datagram=True) == f"client 81 {mine['GlobalIPv6Address']}"
    assert says(net.lan.client, "10.99.0.77", 80) == f"{two.name} 80 {CLIENT}"
    assert says(one, "fd00:99::77", 80) == f"{two.name} 80 {mine['GlobalIPv6Address']}"
    assert echo(net.lan.far, "10.99.0.77")
    assert f"via {CLIENT}" in net.docker("exec", one.name, "ip", "route").stdout
    taken = net.docker("run", "--rm", "--network", name, "--ip", FAR, "busybox", "true", check=125)
    assert f"address {FAR} is already in use on the network by 02:99:00:00:00:04" in taken.stderr
    # while it runs, both ways
    net.docker("network", "disconnect", name, two.name)
    assert net.docker("exec", two.name, "ip", "-o", "link").stdout.count("\n") == 1
    net.docker("network", "connect", "--ip", "10.99.0.78", name, two.name)
    assert says(net.lan.client, "10.99.0.78", 80) == f"{two.name} 80 {CLIENT}"


@needs("ipvlan")
def test_ipvlan_routes_by_its_parent(net: NetworkedEngine, network: Make, run: Run) -> None:
    """The LAN needs a way back, and no gateway is asked for."""
    name = network("-d", "ipvlan", "-o", "ipvlan_mode=l3", "-o", "parent=eth0", "--subnet", "10.77.50.0/24")
    one, two = run("--network", name), run("--network", name)
    mine, its = (net.place(each.name, name)["IPAddress"] for each in (one, two))
    assert "default dev eth0" in net.docker("exec", one.name, "ip", "route").stdout
    assert says(one, its, 80) == f"{two.name} 80 {mine}"
    assert says(net.lan.client, its, 80) == f"{two.name} 80 {CLIENT}"


@pytest.fixture
def tagged(net: NetworkedEngine) -> Iterator[Host]:
    """The client, with 10.50.0.9 on VLAN 50."""
    with net.lan.client.inside(), netlink.Socket() as kernel:
        kernel.send([netlink.add_vlan("eth0.50", parent=socket.if_nametoindex("eth0"), tag=50)])
        index = socket.if_nametoindex("eth0.50")
        kernel.send([netlink.set_up(index, "eth0.50"), netlink.add_address(index, "eth0.50", "10.50.0.9/24")])
    yield net.lan.client
    with net.lan.client.inside(), netlink.Socket() as kernel:
        kernel.send([netlink.delete_link("eth0.50")])


@needs("vlan")
def test_a_vlan_is_made_for_its_network(net: NetworkedEngine, network: Make, run: Run, tagged: Host) -> None:
    name = network(
        "-d", "macvlan", "-o", "parent=eth0.50", "--subnet", "10.50.0.0/24", "--gateway", "10.50.0.9"
    )
    assert "eth0.50" in net.links()
    one = run("--network", name)
    mine = net.place(one.name, name)["IPAddress"]
    assert says(one, "10.50.0.9", 80) == f"client 80 {mine}"
    assert says(tagged, mine, 80) == f"{one.name} 80 10.50.0.9"
    assert not echo(one, FAR, 0.3), "whoever is not on the VLAN is not there"
    net.part(one)
    net.docker("rm", "-f", one.name)
    net.docker("network", "rm", name)
    assert "eth0.50" not in net.links()


@needs_sctp
def test_sctp_ports(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network()
    one = run("--network", name, "-p", "9899:38412/sctp", "-p", "127.0.0.1::5000/sctp")
    serve(one, 38412)
    assert said(association(net.lan.client), HOST, 9899) == f"sctp 38412 {CLIENT}", "its own address"
    assert said(association(net.lan.host), "127.0.0.1", 9899).startswith("sctp 38412 ")
    assert "38412/sctp -> 0.0.0.0:9899" in net.docker("port", one.name).stdout
    refused = net.docker("run", "--rm", "-p", "9899:1/sctp", "busybox", "true", check=125)
    assert f"port is already allocated by container {one.name}" in refused.stderr
    net.part(one)
    net.docker("rm", "-f", one.name)
    with pytest.raises(OSError, match=r"refused|timed out"):
        said(association(net.lan.client), HOST, 9899)
