"""Our one nf_tables table: masquerading, isolation of bridges, published ports.

`plan` turns networks and published ports into a `Ruleset` (pure data); `Firewall` makes the kernel's table
like it in one transaction: by single map elements where only ports changed, else the whole table at once.
Established connections live through both. Other tables are never touched, nor is any chain's policy:
what another table drops stays dropped, so a published port respects the host's own firewall.

    raw prerouting   bridge -> 127.0.0.0/8: drop                   (route_localnet opens it: CVE-2020-8558)
    nat prerouting   to an address of this host: DNAT by the port maps  (not to 127.0.0.0/8 from outside)
    nat output       the same for the host's own connections, 127.0.0.1 included
    nat postrouting  container -> outside, hairpin, and 127.0.0.1 -> container: masquerade
    forward          into a bridge: established, published or same bridge, else drop
"""

from __future__ import annotations

import errno
import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from nakagin.errors import StepFailed
from nakagin.kernel import nftables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nakagin.network.model import Network, PortMapping

Element = tuple[str, ...]

_ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 (said of published ports, not of a socket here)


class Ruleset(NamedTuple):
    """A planned table: maps, chains and rules as nft writes them, and the changing elements of each map."""

    table: str
    layout: tuple[str, ...]
    elements: dict[str, dict[Element, Element]]

    @property
    def mark(self) -> str:
        """The name of an empty chain by which the layout is recognised in the kernel."""
        text = "\n".join(self.layout).encode()
        return f"layout_{hashlib.blake2b(text, digest_size=8).hexdigest()}"

    @property
    def rules(self) -> int:
        """How many rules the layout has."""
        return sum(each.startswith("  ") and not each.startswith("  type ") for each in self.layout)


class Published(NamedTuple):
    """One published mapping and the container's address (of the mapping's family) that it leads to."""

    mapping: PortMapping
    address: str


# --- the plan ------------------------------------------------------------------------------------------


def _maps(family: str) -> list[tuple[str, str, str]]:
    """The port maps of a family ("ip", "ip6"): name, type, and the expression of their key."""
    digit, address = ("4", "ipv4_addr") if family == "ip" else ("6", "ipv6_addr")
    at = f"meta l4proto . {family} daddr . th dport"
    at_type = f"inet_proto . {address} . inet_service"
    return [
        (f"ports{digit}", f"inet_proto . inet_service : {address} . inet_service", "meta l4proto . th dport"),
        (f"ports{digit}_at", f"{at_type} : {address} . inet_service", at),
        (f"ranges{digit}", f"{at_type} : {address}; flags interval", at),
    ]


def plan(table: str, networks: Iterable[Network], published: Iterable[Published]) -> Ruleset:
    """The table for these bridge networks and published ports."""
    bridges = sorted((each for each in networks if each.bridge), key=lambda each: each.bridge)
    families = ["ip"]
    if any(each.enable_ipv6 for each in bridges):
        families.append("ip6")
    lines = []
    elements: dict[str, dict[Element, Element]] = {}
    redirections = []
    for family in families:
        for name, kind, key in _maps(family):
            lines.append(f"map {name} {{ type {kind}; }}")
            elements[name] = {}
            redirections.append(f"dnat {family} to {key} map @{name}")
    lines += _chain("published", redirections)
    lines += _plan_input(bridges, ipv6="ip6" in families)
    lines += _plan_postrouting(bridges)
    lines += _plan_forward(bridges)
    for each in published:
        name, new = _port_elements(each)
        elements[name].update(new)
    return Ruleset(table, tuple(lines), elements)


def _chain(name: str, rules: Iterable[str], hook: str = "") -> list[str]:
    base = [f"  type {hook}; policy accept;"] if hook else []
    return [f"chain {name} {{", *base, *(f"  {each}" for each in rules), "}"]


