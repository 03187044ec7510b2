"""From where a published port is reached, and what other firewall tables say to it. Pure but for `rulesets`.

Foreign chains are read, never run: a rule counts where every one of its matches is understood here; whatever else
might decide makes the answer "perhaps".
"""

from __future__ import annotations

import errno
import ipaddress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from nakagin.kernel import netlink, nftables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from nakagin.network.model import PortMapping

Reach = Literal["this host", "local network", "anywhere"]
Verdict = Literal["accept", "drop", "perhaps"]

_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 (a comparison)
_DEPTH = 16
_SINGLY = 64


class Packet(NamedTuple):
    """A new connection from outside, as the forward hook sees it after its translation."""

    protocol: str
    address: str  # the container's
    port: int  # the container's
    host_port: int
    bridge: str

    @property
    def ipv6(self) -> bool:
        return ":" in self.address


class Finding(NamedTuple):
    """What one foreign base chain makes of a packet."""

    chain: str
    verdict: Verdict


def reach(mapping: PortMapping, host_addresses: Iterable[str]) -> Reach:
    """How far the host's address of a mapping reaches, firewalls aside.

    `host_addresses` are all of the host: a mapping for all addresses reaches as far as its farthest one.
    """
    chosen = [mapping.host_ip]
    if mapping.host_ip in _ANYWHERE:
        chosen = [each for each in host_addresses if (":" in each) == mapping.is_ipv6]
    kinds = {_reach_of(each) for each in chosen}
    for kind in ("anywhere", "local network"):
        if kind in kinds:
            return kind
    return "this host"


def _reach_of(text: str) -> Reach:
    address = ipaddress.ip_address(text.partition("%")[0])
    if address.is_loopback or address.is_unspecified:
        return "this host"
    return "local network" if address.is_private or address.is_link_local else "anywhere"


class Firewalls:
    """The chains of all tables but ours."""

    def __init__(self, listing: Mapping[str, Any], own: str) -> None:
        self._rules: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        self._base: list[dict[str, Any]] = []
        for item in listing.get("nftables", ()):
            if "rule" in item and item["rule"]["table"] != own:
                rule = item["rule"]
                key = rule["family"], rule["table"], rule["chain"]
                self._rules.setdefault(key, []).append(rule)
            elif "chain" in item and item["chain"]["table"] != own and "hook" in item["chain"]:
                self._base.append(item["chain"])

    def findings(self, packet: Packet, hook: str = "forward") -> list[Finding]:
        """What each foreign chain at `hook` makes of a packet, those that let it pass left out."""
        families = {"inet", "ip6" if packet.ipv6 else "ip"}
        found = []
        for chain in self._base:
            if chain["family"] not in families or chain["hook"] != hook or chain.get("type") != "filter":
                continue
            verdict = self._walk((chain["family"], chain["table"], chain["name"]), packet, 0)
            if verdict is None:
                verdict = "drop" if chain.get("policy") == "drop" else "accept"
            if verdict != "accept":
                found.append(Finding(f"{chain['family']} {chain['table']} {chain['name']}", verdict))
        return found

    def _walk(self, key: tuple[str, str, str], packet: Packet, depth: int) -> Verdict | None:
        """The verdict of a chain; None where it comes to its end or returns."""
        if depth > _DEPTH:
            return "perhaps"
        doubt = False
        for rule in self._rules.get(key, ()):
            match = _matches(rule["expr"], packet)
            if match is False:
                continue
            verdict = self._verdict(rule["expr"], key, packet, depth)
            if verdict is None:
                continue
            if match is None or verdict == "perhaps":
                doubt = True
            elif verdict == "return":
                break
            else:
                return "perhaps" if doubt and verdict == "drop" else verdict
        return "perhaps" if doubt else None

    def _verdict(
        self, expressions: Sequence[Any], key: tuple[str, str, str], packet: Packet, depth: int
    ) -> Verdict | Literal["return"] | None:
        for each in expressions:
            word = each if isinstance(each, str) else next(iter(each), "")
            if word == "accept":
                return "accept"
            if word in {"drop", "reject"}:
                return "drop"
            if word == "return":
                return "return"
            if word in {"jump", "goto"}:
                return self._walk((*key[:2], each[word]["target"]), packet, depth + 1)
            if word in {"vmap", "queue", "xt"}:
                return "perhaps"
        return None


def _matches(expressions: Sequence[Any], packet: Packet) -> bool | None:
    """Whether all matches of a rule hold; None where that cannot be told."""
    result: bool | None = True
    for each in expressions:
        if not isinstance(each, dict):
            continue
        if "match" in each:
            one = _holds(each["match"], packet)
        elif "xt" in each or "limit" in each:
            one = None
        else:
            continue
        if one is False:
            return False
        result = None if one is None else result
    return result


def _holds(match: Mapping[str, Any], packet: Packet) -> bool | None:
    known = _known(match["left"], packet)
    if known is None:
        return None
    one = _contains(match["right"], known)
    if one is None:
        return None
    return one != (match.get("op") == "!=")


