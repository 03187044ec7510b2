from __future__ import annotations

from typing import Any

import pytest

from nakagin.network.exposure import Firewalls, Packet, document, reach
from nakagin.network.model import PortMapping

PACKET = Packet("tcp", "172.18.0.2", 80, 8080, "nk0")
HOST = ("127.0.0.1", "::1", "10.0.0.5", "fe80::1%eth0")


def mapping(host_ip: str, protocol: Any = "tcp") -> PortMapping:
    return PortMapping(protocol, host_ip, 8080, 80)


@pytest.mark.parametrize(
    ("host_ip", "host", "expected"),
    [
        ("127.0.0.1", HOST, "this host"),
        ("::1", HOST, "this host"),
        ("10.0.0.5", HOST, "local network"),
        ("0.0.0.0", HOST, "local network"),
        ("0.0.0.0", ("127.0.0.1",), "this host"),
        ("0.0.0.0", (*HOST, "93.184.216.34"), "anywhere"),
        ("::", HOST, "local network"),
        ("::", (*HOST, "2606:2800::1"), "anywhere"),
        ("::", ("93.184.216.34", "::1"), "this host"),
    ],
)
def test_how_far_an_address_reaches(host_ip: str, host: tuple[str, ...], expected: str) -> None:
    assert reach(mapping(host_ip), host) == expected


def chain(name: str, policy: str = "accept", hook: str = "forward") -> dict[str, Any]:
    return {
        "chain": {
            "family": "inet",
            "table": "t",
            "name": name,
            "hook": hook,
            "type": "filter",
            "policy": policy,
        }
    }


def rule(name: str, *expressions: Any) -> dict[str, Any]:
    return {"rule": {"family": "inet", "table": "t", "chain": name, "expr": list(expressions)}}


def match(left: Any, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


DPORT = {"payload": {"protocol": "tcp", "field": "dport"}}
SOURCE = {"payload": {"protocol": "ip", "field": "saddr"}}
TARGET = {"payload": {"protocol": "ip", "field": "daddr"}}
STATE = {"ct": {"key": "state"}}
DROP, ACCEPT = {"drop": None}, {"accept": None}


@pytest.mark.parametrize(
    ("items", "verdict"),
    [
        ([chain("f")], None),
        ([chain("f", "drop")], "drop"),
        ([chain("f", "drop"), rule("f", match(DPORT, 80), ACCEPT)], None),
        ([chain("f", "drop"), rule("f", match(DPORT, {"set": [22, {"range": [70, 90]}]}), ACCEPT)], None),
        ([chain("f", "drop"), rule("f", match(DPORT, 8080), ACCEPT)], "drop"),
        ([chain("f"), rule("f", match(DPORT, 80), {"reject": {}})], "drop"),
        ([chain("f"), rule("f", match(DPORT, 80, "!="), DROP)], None),
        ([chain("f"), rule("f", match(TARGET, {"prefix": {"addr": "172.18.0.0", "len": 16}}), DROP)], "drop"),
        ([chain("f"), rule("f", match(STATE, ["established", "related"]), DROP)], None),
        ([chain("f", "drop"), rule("f", match(SOURCE, "10.0.0.1"), ACCEPT)], "perhaps"),
        ([chain("f"), rule("f", match(SOURCE, "@friends"), DROP)], "perhaps"),
        ([chain("f"), rule("f", match({"meta": {"key": "oifname"}}, "nk*"), DROP)], "drop"),
        ([chain("f"), rule("f", {"jump": {"target": "g"}}), rule("g", match(DPORT, 80), DROP)], "drop"),
        (
            [chain("f"), rule("f", {"jump": {"target": "g"}}), rule("g", {"return": None}), rule("g", DROP)],
            None,
        ),
        ([chain("f"), rule("f", {"jump": {"target": "f"}})], "perhaps"),  # the kernel has no such loop
        ([chain("f"), rule("f", {"xt": None}, DROP)], "perhaps"),
        ([chain("f", hook="input", policy="drop")], None),
    ],
)
def test_what_a_foreign_chain_does(items: list[Any], verdict: str | None) -> None:
    found = Firewalls({"nftables": items}, "nakagin").findings(PACKET)
    assert [each.verdict for each in found] == ([verdict] if verdict else [])


def test_our_own_table_says_nothing() -> None:
    assert Firewalls({"nftables": [chain("f", "drop")]}, "t").findings(PACKET) == []


def test_the_document() -> None:
    listing = {
        "nftables": [
            chain("f"),
            chain("i", hook="input"),
            rule("i", match(DPORT, 8080), DROP),
        ]
    }
    ports = [mapping("0.0.0.0"), mapping("::"), mapping("127.0.0.1")]
    one, six, local = document(ports, {False: "172.18.0.2"}, "nk0", HOST, Firewalls(listing, "nakagin"))
    assert (one["Reach"], one["Firewall"], one["ClientAddressKept"]) == ("local network", [], True)
    assert [each["chain"] for each in one["Unseen"]] == ["inet t i"]
    # By the proxy: the host's own rules hold.
    assert [each["chain"] for each in six["Firewall"]] == ["inet t i"]
    assert (six["Unseen"], six["ClientAddressKept"]) == ([], False)
    assert (local["Reach"], local["Firewall"], local["Unseen"]) == ("this host", [], [])
