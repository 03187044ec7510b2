from __future__ import annotations

import subprocess

import msgspec
import pytest
from tests.network.sandbox import in_namespace

from nakagin.kernel import abi, nftables
from nakagin.kernel.mount import mount
from nakagin.kernel.namespaces import unshare
from nakagin.network.firewall import Firewall, difference
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
SCTP = Published(PortMapping("sctp", "0.0.0.0", 9899, 9899), "172.17.0.2")
SIX = Published(PortMapping("tcp", "::", 8080, 80), "fd00:1::2")


def listing() -> str:
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def test_a_changed_port_is_a_changed_element_only() -> None:
    before, after = plan("t", [V4], [WEB, LOCAL]), plan("t", [V4], [WEB])
    assert difference(before, before) == []
    assert difference(before, after) == [
        "delete element inet t ports4_at { udp . 127.0.0.1 . 53 : 172.17.0.3 . 53 }"
    ]


def test_a_new_network_leaves_the_rules_of_others_alone() -> None:
    before, after = plan("t", [V4], [WEB]), plan("t", [V4, DUAL], [WEB])
    for commands in (difference(before, after), difference(after, before)):
        assert commands
        assert not any("aaaaaaaaaaaa" in each or "delete table" in each for each in commands)


@pytest.mark.root
@in_namespace
def test_the_kernel_takes_every_kind_of_rule_and_gives_it_back_alike() -> None:
    trusting = msgspec.structs.replace(V4, id="c" * 64, bridge="n0", trusted=("eth1", "vpn-0.1@x"))
    direct = SIX._replace(direct=True)
    planned = plan("nakagin_x", [V4, DUAL, trusting], [WEB, LOCAL, RANGE, SHIFTED, direct])
    firewall = Firewall("nakagin_x")
    firewall.apply(planned)
    assert not firewall.restore(planned)
    assert "tcp . 0.0.0.0/0 . 9000-18999 : 172.17.0.2" in listing()


@pytest.mark.root
@in_namespace
def test_no_list_of_protocols_is_needed() -> None:
    """Minimal systems have no /etc/protocols."""
    unshare(abi.CLONE_NEWNS)
    mount(None, "/", None, abi.MS_REC | abi.MS_PRIVATE)
    mount("/dev/null", "/etc/protocols", None, abi.MS_BIND)
    routed = msgspec.structs.replace(DUAL, internal=False, gateway_mode4="routed", gateway_mode6="routed")
    allowed = Allowed(ports4=frozenset({("192.0.2.1", "tcp", "443"), ("192.0.2.1", "udp", "53")}))
    limited = msgspec.structs.replace(V4, egress=())
    planned = plan("t", [routed, limited], [WEB, LOCAL, RANGE, SIX, SCTP], {V4.id: allowed}, direct=True)
    firewall = Firewall("t")
    firewall.apply(planned)
    assert not firewall.restore(planned), "what the kernel shows is understood without it as well"


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
    firewall.lead((), [WEB, LOCAL])
    assert not firewall.restore(plan("t", [V4], [WEB, LOCAL]))
    firewall.lead([WEB, LOCAL], [LOCAL])
    assert not firewall.restore(plan("t", [V4], [LOCAL]))
    nftables.run("delete table inet t")
    firewall.lead((), [RANGE])
    assert not firewall.restore(plan("t", [V4], [LOCAL, RANGE]))
    nftables.run("delete table inet t")
    firewall.lead([RANGE], ())
    assert not firewall.restore(plan("t", [V4], [LOCAL]))


@pytest.mark.root
@in_namespace
def test_two_ports_of_this_host_may_open_one_of_the_container() -> None:
    firewall = Firewall("t")
    one, other = (
        Published(PortMapping("tcp", "0.0.0.0", port, 80), "172.17.0.2", direct=True) for port in (81, 82)
    )
    firewall.apply(plan("t", [V4], [], direct=True))
    firewall.lead((), [one, other])
    firewall.lead([one, other], [other])
    assert not firewall.restore(plan("t", [V4], [other], direct=True))
    firewall.lead([other], ())
    assert not firewall.restore(plan("t", [V4], [], direct=True))


@pytest.mark.root
@in_namespace
def test_networks_come_and_go_without_a_moment_in_which_the_table_is_gone() -> None:
    firewall = Firewall("t")
    with nftables.Watch("t") as watch:
        for networks in ([V4], [V4, DUAL], [DUAL], [V4, DUAL], [V4]):
            planned = plan("t", networks, [WEB])
            firewall.apply(planned)
            assert not firewall.restore(planned)
        assert not watch.foreign_change(), "our own changes are nobody else's"


@pytest.mark.root
@in_namespace
def test_a_new_engine_takes_over_the_table_of_the_old_one() -> None:
    planned = plan("t", [V4, DUAL], [WEB])
    Firewall("t").apply(planned)
    heir = Firewall("t")
    assert heir.restore(planned), "it cannot know what the rules mean, so it writes them anew"
    assert not heir.restore(planned)
