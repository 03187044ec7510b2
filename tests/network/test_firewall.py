from __future__ import annotations

import subprocess

import msgspec
import pytest
from tests.network.sandbox import in_namespace

from nakagin.kernel import nftables
from nakagin.network.firewall import Firewall, Published, difference, plan, replacement
from nakagin.network.model import Network, PortMapping, Subnet

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


def listing() -> str:
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def test_the_plan_of_one_network_reads_like_nft() -> None:
    text = "\n".join(plan("nakagin", [V4], []).layout)
    assert 'iifname "nakagin0" ip daddr 127.0.0.0/8 drop' in text
    assert 'oifname != { "nakagin0" } ip saddr 172.17.0.0/16 masquerade' in text
    assert 'oifname vmap { "nakagin0" : jump to_aaaaaaaaaaaa }' in text
    assert "ip6" not in text


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
    def text(**changes: bool) -> str:
        network = msgspec.structs.replace(V4, bridge="n0", **changes)
        return "\n".join(plan("t", [network], []).layout)

    assert 'iifname "n0" accept' not in text(icc=False)
    assert "oifname !=" not in text(masquerade=False)
    assert 'iifname "n0" oifname != "n0" drop' in text(internal=True)


def test_a_changed_port_is_a_changed_element_only() -> None:
    before, after = plan("t", [V4], [WEB, LOCAL]), plan("t", [V4], [WEB])
    assert difference(before, before) == []
    assert difference(before, after) == [
        "delete element inet t ports4_at { udp . 127.0.0.1 . 53 : 172.17.0.3 . 53 }"
    ]
    assert difference(after, plan("t", [V4, DUAL], [WEB])) == replacement(plan("t", [V4, DUAL], [WEB]))


@pytest.mark.root
@in_namespace
def test_the_kernel_takes_every_kind_of_rule_and_gives_it_back_alike() -> None:
    planned = plan("nakagin_x", [V4, DUAL], [WEB, LOCAL, RANGE, SHIFTED, SIX])
    firewall = Firewall("nakagin_x")
    firewall.apply(planned)
    assert not firewall.restore(planned)
    assert "tcp . 0.0.0.0/0 . 9000-18999 : 172.17.0.2" in listing()


@pytest.mark.root
@in_namespace
def test_whatever_others_do_to_the_table_is_repaired_and_other_tables_stay() -> None:
    nftables.run("add table inet theirs\nadd chain inet theirs c\n")
    firewall, planned = Firewall("t"), plan("t", [V4], [WEB, RANGE])
    firewall.apply(planned)
    for harm in (
        "flush table inet t",
        "flush chain inet t forward",
        "delete element inet t ports4 { tcp . 8080 }",
        "delete table inet t",
    ):
        subprocess.run(["nft", harm], check=True)
        assert firewall.restore(planned), harm
        assert not firewall.restore(planned), harm
    assert "table inet theirs" in listing()
    firewall.remove()
    firewall.remove()
    assert "table inet t " not in listing()
    assert "table inet theirs" in listing()


@pytest.mark.root
@in_namespace
def test_single_ports_come_and_go_even_when_the_table_was_lost_meanwhile() -> None:
    firewall = Firewall("t")
    firewall.apply(plan("t", [V4], []))
    firewall.publish([WEB, LOCAL])
    assert not firewall.restore(plan("t", [V4], [WEB, LOCAL]))
    firewall.withdraw([WEB])
    assert not firewall.restore(plan("t", [V4], [LOCAL]))
    nftables.run("delete table inet t")
    firewall.publish([RANGE])
    assert not firewall.restore(plan("t", [V4], [LOCAL, RANGE]))
    nftables.run("delete table inet t")
    firewall.withdraw([RANGE])
    assert not firewall.restore(plan("t", [V4], [LOCAL]))