def _plan_input(bridges: Sequence[Network], *, ipv6: bool) -> list[str]:
    guards = [f'iifname "{each.bridge}" ip daddr 127.0.0.0/8 drop' for each in bridges]
    # A neighbour may send us packets for 127.0.0.1: a port published there must not answer them.
    outside = 'iifname != "lo" ip daddr 127.0.0.0/8 return'
    publish = "fib daddr type local jump published"
    # IPv6 has no route_localnet: ::1 is served by the monitors' proxies.
    own = ["ip6 daddr ::1 return"] if ipv6 else []
    return [
        *_chain("guard", guards, "filter hook prerouting priority -300"),
        *_chain("prerouting", [outside, publish], "nat hook prerouting priority -100"),
        *_chain("output", [*own, publish], "nat hook output priority -100"),
    ]


def _plan_postrouting(bridges: Sequence[Network]) -> list[str]:
    rules = []
    names = ", ".join(f'"{each.bridge}"' for each in bridges)
    for network in bridges:
        rules.append(f'oifname "{network.bridge}" ip saddr 127.0.0.0/8 masquerade')
        for pool in network.subnets:
            source = f"{'ip6' if pool.is_ipv6 else 'ip'} saddr {pool.subnet}"
            rules.append(f'oifname "{network.bridge}" {source} ct status dnat masquerade')
            if network.masquerade and not network.internal:
                rules.append(f"oifname != {{ {names} }} {source} masquerade")
    return _chain("postrouting", rules, "nat hook postrouting priority 100")


def _plan_forward(bridges: Sequence[Network]) -> list[str]:
    lines = []
    rules = []
    for network in bridges:
        into = ["ct state established,related accept", "ct status dnat accept"]
        if network.icc:
            into.append(f'iifname "{network.bridge}" accept')
        lines += _chain(f"to_{network.id[:12]}", [*into, "drop"])
        if network.internal:
            rules.append(f'iifname "{network.bridge}" oifname != "{network.bridge}" drop')
    if bridges:
        targets = ", ".join(f'"{each.bridge}" : jump to_{each.id[:12]}' for each in bridges)
        rules.append(f"oifname vmap {{ {targets} }}")
    return lines + _chain("forward", rules, "filter hook forward priority 0")


def _port_elements(published: Published) -> tuple[str, dict[Element, Element]]:
    """The map for a mapping and its elements there.

    A range published to the same port numbers is one interval; one that is shifted needs an element for
    each port, as nf_tables cannot shift.
    """
    mapping, address = published
    digit = "6" if ":" in address else "4"
    host = "" if mapping.host_ip in _ANYWHERE else mapping.host_ip
    first, count, shift = mapping.host_port, mapping.count, mapping.container_port - mapping.host_port
    if count > 1 and not shift:
        where = host or ("::/0" if digit == "6" else "0.0.0.0/0")
        return f"ranges{digit}", {(mapping.protocol, where, f"{first}-{first + count - 1}"): (address,)}
    middle = (host,) if host else ()
    ports = range(first, first + count)
    elements: dict[Element, Element] = {
        (mapping.protocol, *middle, str(port)): (address, str(port + shift)) for port in ports
    }
    return f"ports{digit}_at" if host else f"ports{digit}", elements


# --- commands ------------------------------------------------------------------------------------------


def _listed(elements: Mapping[Element, Element]) -> str:
    return ", ".join(f"{' . '.join(key)} : {' . '.join(value)}" for key, value in elements.items())


def _command(verb: str, table: str, name: str, elements: Mapping[Element, Element]) -> str:
    return f"{verb} element inet {table} {name} {{ {_listed(elements)} }}"


def replacement(ruleset: Ruleset) -> list[str]:
    """The commands that put the table there anew, whatever was in it before."""
    table = ruleset.table
    commands = [f"add table inet {table}", f"delete table inet {table}", f"table inet {table} {{"]
    commands += [*ruleset.layout, *_chain(ruleset.mark, ()), "}"]
    filled = ((name, elements) for name, elements in ruleset.elements.items() if elements)
    return commands + [_command("add", table, name, elements) for name, elements in filled]


def difference(actual: Ruleset | None, planned: Ruleset) -> list[str]:
    """The commands that lead from one table to another; none where they are alike."""
    if actual is None or actual.table != planned.table or actual.layout != planned.layout:
        return replacement(planned)
    deletions, additions = [], []
    for name, wanted in planned.elements.items():
        there = actual.elements[name]
        gone = {key: value for key, value in there.items() if wanted.get(key) != value}
        new = {key: value for key, value in wanted.items() if there.get(key) != value}
        if gone:
            deletions.append(_command("delete", planned.table, name, gone))
        if new:
            additions.append(_command("add", planned.table, name, new))
    return deletions + additions


