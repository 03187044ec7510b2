"""The plan of our one nf_tables table: from networks and published ports to maps, chains and elements. Pure.

    hook, priority                what for
    prerouting  raw (-300)        bridge -> 127.0.0.0/8: drop              (route_localnet opens it: CVE-2020-8558)
    prerouting  dstnat (-100)     to an address of this host: DNAT by the port maps (not to 127.0.0.0/8 from outside)
    output      dstnat (-100)     the same for the host's own connections, 127.0.0.1 included
    input       filter (0)        from a network with limited egress: nothing of this host but answers
    forward     filter (0)        out of a bridge (from_…), then into one (to_…)
    postrouting srcnat (100)      container -> outside, hairpin, and 127.0.0.1 -> container: masquerade

What is there for every network alike is in fixed chains that look their bridges up in maps; each network has
chains of its own behind those. So a new network, port or permitted address adds to the table and leaves the
rest alone. All base chains accept by policy: an accept of ours ends nothing in another table, a drop does.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple

from nakagin.network import portmaps
from nakagin.network.portmaps import Element, Published

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from nakagin.network.model import Network

Elements = dict[Element, Element]

#: The maps and sets whose keys are names of interfaces: nft wants those in quotes.
BY_INTERFACE = ("bridges", "into", "out_of", "inward", "back", "leaving")

_FIXED_SETS = (
    ("set", "bridges", "type ifname"),
    ("map", "into", "type ifname : verdict"),
    ("map", "out_of", "type ifname : verdict"),
    ("map", "inward", "type ifname : verdict"),
    ("map", "back", "type ifname : verdict"),
    ("map", "leaving", "type ifname : verdict"),
    ("set", "open4", "type ipv4_addr . inet_proto . inet_service"),
    ("set", "open6", "type ipv6_addr . inet_proto . inet_service"),
)
_DROP = "counter drop"


class Chain(NamedTuple):
    """A chain as nft writes it; `hook` is "" for one that is jumped to."""

    hook: str
    rules: tuple[str, ...]


class Allowed(NamedTuple):
    """What a network with limited egress may reach: whole hosts or subnets, and single ports of them."""

    hosts4: frozenset[Element] = frozenset()
    hosts6: frozenset[Element] = frozenset()
    ports4: frozenset[Element] = frozenset()
    ports6: frozenset[Element] = frozenset()


class Ruleset(NamedTuple):
    """A planned table: the declarations of maps and sets, the chains, and what is in each map and set."""

    table: str
    sets: dict[str, str]
    chains: dict[str, Chain]
    elements: dict[str, Elements]


def plan(
    table: str,
    networks: Iterable[Network],
    published: Iterable[Published] = (),
    allowed: Mapping[str, Allowed] = {},
    *,
    direct: bool = False,
    ipv6: bool = True,
) -> Ruleset:
    """The table for these bridge networks, published ports, and (by network id) permitted destinations.

    `direct`: published ports answer at the container's own address too (--allow-direct-routing). Without `ipv6`
    the table lets IPv6 alone (--ip6tables=false), but for networks that may reach only what is named.
    """
    ruleset = _fixed(table)
    if not ipv6:
        _leave_ipv6_alone(ruleset)
    for network in sorted((each for each in networks if each.bridge), key=lambda each: each.bridge):
        _add_network(ruleset, network, allowed.get(network.id, Allowed()), direct=direct)
    for name, new in portmaps.port_elements(published).items():
        ruleset.elements[name].update(new)
    return ruleset


def _leave_ipv6_alone(ruleset: Ruleset) -> None:
    for name in ("prerouting", "output", "postrouting"):
        chain = ruleset.chains[name]
        ruleset.chains[name] = chain._replace(rules=("meta nfproto ipv6 return", *chain.rules))
    hook, (out_of, into) = ruleset.chains["forward"]
    ruleset.chains["forward"] = Chain(hook, (out_of, "meta nfproto ipv6 return", into))


def _fixed(table: str) -> Ruleset:
    redirections = []
    sets = {name: f"{kind} {name} {{ {text}; }}" for kind, name, text in _FIXED_SETS}
    for family in ("ip", "ip6"):
        for name, kind, key in portmaps.maps(family):
            sets[name] = f"map {name} {{ type {kind}; }}"
            redirections.append(f"dnat {family} to {key} map @{name}")
    # A neighbour may send us packets for 127.0.0.1: a port published there must not answer them.
    outside = 'iifname != "lo" ip daddr 127.0.0.0/8 return'
    publish = "fib daddr type local jump published"
    chains = {
        "published": Chain("", tuple(redirections)),
        "guard": Chain(
            "filter hook prerouting priority -300", (f"ip daddr 127.0.0.0/8 iifname @bridges {_DROP}",)
        ),
        "prerouting": Chain("nat hook prerouting priority -100", (outside, publish)),
        # IPv6 has no route_localnet: ::1 is served by the monitors' proxies.
        "output": Chain("nat hook output priority -100", ("ip6 daddr ::1 return", publish)),
        "input": Chain("filter hook input priority 0", ("iifname vmap @inward",)),
        "forward": Chain("filter hook forward priority 0", ("iifname vmap @out_of", "oifname vmap @into")),
        "postrouting": Chain(
            "nat hook postrouting priority 100",
            (
                "oifname @bridges ip saddr 127.0.0.0/8 masquerade",
                "oifname vmap @back",
                "iifname vmap @leaving",
            ),
        ),
    }
    return Ruleset(table, sets, chains, {name: {} for name in sets})


def _add_network(ruleset: Ruleset, network: Network, allowed: Allowed, *, direct: bool) -> None:
    short, bridge, elements = network.id[:12], f'"{network.bridge}"', ruleset.elements
    elements["bridges"][bridge,] = ()
    ruleset.chains[f"to_{short}"] = Chain("", _into(network, direct=direct))
    elements["into"][bridge,] = (f"jump to_{short}",)
    if network.internal:
        ruleset.chains[f"from_{short}"] = Chain("", (f"oifname != {bridge} {_DROP}",))
    elif network.egress is not None:
        _limit_egress(ruleset, network, allowed)
        ruleset.chains[f"from_{short}"] = Chain("", _permitted(network))
    if f"from_{short}" in ruleset.chains:
        elements["out_of"][bridge,] = (f"jump from_{short}",)
    # Not by one map of subnets: nft 1.0.6 cannot fill a map of intervals with jumps to chains just made.
    for name, rules in (("back", _back(network)), ("leaving", _leaving(network))):
        if rules:
            ruleset.chains[f"{name}_{short}"] = Chain("", rules)
            elements[name][bridge,] = (f"jump {name}_{short}",)


def _into(network: Network, *, direct: bool) -> tuple[str, ...]:
    """What may come to the containers of a network."""
    rules = ["ct state established,related accept", "ct status dnat accept"]
    # By number: without /etc/protocols (the package netbase) nft does not know the names of all.
    for family, digit, icmp in (("ip", "4", socket.IPPROTO_ICMP), ("ip6", "6", socket.IPPROTO_ICMPV6)):
        mode = network.gateway_mode(ipv6=digit == "6")
        opened = f"{family} daddr . meta l4proto . th dport @open{digit} accept"
        if mode == "routed" or (direct and mode == "nat"):
            rules.append(opened)
        elif mode == "nat":
            rules += [f'iifname "{each}" {opened}' for each in network.trusted]
        if mode == "routed":
            rules.append(f"meta l4proto {icmp:d} accept")
        elif mode == "nat-unprotected":
            rules.append(f"meta nfproto ipv{digit} iifname != @bridges accept")
    if network.icc:
        rules.append(f'iifname "{network.bridge}" accept')
    return (*rules, _DROP)


def _from(network: Network, *, ipv6: bool) -> Iterator[str]:
    return (
        f"{'ip6' if ipv6 else 'ip'} saddr {each.subnet}" for each in network.subnets if each.is_ipv6 == ipv6
    )


def _back(network: Network) -> tuple[str, ...]:
    """A container to a port published by its neighbour, or itself: the answer must come this way again."""
    return tuple(
        f"{source} ct status dnat masquerade"
        for ipv6 in (False, True)
        for source in _from(network, ipv6=ipv6)
    )


def _leaving(network: Network) -> tuple[str, ...]:
    """Containers to anywhere but our bridges."""
    if not network.masquerade or network.internal:
        return ()
    return tuple(
        f"oifname != @bridges {source} masquerade"
        for ipv6 in (False, True)
        if network.gateway_mode(ipv6=ipv6) in {"nat", "nat-unprotected"}
        for source in _from(network, ipv6=ipv6)
    )


def _limit_egress(ruleset: Ruleset, network: Network, allowed: Allowed) -> None:
    short = network.id[:12]
    for digit, hosts, ports in (("4", allowed.hosts4, allowed.ports4), ("6", allowed.hosts6, allowed.ports6)):
        address = f"ipv{digit}_addr"
        for name, kind, members in (
            (f"hosts{digit}_{short}", address, hosts),
            (f"allow{digit}_{short}", f"{address} . inet_proto . inet_service", ports),
        ):
            ruleset.sets[name] = f"set {name} {{ type {kind}; flags interval; }}"
            ruleset.elements[name] = dict.fromkeys(sorted(members), ())
    # This host is a destination like any other; neighbour discovery (RFC 4861) must work.
    rules = (
        "ct state established,related return",
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } return",
        *_lookups(short),
        _DROP,
    )
    ruleset.chains[f"host_{short}"] = Chain("", rules)
    ruleset.elements["inward"][f'"{network.bridge}"',] = (f"jump host_{short}",)


def _permitted(network: Network) -> tuple[str, ...]:
    short = network.id[:12]
    return (
        f'oifname "{network.bridge}" return',
        "ct state established,related return",
        *_lookups(short),
        _DROP,
    )


def _lookups(short: str) -> Sequence[str]:
    return [
        rule
        for family, digit in (("ip", "4"), ("ip6", "6"))
        for rule in (
            f"{family} daddr @hosts{digit}_{short} return",
            f"{family} daddr . meta l4proto . th dport @allow{digit}_{short} return",
        )
    ]
