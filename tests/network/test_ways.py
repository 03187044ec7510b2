from __future__ import annotations

import msgspec

from nakagin.network.model import Network, Subnet
from nakagin.network.ways import ways

PLAIN = Network(
    "a" * 64,
    "n",
    "bridge",
    "",
    (Subnet("10.0.0.0/24", "10.0.0.1"), Subnet("fd00::/64", "fd00::1")),
    bridge="b0",
)
CHAINS = {
    "forward": ["oifname vmap @into"],
    "guard": ["ip daddr 127.0.0.0/8 iifname @bridges counter packets 3 bytes 180 drop"],
    "to_aaaaaaaaaaaa": ["ct state established,related accept", "counter packets 12 bytes 720 drop"],
    "from_aaaaaaaaaaaa": ["counter packets 5 bytes 300 drop"],
}


def told(chains: dict[str, list[str]] | None = None, **changes: object) -> dict[tuple[str, str], str]:
    found = ways(msgspec.structs.replace(PLAIN, **changes), CHAINS if chains is None else chains)
    return {(each.start, each.end): f"{each.verdict} [{each.dropped}]" for each in found}


OUT, IN = ("a container", "outside"), ("outside", "a container, another port")


def test_what_is_dropped_is_counted() -> None:
    said = told()
    assert said[OUT] == "passes; this host's address is seen [5]"
    assert said[IN] == "dropped [12]"
    assert said["a container", "127.0.0.0/8 of this host"] == "dropped [3]"


def test_each_switch_changes_what_is_said() -> None:
    assert told(masquerade=False)[OUT].startswith("passes; its own address is seen")
    assert told(internal=True)[OUT].startswith("dropped (internal)")
    assert told(egress=("10.1.0.0/16",))[OUT].startswith("only 10.1.0.0/16")
    assert told(egress=())["a container", "this host"].startswith("dropped (egress none)")
    assert told(icc=False)["a container", "a neighbour"].startswith("dropped (enable_icc=false)")
    assert told(gateway_mode4="routed")[IN].startswith("IPv4: dropped, but for ICMP; IPv6: dropped")
    assert told(gateway_mode4="nat-unprotected", gateway_mode6="nat-unprotected")[IN].startswith("passes")


def test_without_rules_nothing_is_claimed() -> None:
    assert list(told({})) == [("a container", "anywhere")]
    alone = told({**CHAINS, "forward": ["meta nfproto ipv6 return", "oifname vmap @into"]})
    assert ("anywhere by IPv6", "a container") in alone


def test_other_drivers() -> None:
    lan = told(driver="macvlan", mode="private")
    assert lan["a container", "a neighbour"].startswith("dropped (private)")
    assert "MAC address of its own" in lan[OUT]
    assert told(driver="ipvlan", internal=True)[OUT].startswith("no way")
    assert len(told(driver="host")) == len(told(driver="null")) == 1
