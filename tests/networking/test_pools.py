"""The engine's own network settings, each with a packet: pools, default bridge, options by driver."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from nakagin.kernel import netlink
from tests.network.sandbox import Host
from tests.network_fixture import CLIENT, CLIENT6, HOST, HOST6, NetworkedEngine, echo, says

pytestmark = pytest.mark.root


@contextlib.contextmanager
def engine_with(*flags: str) -> Iterator[NetworkedEngine]:
    engine = NetworkedEngine(*flags)
    try:
        engine.start()
        engine.bootstrap_busybox()
        engine.greet(engine.lan.client, "client", 80)
        yield engine
    finally:
        found = engine.close()
    assert not found, "left behind:\n" + "\n".join(found)


def subnet(engine: NetworkedEngine, name: str, which: int = 0) -> str:
    return engine.docker(
        "network", "inspect", "-f", f"{{{{(index .IPAM.Config {which}).Subnet}}}}", name
    ).stdout.strip()


def test_pools_avoid_what_is_routed_and_say_who_has_them() -> None:
    # 10.99.0.0/24 is the LAN's
    with engine_with(
        "--default-address-pool", "base=10.99.0.0/22,size=24", "--bip", "10.98.0.1/24"
    ) as engine:
        for name, expected in (("one", "10.99.1.0/24"), ("two", "10.99.2.0/24"), ("three", "10.99.3.0/24")):
            engine.docker("network", "create", name)
            assert subnet(engine, name) == expected
        refused = engine.docker("network", "create", "four", check=1).stderr
        for words in (
            "all predefined address pools have been fully subnetted", "10.99.2.0/24 has network two",
            "10.99.0.0/24 has the route by eth0", "nakagin network prune", "--default-address-pool",
        ):  # fmt: skip
            assert words in refused
        engine.docker("network", "rm", "two")
        engine.docker("network", "create", "four")
        assert subnet(engine, "four") == "10.99.2.0/24"
        guest = engine.run("guest", "--network", "four")
        assert says(guest, CLIENT, 80) == f"client 80 {HOST}"
        engine.docker("network", "create", "--ipv6", "six", check=1)
        engine.part(guest)
        engine.docker("rm", "-f", "guest")
        engine.docker("network", "prune", "-f")


def test_a_default_bridge_with_both_families() -> None:
    flags = (
        "--ipv6", "--bip", "10.98.7.1/24", "--fixed-cidr", "10.98.7.128/25", "--bip6", "fd98::1/64",
        "--mtu", "1410", "--default-network-opt", "bridge=com.docker.network.driver.mtu=1390",
        "--default-network-opt", "bridge=com.docker.network.container_iface_prefix=nic",
    )  # fmt: skip
    with engine_with(*flags) as engine:
        one, two = engine.run("one"), engine.run("two", "-p", "8080:80")
        engine.greet(two, "two", 80)
        place = engine.place("one", "bridge")
        assert (place["IPAddress"], place["GlobalIPv6Address"]) == ("10.98.7.128", "fd98::2")
        assert says(one, CLIENT6, 80).startswith("client 80 fd00:99::1")
        assert says(engine.lan.client, "fd00:99::1", 8080) == f"two 80 {CLIENT6}"
        assert "mtu 1410" in engine.docker("exec", "one", "ip", "-o", "link", "show", "eth0").stdout
        engine.docker("network", "create", "own")
        three = engine.run("three", "--network", "own")
        assert "mtu 1390" in engine.docker("exec", "three", "ip", "-o", "link", "show", "nic0").stdout
        engine.part(one, two, three)
        engine.docker("rm", "-f", "one", "two", "three")
        engine.docker("network", "rm", "own")


def test_a_closed_default_bridge_with_another_router() -> None:
    flags = ("--icc=false", "--ip-masq=false", "--bip", "10.98.8.1/24", "--default-gateway", "10.98.8.77")
    with engine_with(*flags) as engine:
        one, two = engine.run("one"), engine.run("two")
        assert not echo(one, engine.place("two", "bridge")["IPAddress"], 0.3)
        assert echo(one, "10.98.8.1")
        assert "via 10.98.8.77" in engine.docker("exec", "one", "ip", "route").stdout
        engine.part(one, two)


def test_a_bridge_of_the_users_for_the_default_network() -> None:
    engine = NetworkedEngine("--bridge", "theirs0", "--fixed-cidr", "10.98.9.64/26")
    engine.kept.add("theirs0")
    engine.on_host("ip", "link", "add", "theirs0", "type", "bridge")
    engine.on_host("ip", "address", "add", "10.98.9.1/24", "dev", "theirs0")
    engine.on_host("ip", "link", "set", "theirs0", "up")
    try:
        engine.start()
        engine.bootstrap_busybox()
        engine.greet(engine.lan.client, "client", 80)
        one = engine.run("one")
        assert engine.place("one", "bridge")["IPAddress"] == "10.98.9.64"
        assert says(one, CLIENT, 80) == f"client 80 {HOST}"
        engine.part(one)
        engine.docker("rm", "-f", "one")
        engine.terminate()
        assert "theirs0" in engine.links(), "it is not ours to remove"
        engine.start()
    finally:
        assert not engine.close()


def route(host: Host, destination: str, gateway: str) -> None:
    with host.inside(), netlink.Socket() as kernel:
        link = kernel.link("eth0")
        assert link is not None
        kernel.send([netlink.add_route(link.index, "eth0", destination, gateway)])


def test_ports_at_the_containers_own_address_and_ipv6_left_alone() -> None:
    flags = (
        "--allow-direct-routing", "--ip6tables=false", "--bip", "10.77.1.1/24", "--ipv6",
        "--fixed-cidr-v6", "fd77:1::/64",
    )  # fmt: skip
    with engine_with(*flags) as engine:
        route(engine.lan.client, "10.77.0.0/16", HOST)
        route(engine.lan.client, "fd77:1::/64", HOST6)
        one = engine.run("one", "-p", "8080:80", "-p", "8081:80", "-p", "8082:82/udp")
        engine.greet(one, "one", 80, 81, 82)
        place = engine.place("one", "bridge")
        four, six = place["IPAddress"], place["GlobalIPv6Address"]
        assert six.startswith("fd77:1::")
        assert says(engine.lan.client, four, 80) == f"one 80 {CLIENT}"
        assert says(engine.lan.client, four, 82, datagram=True) == f"one 82 {CLIENT}"
        assert says(engine.lan.client, four, 81, seconds=0.3) == "", "it is not published"
        assert says(engine.lan.client, HOST, 8080) == f"one 80 {CLIENT}"
        engine.nakagin("update", "--publish-rm", "8081:80", "one")
        assert says(engine.lan.client, four, 80) == f"one 80 {CLIENT}", "8080 leads there still"
        engine.nakagin("update", "--publish-rm", "8080:80", "one")
        assert says(engine.lan.client, four, 80, seconds=0.3) == ""
        engine.nakagin("update", "--publish-add", "8080:80", "one")
        # nobody filters or translates IPv6: the port is carried by the proxy
        assert says(engine.lan.client, six, 81) == f"one 81 {CLIENT6}"
        assert says(one, CLIENT6, 80) == f"client 80 {six}"
        assert says(engine.lan.client, HOST6, 8080).startswith("one 80")
        engine.part(one)


def test_without_any_rules_and_without_forwarding() -> None:
    flags = (
        "--iptables=false", "--ip-forward=false", "--bip", "10.77.2.1/24", "--ipv6", "--bip6", "fd77:2::1/64",
        "--default-gateway-v6", "fd77:2::77",
    )  # fmt: skip
    engine = NetworkedEngine(*flags)
    engine.on_host("sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
    try:
        engine.start()
        engine.bootstrap_busybox()
        engine.greet(engine.lan.client, "client", 80)
        one, two = engine.run("one", "-p", "8080:80"), engine.run("two")
        engine.greet(one, "one", 80)
        assert "nakagin" not in engine.rules()
        shown = engine.on_host("sysctl", "-n", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
        assert shown.split() == ["0", "0"]
        assert says(one, CLIENT, 80, seconds=0.3) == ""
        assert says(two, engine.place("one", "bridge")["IPAddress"], 80).startswith("one 80"), "on the bridge"
        for host, address in (
            (engine.lan.client, HOST),
            (engine.lan.client, HOST6),
            (engine.lan.host, "::1"),
        ):
            assert says(host, address, 8080) == "one 80 10.77.2.1", "the proxy needs no rules"
        assert "via fd77:2::77" in engine.docker("exec", "one", "ip", "-6", "route").stdout
        engine.part(one, two)
    finally:
        found = engine.close()
    assert not found, "left behind:\n" + "\n".join(found)
