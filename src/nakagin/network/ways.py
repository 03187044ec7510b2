"""What becomes of a packet on a network, said in words: from where, to where, and how often it was dropped. Pure.

The words follow the rules in `ruleset`; how much was dropped is read off the kernel's own counters.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nakagin.network.model import Network

_DROPPED = re.compile(r"counter packets (\d+) bytes \d+ drop")

_IPV6_ALONE = "meta nfproto ipv6 return"

NEIGHBOUR, OUTSIDE, HOST = "a neighbour", "outside", "this host"
CONTAINER, PORT, OTHERS = "a container", "a published port", "a container, another port"


class Way(NamedTuple):
    """`verdict` is for people; `dropped` counts the packets that the rule behind it has dropped so far."""

    start: str
    end: str
    verdict: str
    dropped: int = 0


def ways(network: Network, chains: Mapping[str, Sequence[str]]) -> list[Way]:
    """Every kind of way on a network; `chains` are the table's, as the kernel shows them."""
    match network.driver:
        case "bridge" if not chains:
            return [
                Way(CONTAINER, "anywhere", "as this host's routes and other firewalls say: no rules of ours")
            ]
        case "bridge":
            found = list(_of_bridge(network, _Counters(network, chains)))
            if _IPV6_ALONE in chains.get("forward", ()):
                found.append(
                    Way("anywhere by IPv6", CONTAINER, "passes: IPv6 is left alone (--ip6tables=false)")
                )
            return found
        case "macvlan" | "ipvlan":
            return list(_of_parent(network))
        case "host":
            return [
                Way(CONTAINER, "anywhere", "as any process of this host: it has no interfaces of its own")
            ]
    return [Way(CONTAINER, "anywhere", "no way: it has only its own loopback")]


class _Counters:
    """How many packets the chains of a network have dropped."""

    def __init__(self, network: Network, chains: Mapping[str, Sequence[str]]) -> None:
        self._short = network.id[:12]
        self._chains = chains

    def of(self, kind: str) -> int:
        lines = self._chains.get(f"{kind}_{self._short}" if kind != "guard" else kind, ())
        return sum(int(found[1]) for line in lines if (found := _DROPPED.search(line)))


def _of_bridge(network: Network, counters: _Counters) -> Iterator[Way]:
    came = counters.of("to")
    if network.icc:
        yield Way(CONTAINER, NEIGHBOUR, "passes, inside the bridge")
    else:
        yield Way(CONTAINER, NEIGHBOUR, "dropped (enable_icc=false), but for its published ports", came)
    yield Way(CONTAINER, OUTSIDE, _leaving(network), counters.of("from"))
    yield Way(CONTAINER, HOST, _to_host(network), counters.of("host"))
    yield Way(CONTAINER, "127.0.0.0/8 of this host", "dropped", counters.of("guard"))
    yield Way(OUTSIDE, PORT, _published(network))
    if network.trusted and not network.internal:
        yield Way(", ".join(network.trusted), PORT, "open at the container's own address as well (trusted)")
    yield Way(OUTSIDE, OTHERS, _unpublished(network), came)
    yield Way("another network", CONTAINER, "dropped, but for its published ports")


def _by_family(network: Network, say: Mapping[str, str]) -> str:
    """What `say` says of the gateway mode of each family that the network has; once where it is the same."""
    modes = {
        f"IPv{6 if ipv6 else 4}": say[network.gateway_mode(ipv6=ipv6)]
        for ipv6 in (False, True)
        if any(each.is_ipv6 == ipv6 for each in network.subnets)
    }
    if len(set(modes.values())) <= 1:
        return next(iter(modes.values()), "no way: it has no subnet")
    return "; ".join(f"{family}: {words}" for family, words in modes.items())


def _named(network: Network) -> str:
    return f"only {', '.join(network.egress)}" if network.egress else "dropped (egress none)"


def _leaving(network: Network) -> str:
    if network.internal:
        return "dropped (internal)"
    if network.egress is not None:
        return _named(network)
    own = "passes; its own address is seen"
    translated = "passes; this host's address is seen" if network.masquerade else own
    return _by_family(
        network, {"nat": translated, "nat-unprotected": translated, "routed": own, "isolated": "no way"}
    )


def _to_host(network: Network) -> str:
    if network.egress is not None:
        return _named(network)
    there = "passes"
    return _by_family(
        network,
        {"nat": there, "nat-unprotected": there, "routed": there, "isolated": "no way: no address there"},
    )


def _published(network: Network) -> str:
    if network.internal:
        return "no answer (internal)"
    led = "led to the container, which sees the client's address"
    return _by_family(
        network,
        {
            "nat": led,
            "nat-unprotected": led,
            "routed": "open at the container's own address",
            "isolated": "no way",
        },
    )


def _unpublished(network: Network) -> str:
    if network.internal:
        return "dropped (internal)"
    return _by_family(
        network,
        {
            "nat": "dropped", "nat-unprotected": "passes, for whoever has a route to it",
            "routed": "dropped, but for ICMP", "isolated": "no way",
        },
    )  # fmt: skip


def _of_parent(network: Network) -> Iterator[Way]:
    apart = network.mode == "private" or network.flag == "private"
    by_switch = network.mode == "vepa" or network.flag == "vepa"
    between = "passes, on this host"
    if apart:
        between = "dropped (private)"
    elif by_switch:
        between = "passes where the switch outside sends it back (vepa)"
    yield Way(CONTAINER, NEIGHBOUR, between)
    mac = "a MAC address of its own" if network.driver == "macvlan" else "the parent's MAC address"
    out = "no way: its parent leads nowhere" if network.internal else f"passes, by the parent, with {mac}"
    yield Way(CONTAINER, OUTSIDE, out)
    yield Way(OUTSIDE, CONTAINER, "no way" if network.internal else "passes: every port is open to the LAN")
    yield Way(CONTAINER, HOST, "no way by the parent: the kernel keeps the two apart")