def _known(left: Any, packet: Packet) -> tuple[str, ...] | None:
    """What a left-hand side is for the packet; None where we do not know. () is "nothing of that kind"."""
    if not isinstance(left, dict):
        return None
    family = "ip6" if packet.ipv6 else "ip"
    match left:
        case {"payload": {"protocol": protocol, "field": field}}:
            if (protocol, field) == (family, "daddr"):
                return (packet.address,)
            if protocol in {"ip", "ip6"} and protocol != family:
                return ()
            if protocol in {"tcp", "udp", "sctp", "th"} and field == "dport":
                return (str(packet.port),) if protocol in {"th", packet.protocol} else ()
            if (protocol, field) == ("ip", "protocol"):
                return (packet.protocol,)
        case {"meta": {"key": "l4proto"}}:
            return (packet.protocol,)
        case {"meta": {"key": "nfproto"}}:
            return ("ipv6" if packet.ipv6 else "ipv4",)
        case {"meta": {"key": "oifname" | "oif"}}:
            return (packet.bridge,)
        case {"ct": {"key": "state"}}:
            return ("new",)
        case {"ct": {"key": "status"}}:
            return ("dnat",)
        case {"ct": {"key": "original proto-dst" | "proto-dst"}}:
            return (str(packet.host_port),)
    return None


def _contains(right: Any, known: tuple[str, ...]) -> bool | None:
    """Whether a right-hand side has one of the known values."""
    if isinstance(right, list):
        right = {"set": right}
    if isinstance(right, dict) and "set" in right:
        results = [_contains(each, known) for each in right["set"]]
        return True if True in results else None if None in results else False
    if isinstance(right, dict) and "prefix" in right:
        network = ipaddress.ip_network(f"{right['prefix']['addr']}/{right['prefix']['len']}", strict=False)
        return any(ipaddress.ip_address(each) in network for each in known)
    if isinstance(right, dict) and "range" in right:
        low, high = right["range"]
        if isinstance(low, int):
            return any(low <= int(each) <= high for each in known)
        first, last = ipaddress.ip_address(low), ipaddress.ip_address(high)
        return any(int(first) <= int(ipaddress.ip_address(each)) <= int(last) for each in known)
    if isinstance(right, str | int):
        text = str(right)
        if text.startswith("@"):
            return None
        if text.endswith("*"):
            return any(each.startswith(text[:-1]) for each in known)
        return text in known
    return None


def look(
    ports: Sequence[PortMapping],
    target: Mapping[bool, str],
    bridge: str,
    own_bridges: Collection[str],
    table: str,
) -> list[dict[str, Any]]:
    """The document, from the living kernel. Blocking; raises OSError."""
    with netlink.Socket() as kernel:
        own = {each.index for each in kernel.links() if each.name in own_bridges}
        host = [address.partition("/")[0] for number, address in kernel.addresses() if number not in own]
    try:
        listing = nftables.run("list ruleset")
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        listing = {}  # no nf_tables, no rules
    return document(ports, target, bridge, host, Firewalls(listing, table))


def document(
    ports: Iterable[PortMapping],
    target: Mapping[bool, str],
    bridge: str,
    host: Sequence[str],
    firewalls: Firewalls,
) -> list[dict[str, Any]]:
    """Each mapping with its reach and what firewalls say; `target` is the container's address by "is IPv6".

    "Unseen" are chains for packets to the host itself that would drop it: a published port's packets are
    forwarded and do not pass there.
    """
    shown = []
    for each in singly(ports):
        inside = target.get(each.is_ipv6) or target.get(not each.is_ipv6) or ""
        how_far = reach(each, host)
        packet = Packet(each.protocol, inside, each.container_port, each.host_port, bridge)
        translated = (":" in inside) == each.is_ipv6 and not each.announced
        blocked = firewalls.findings(packet) if translated and how_far != "this host" else []
        itself = packet._replace(port=each.host_port, address=each.host_ip, bridge="")
        by_input = firewalls.findings(itself, "input") if how_far != "this host" else []
        shown.append(
            {
                "Port": _ports(each.container_port, each.count, each.protocol),
                "HostIp": each.host_ip,
                "HostPort": _ports(each.host_port, each.count),
                "Reach": how_far,
                # Where the monitor's proxy accepts, it does so on the host itself.
                "Firewall": [one._asdict() for one in (blocked if translated else by_input)],
                "Unseen": [one._asdict() for one in by_input if translated and one.verdict == "drop"],
                "ClientAddressKept": translated,
                "ProxyProtocol": each.announced,
            }
        )
    return shown


def singly(ports: Iterable[PortMapping]) -> Iterator[PortMapping]:
    """Small mappings port by port: rules may tell them apart. Of a large one its first port speaks for all."""
    for each in ports:
        if each.count > _SINGLY:
            yield each
            continue
        for offset in range(each.count):
            host, inside = each.host_port + offset, each.container_port + offset
            yield msgspec.structs.replace(each, host_port=host, container_port=inside, count=1)


def _ports(first: int, count: int, protocol: str = "") -> str:
    text = f"{first}-{first + count - 1}" if count > 1 else str(first)
    return f"{text}/{protocol}" if protocol else text
