"""Every flag of a bridge network, seen in packets: TCP, UDP and ICMP, IPv4 and IPv6."""

from __future__ import annotations

import pytest

from tests.network.sandbox import Host
from tests.network_fixture import (
    CLIENT,
    CLIENT6,
    FAR,
    HOST,
    HOST6,
    Guest,
    NetworkedEngine,
    echo,
    says,
)
from tests.networking.conftest import Make, Run

pytestmark = pytest.mark.root

BR = "com.docker.network.bridge."


def everything(net: NetworkedEngine, guest: Guest, network: str) -> list[str]:
    """A container's addresses on a network."""
    place = net.place(guest.name, network)
    return [each for each in (place["IPAddress"], place["GlobalIPv6Address"]) if each]


def reaches(one: Host, address: str, seconds: float = 5.0) -> list[bool]:
    """Whether TCP, UDP and ICMP come through within `seconds`, as one list."""
    return [
        bool(says(one, address, 80, seconds=seconds)),
        bool(says(one, address, 81, datagram=True, seconds=seconds)),
        echo(one, address, seconds),
    ]


ALL, NONE = [True] * 3, [False] * 3


def test_neighbours_and_outside_by_every_protocol(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network("--ipv6")
    one, two = run("--network", name), run("--network", name)
    mine, its = everything(net, one, name), everything(net, two, name)
    assert len(its) == 2
    for address in (*its, CLIENT, CLIENT6):
        assert reaches(one, address) == ALL, address
    assert says(one, its[0], 80) == f"{two.name} 80 {mine[0]}"
    assert says(one, its[1], 81, datagram=True) == f"{two.name} 81 {mine[1]}"
    # outside sees the host
    assert says(one, CLIENT, 80) == f"client 80 {HOST}"
    assert says(one, CLIENT6, 80) == f"client 80 {HOST6}"


def test_bridges_are_apart_and_nobody_comes_in_unasked(net: NetworkedEngine, network: Make, run: Run) -> None:
    names = [
        network("--ipv6", "--subnet", f"10.77.{number}.0/24", "--subnet", f"fd77:{number}::/64")
        for number in (1, 2)
    ]
    one, two = (run("--network", each) for each in names)
    for address in everything(net, two, names[1]):
        assert reaches(one, address, 0.3) == NONE, "from another bridge"
        assert reaches(net.lan.client, address, 0.3) == NONE, "from outside, with a route"
    for address in everything(net, two, names[1]):
        assert reaches(net.lan.host, address) == ALL, "this host may"


def test_internal_networks_lead_nowhere(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network("--internal", "--ipv6", "--subnet", "10.77.3.0/24", "--subnet", "fd77:3::/64")
    one, two = run("--network", name), run("--network", name)
    for address in everything(net, two, name):
        assert reaches(one, address) == ALL
        assert reaches(net.lan.client, address, 0.3) == NONE
    assert net.docker("exec", one.name, "ip", "route").stdout.count("default") == 0
    # and not by a route of the container's own either
    net.docker("exec", "--privileged", one.name, "ip", "route", "add", "default", "via", "10.77.3.1")
    assert reaches(one, CLIENT, 0.3) == NONE
    assert net.place(one.name, name)["Gateway"] == ""


def test_neighbours_apart_without_icc_but_their_ports_are_published(
    net: NetworkedEngine, network: Make, run: Run
) -> None:
    name = network("-o", f"{BR}enable_icc=false", "--ipv6")
    one, two = run("--network", name), run("--network", name, "-p", "8081:80")
    for address in everything(net, two, name):
        assert reaches(one, address, 0.3) == NONE
    assert reaches(one, CLIENT) == ALL
    assert says(net.lan.client, HOST, 8081) == f"{two.name} 80 {CLIENT}"


def test_without_masquerade_the_own_address_is_seen(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network(
        "-o", f"{BR}enable_ip_masquerade=false", "--ipv6", "--subnet", "10.77.4.0/24", "--subnet", "fd77:4::/64"
    )  # fmt: skip
    one = run("--network", name)
    mine = everything(net, one, name)
    assert says(one, CLIENT, 80) == f"client 80 {mine[0]}"
    assert says(one, CLIENT6, 80) == f"client 80 {mine[1]}"


def test_names_mtu_and_prefix_of_interfaces(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network(
        "-o", f"{BR}name=nk-own0", "-o", "com.docker.network.driver.mtu=1380",
        "-o", "com.docker.network.container_iface_prefix=lan",
    )  # fmt: skip
    one, two = run("--network", name), run("--network", name)
    assert net.links()["nk-own0"].mtu == 1380
    assert "lan0" in net.docker("exec", one.name, "ip", "-o", "link").stdout
    assert "mtu 1380" in net.docker("exec", one.name, "ip", "-o", "link", "show", "lan0").stdout
    assert reaches(one, everything(net, two, name)[0]) == ALL


def test_a_bridge_of_the_users_own_is_used_and_stays(net: NetworkedEngine, network: Make, run: Run) -> None:
    net.on_host("ip", "link", "add", "nk-theirs", "type", "bridge")
    try:
        name = network("-o", f"{BR}name=nk-theirs")
        one, two = run("--network", name), run("--network", name)
        assert reaches(one, everything(net, two, name)[0]) == ALL
        net.part(one, two)
        net.docker("rm", "-f", one.name, two.name)
        net.docker("network", "rm", name)
        assert "nk-theirs" in net.links()
    finally:
        net.on_host("ip", "link", "delete", "nk-theirs")


def test_inhibited_and_isolated_bridges_have_no_address_of_the_host(
    net: NetworkedEngine, network: Make, run: Run
) -> None:
    inhibited = network("-o", f"{BR}inhibit_ipv4=true", "-o", f"{BR}name=nk-inh0")
    isolated = network(
        "--internal", "--ipv6", "-o", f"{BR}gateway_mode_ipv4=isolated", "-o", f"{BR}gateway_mode_ipv6=isolated",
        "-o", f"{BR}name=nk-iso0",
    )  # fmt: skip
    for name, link in ((inhibited, "nk-inh0"), (isolated, "nk-iso0")):
        one, two = run("--network", name), run("--network", name)
        for address in everything(net, two, name):
            assert reaches(one, address) == ALL
        shown = net.on_host("ip", "-o", "address", "show", "dev", link)
        assert "inet " not in shown
        if name == isolated:
            assert "inet6" not in shown, "no link-local way to the host either"


def test_routed_networks_open_published_ports_only(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network(
        "--ipv6", "--subnet", "10.77.5.0/24", "--subnet", "fd77:5::/64",
        "-o", f"{BR}gateway_mode_ipv4=routed", "-o", f"{BR}gateway_mode_ipv6=routed",
    )  # fmt: skip
    one = run("--network", name, "-p", "8085:80", "-p", "81/udp")
    for address, source in zip(everything(net, one, name), (CLIENT, CLIENT6), strict=True):
        assert says(net.lan.client, address, 80) == f"{one.name} 80 {source}"
        assert says(net.lan.client, address, 81, datagram=True) == f"{one.name} 81 {source}"
        assert says(net.lan.client, address, 81, seconds=0.4) == "", "tcp 81 is not published"
        assert echo(net.lan.client, address)
        assert says(one, CLIENT if "." in address else CLIENT6, 80) == f"client 80 {address}"
    assert says(net.lan.client, HOST, 8085, seconds=0.4) == "", "the host's port is not taken"


def test_trusted_interfaces_lead_to_published_ports_at_the_containers_own_address(
    net: NetworkedEngine, network: Make, run: Run
) -> None:
    trusted = network(
        "--ipv6", "--subnet", "10.77.91.0/24", "--subnet", "fd77:91::/64",
        "-o", f"{BR}trusted_host_interfaces=vpn0:eth0",
    )  # fmt: skip
    one = run("--network", trusted, "-p", "8091:80")
    for address, source in zip(everything(net, one, trusted), (CLIENT, CLIENT6), strict=True):
        assert says(net.lan.client, address, 80) == f"{one.name} 80 {source}"
        assert says(net.lan.client, address, 81, seconds=0.4) == "", "81 is not published"
    assert says(net.lan.client, HOST, 8091) == f"{one.name} 80 {CLIENT}"
    other = network("--subnet", "10.77.92.0/24", "-o", f"{BR}trusted_host_interfaces=vpn0")
    two = run("--network", other, "-p", "8092:80")
    assert says(net.lan.client, everything(net, two, other)[0], 80, seconds=0.4) == "", "eth0 is not trusted"
    assert "open at the container's own address as well" in net.nakagin("explain", trusted).stdout


def test_unprotected_networks_are_open_to_whoever_has_a_route(
    net: NetworkedEngine, network: Make, run: Run
) -> None:
    name = network("--subnet", "10.77.6.0/24", "-o", f"{BR}gateway_mode_ipv4=nat-unprotected")
    one = run("--network", name)
    assert reaches(net.lan.client, everything(net, one, name)[0]) == ALL


@pytest.mark.docker(28)
def test_ipv6_alone(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network("--ipv4=false", "--ipv6")
    one, two = run("--network", name), run("--network", name, "-p", "8082:80")
    (address,) = everything(net, two, name)
    assert ":" in address
    assert reaches(one, address) == ALL
    assert reaches(one, CLIENT6) == ALL
    assert says(net.lan.client, HOST6, 8082) == f"{two.name} 80 {CLIENT6}"
    assert says(net.lan.client, HOST, 8082).startswith(f"{two.name} 80"), (
        "by the proxy, as there is no IPv4 inside"
    )


def test_addresses_as_asked_for(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network(
        "--ipv6", "--subnet", "10.77.7.0/24", "--ip-range", "10.77.7.128/30", "--gateway", "10.77.7.254",
        "--aux-address", "printer=10.77.7.129", "--subnet", "fd77:7::/64", "--gateway", "fd77:7::ff",
    )  # fmt: skip
    asked = run(
        "--network", name, "--ip", "10.77.7.9", "--ip6", "fd77:7::9", "--mac-address", "02:00:00:77:00:09"
    )
    given = [run("--network", name) for _ in range(3)]
    assert everything(net, asked, name) == ["10.77.7.9", "fd77:7::9"]
    assert [everything(net, each, name)[0] for each in given] == [
        f"10.77.7.{last}" for last in (128, 130, 131)
    ]
    assert says(given[0], "10.77.7.9", 80) == f"{asked.name} 80 10.77.7.128"
    assert says(asked, "10.77.7.131", 80) == f"{given[2].name} 80 10.77.7.9"
    assert "02:00:00:77:00:09" in net.docker("exec", given[0].name, "ip", "neigh").stdout.lower()
    assert "via 10.77.7.254" in net.docker("exec", asked.name, "ip", "route").stdout
    assert reaches(asked, CLIENT) == ALL
    assert reaches(asked, CLIENT6) == ALL
    full = net.docker("run", "--rm", "--network", name, "busybox", "true", check=125)
    assert "has no free address left in 10.77.7.0/24" in full.stderr
    for flags, words in (
        (("--ip", "10.77.7.9"), f"already in use by container {asked.name}"),
        (("--ip", "10.77.7.129"), "reserved: printer"),
        (("--ip", "10.9.9.9"), "no configured subnet or ip-range contain the IP address 10.9.9.9"),
        (("--ip", "10.77.7.10", "--mac-address", "02:00:00:77:00:09"), f"in use by container {asked.name}"),
    ):
        refused = net.docker("run", "--rm", "--network", name, *flags, "busybox", "true", check=125)
        assert words in refused.stderr


def test_several_pools_of_a_family(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network("--subnet", "10.77.8.0/29", "--subnet", "10.77.9.0/24", cli="nakagin")
    here, there = run("--network", name), run("--network", name, "--ip", "10.77.9.77")
    assert everything(net, here, name) == ["10.77.8.2"]
    assert reaches(here, "10.77.9.77") == ALL, "by the gateway"
    assert "via 10.77.9.1" in net.docker("exec", there.name, "ip", "route").stdout
    assert reaches(there, CLIENT) == ALL


def test_another_router_than_the_host(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network("--subnet", "10.77.10.0/24", "--aux-address", "DefaultGatewayIPv4=10.77.10.5")
    one = run("--network", name)
    assert "via 10.77.10.5" in net.docker("exec", one.name, "ip", "route").stdout
    assert net.place(one.name, name)["Gateway"] == "10.77.10.5"
    assert reaches(one, CLIENT, 0.3) == NONE, "there is nobody at that address"


def test_link_local_addresses_beside_the_others(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network()
    one = run("--network", name, "--link-local-ip", "169.254.8.8")
    two = run("--network", name, "--link-local-ip", "169.254.8.9")
    assert reaches(one, "169.254.8.9") == ALL
    assert net.place(two.name, name)["IPAMConfig"]["LinkLocalIPs"] == ["169.254.8.9"]


def test_options_of_an_endpoint(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network()
    values = ("net.ipv4.conf.IFNAME.log_martians=1", "net.ipv4.conf.IFNAME.forwarding=0")
    sysctls = f"com.docker.network.endpoint.sysctls={','.join(values)}"
    ifname = "com.docker.network.endpoint.ifname=uplink"
    one = run("--network", f'name={name},"driver-opt={sysctls}",driver-opt={ifname}')
    assert net.docker("exec", one.name, "cat", "/proc/sys/net/ipv4/conf/uplink/log_martians").stdout == "1\n"
    assert net.docker("exec", one.name, "cat", "/proc/sys/net/ipv4/conf/uplink/forwarding").stdout == "0\n"
    assert reaches(one, CLIENT) == ALL
    bad = "driver-opt=com.docker.network.endpoint.sysctls=kernel.hostname=x"
    assert "invalid sysctl" in net.docker(
        "run", "--rm", "--network", f"name={name},{bad}", "busybox", "true", check=125
    ).stderr  # fmt: skip


def test_where_ports_are_published_by_default(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network("-o", f"{BR}host_binding_ipv4=127.0.0.1")
    run("--network", name, "-p", "8083:80", name="web83")
    assert says(net.lan.client, HOST, 8083, seconds=0.4) == ""
    assert says(net.lan.host, "127.0.0.1", 8083).startswith("web83 80")


def test_shared_and_missing_networks(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network()
    owner = run("--network", name)
    joined = net.run(f"{owner.name}-joined", "--network", f"container:{owner.name}")
    try:
        assert (
            "inet " + everything(net, owner, name)[0] in net.docker("exec", joined.name, "ip", "addr").stdout
        )
    finally:
        net.part(joined)
        net.docker("rm", "-f", joined.name)
    alone = net.run(f"{owner.name}-alone", "--network", "none")
    on_host = net.run(f"{owner.name}-host", "--network", "host")
    elsewhere = net.run(f"{owner.name}-else", "--network", f"ns:/proc/{net.lan.far.pid}/ns/net")
    net.greet(on_host, "onhost", 8090)
    net.greet(elsewhere, "elsewhere", 8090)
    try:
        assert reaches(alone, CLIENT, 0.3) == NONE
        assert echo(alone, "127.0.0.1")
        assert says(net.lan.client, HOST, 8090) == f"onhost 8090 {CLIENT}"
        assert says(net.lan.client, FAR, 8090) == f"elsewhere 8090 {CLIENT}"
        assert f"inet {FAR}/" in net.docker("exec", elsewhere.name, "ip", "address").stdout
    finally:
        names = [alone.name, on_host.name, elsewhere.name]
        net.part(alone, on_host, elsewhere)
        net.docker("rm", "-f", *names)


@pytest.mark.docker(28)
def test_the_host_has_a_name(net: NetworkedEngine, network: Make, run: Run) -> None:
    net.greet(net.lan.host, "host", 8095)
    flags = ("--add-host", "host.docker.internal:host-gateway")
    ask = ("nc", "host.docker.internal", "8095")
    internal, second, six = network("--internal"), network(), network("--ipv4=false", "--ipv6")
    for networks in ([network()], ["bridge"], [internal], [internal, second], [six]):
        one = run(*(word for name in networks for word in ("--network", name)), *flags)
        place = net.place(one.name, networks[-1])
        mine = place["IPAddress"] or place["GlobalIPv6Address"]
        assert net.docker("exec", one.name, *ask).stdout == f"host 8095 {mine}", networks
    alone = net.docker("run", "--rm", "--network", "host", *flags, "busybox", *ask)
    assert alone.stdout == "host 8095 127.0.0.1"