def _words(value: Any) -> Element:
    """An element of libnftables-json(5) in our own form."""
    parts = value["concat"] if isinstance(value, dict) and "concat" in value else [value]
    words = []
    for each in parts:
        if isinstance(each, dict) and "range" in each:
            words.append("-".join(map(str, each["range"])))
        elif isinstance(each, dict) and "prefix" in each:
            words.append(f"{each['prefix']['addr']}/{each['prefix']['len']}")
        else:
            words.append(str(each))
    return tuple(words)


def observed(listing: dict[str, Any], planned: Ruleset) -> Ruleset | None:
    """The kernel's table (what "list table" answers) as a Ruleset; None unless laid out as planned."""
    elements: dict[str, dict[Element, Element]] = {name: {} for name in planned.elements}
    rules, marked = 0, False
    for item in listing.get("nftables", ()):
        if "map" in item and item["map"]["name"] in elements:
            pairs = item["map"].get("elem", ())
            elements[item["map"]["name"]] = {_words(key): _words(value) for key, value in pairs}
        rules += "rule" in item
        marked = marked or item.get("chain", {}).get("name") == planned.mark
    if not marked or rules != planned.rules:
        return None
    return Ruleset(planned.table, planned.layout, elements)


# --- the deed ------------------------------------------------------------------------------------------


class Firewall:
    """The table in the kernel. Not there until the first `apply`."""

    def __init__(self, table: str) -> None:
        self.table = table
        self._applied: Ruleset | None = None

    def apply(self, planned: Ruleset) -> None:
        """Make the kernel's table like the plan. Raises StepFailed; the table is as before then."""
        commands = difference(self._applied, planned)
        if commands:
            self._run(commands)
        self._applied = planned

    @property
    def ruleset(self) -> Ruleset | None:
        """What was applied last."""
        return self._applied

    def publish(self, published: Sequence[Published]) -> None:
        """Lead these ports to their containers as well."""
        self._change("add", published)

    def withdraw(self, published: Sequence[Published]) -> None:
        """Lead these ports nowhere again."""
        self._change("delete", published)

    def _change(self, verb: str, published: Sequence[Published]) -> None:
        """Change single elements: costs what the change costs, however many ports are published."""
        assert self._applied is not None
        commands = []
        for each in published:
            name, elements = _port_elements(each)
            commands.append(_command(verb, self.table, name, elements))
            there = self._applied.elements[name]
            for key, value in elements.items():
                if verb == "add":
                    there[key] = value
                else:
                    there.pop(key, None)
        try:
            self._run(commands)
        except StepFailed:
            # Somebody changed the table behind our back: look, and make it whole.
            self.restore(self._applied)

    def restore(self, planned: Ruleset) -> bool:
        """The same, but look at the kernel first instead of trusting what was done; True if it differed."""
        try:
            self._applied = observed(nftables.run(f"list table inet {self.table}"), planned)
        except OSError:
            self._applied = None  # no such table
        differed = bool(difference(self._applied, planned))
        self.apply(planned)
        return differed

    def obstacles(self) -> list[str]:
        """Chains of others that drop every forwarded packet which they do not know (as dockerd's does)."""
        chains = [each["chain"] for each in nftables.run("list chains")["nftables"] if "chain" in each]
        return [
            f"firewall chain {each['family']} {each['table']} {each['name']}"
            for each in chains
            if each.get("hook") == "forward" and each.get("policy") == "drop"
        ]

    def remove(self) -> None:
        """Delete the table; nothing happens where it is not there."""
        self._applied = None
        self._run([f"add table inet {self.table}", f"delete table inet {self.table}"])

    def _run(self, commands: list[str]) -> None:
        try:
            nftables.run("\n".join(commands) + "\n")
        except OSError as error:
            hint = "install libnftables1" if error.errno == errno.ENOSYS else None
            cause = error.strerror or str(error)
            raise StepFailed(
                f"firewall table {self.table}", cause, errno=error.errno or 0, hint=hint
            ) from error
