from __future__ import annotations

import msgspec

from nakagin.network.model import Network, PortMapping, Subnet
from nakagin.network.portmaps import Published
from nakagin.network.ruleset import Allowed, plan

V4 = Network("a" * 64, "bridge", "bridge", "", (Subnet("172.17.0.0/16", "172.17.0.1"),), bridge="nakagin0")
DUAL = Network(
    "b" * 64, "dual", "bridge", "",
    (Subnet("172.18.0.0/16", "172.18.0.1"), Subnet("fd00:1::/64", "fd00:1::1")),
    bridge="nk-dual", internal=True,
)  # fmt: skip
WEB = Published(PortMapping("tcp", "0.0.0.0", 8080, 80), "172.17.0.2")
LOCAL = Published(PortMapping("udp", "127.0.0.1", 53, 53), "172.17.0.3")
RANGE = Published(PortMapping("tcp", "0.0.0.0", 9000, 9000, 10000), "172.17.0.2")
SHIFTED = Published(PortMapping("tcp", "10.0.0.1", 20000, 30000, 3), "172.17.0.2")
SIX = Published(PortMapping("tcp", "::", 8080, 80), "fd00:1::2")
ROUTED = Published(PortMapping("tcp", "::", 80, 80), "fd00:1::2", routed=True)


def rules(chain: str, **changes: object) -> tuple[str, ...]:
    network = msgspec.structs.replace(V4, bridge="n0", **changes)
    return plan("t", [network]).chains[chain].rules


def test_a_network_is_found_by_its_bridge() -> None:
    planned = plan("nakagin", [V4])
    assert planned.elements["into"] == {('"nakagin0"',): ("jump to_aaaaaaaaaaaa",)}
    assert planned.elements["bridges"] == {('"nakagin0"',): ()}
    assert planned.chains["to_aaaaaaaaaaaa"].rules[-1] == "counter drop"
    assert planned.chains["leaving_aaaaaaaaaaaa"].rules == (
        "oifname != @bridges ip saddr 172.17.0.0/16 masquerade",
    )
    assert "ip daddr 127.0.0.0/8 iifname @bridges counter drop" in planned.chains["guard"].rules


def test_each_kind_of_mapping_has_its_map() -> None:
    elements = plan("t", [V4, DUAL], [WEB, LOCAL, RANGE, SHIFTED, SIX]).elements
    assert elements["ports4"] == {("tcp", "8080"): ("172.17.0.2", "80")}
    assert elements["ranges4"] == {("tcp", "0.0.0.0/0", "9000-18999"): ("172.17.0.2",)}
    assert elements["ports4_at"] == {
        ("udp", "127.0.0.1", "53"): ("172.17.0.3", "53"),
        ("tcp", "10.0.0.1", "20000"): ("172.17.0.2", "30000"),
        ("tcp", "10.0.0.1", "20001"): ("172.17.0.2", "30001"),
        ("tcp", "10.0.0.1", "20002"): ("172.17.0.2", "30002"),
    }
    assert elements["ports6"] == {("tcp", "8080"): ("fd00:1::2", "80")}


def test_switches_of_a_network_change_its_rules() -> None:
    key = "aaaaaaaaaaaa"
    assert 'iifname "n0" accept' in rules(f"to_{key}")
    assert 'iifname "n0" accept' not in rules(f"to_{key}", icc=False)
    assert rules(f"from_{key}", internal=True) == ('oifname != "n0" counter drop',)
    assert f"leaving_{key}" not in plan("t", [msgspec.structs.replace(V4, masquerade=False)]).chains
    assert "meta l4proto 1 accept" in rules(f"to_{key}", gateway_mode4="routed")


def test_a_routed_port_is_opened_and_not_translated() -> None:
    elements = plan("t", [DUAL], [ROUTED]).elements
    assert elements["open6"] == {("fd00:1::2", "tcp", "80"): ()}
    assert not elements["ports6"]


def test_published_ports_may_be_open_at_the_containers_own_address_as_well() -> None:
    direct = Published(PortMapping("tcp", "0.0.0.0", 8080, 80), "172.17.0.2", direct=True)
    planned = plan("t", [V4], [direct], direct=True)
    assert planned.elements["open4"] == {("172.17.0.2", "tcp", "80"): ()}
    assert planned.elements["ports4"] == {("tcp", "8080"): ("172.17.0.2", "80")}
    opening = "ip daddr . meta l4proto . th dport @open4 accept"
    assert opening in planned.chains["to_aaaaaaaaaaaa"].rules
    assert opening not in plan("t", [V4]).chains["to_aaaaaaaaaaaa"].rules


def test_ipv6_may_be_left_alone() -> None:
    chains = plan("t", [V4], ipv6=False).chains
    for name in ("prerouting", "output", "postrouting"):
        assert chains[name].rules[0] == "meta nfproto ipv6 return"
    assert chains["forward"].rules == (
        "iifname vmap @out_of", "meta nfproto ipv6 return", "oifname vmap @into",
    )  # fmt: skip
    assert chains["guard"] == plan("t", [V4]).chains["guard"]


def test_limited_egress_names_what_is_permitted_and_guards_this_host_too() -> None:
    limited = msgspec.structs.replace(V4, egress=("192.0.2.7:443",))
    allowed = Allowed(ports4=frozenset({("192.0.2.7", "tcp", "443")}))
    planned = plan("t", [limited], allowed={limited.id: allowed})
    assert planned.elements["allow4_aaaaaaaaaaaa"] == {("192.0.2.7", "tcp", "443"): ()}
    for chain in ("from_aaaaaaaaaaaa", "host_aaaaaaaaaaaa"):
        assert planned.chains[chain].rules[-1] == "counter drop"
    assert planned.elements["inward"] == {('"nakagin0"',): ("jump host_aaaaaaaaaaaa",)}
