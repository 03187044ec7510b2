"""Networks whose containers may reach only what is named: addresses, subnets, and names as DNS answers them.

    -o nakagin.egress=none
    -o nakagin.egress=allow=10.1.0.0/16,192.0.2.7:443,[2001:db8::1]:443,api.example.org:443,*.example.net

A name opens nothing by itself: the addresses that our own DNS gives a container for it do, for as long as the
answer says (and a while longer). They are recorded: a container knows them still when the next engine starts.
No other name is looked up outside, so DNS is no way out either.
"""

from __future__ import annotations

import ipaddress
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.errors import Invalid
from nakagin.network.ruleset import Allowed
from nakagin.storage.boot import boot_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nakagin.network.model import Network
    from nakagin.network.portmaps import Element
    from nakagin.network.register import RecordStore

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# Clients keep an answer somewhat longer than it says: until the connection is tried, and in their own caches.
GRACE = 120.0
_EVERY_PORT = 0
_RECORD = "egress"
# Where a record would let go of an address so many seconds too early, it is written anew.
_LEEWAY = GRACE / 2


class Rule(NamedTuple):
    """One permitted destination: a subnet, or a name ("*.x" for all below x); port 0 means every one."""

    subnet: IPNetwork | None
    name: str
    port: int


def parse(entry: str) -> Rule:
    """ "host", "host:port", "CIDR", "address:port", "[IPv6]:port". Raises Invalid."""
    host, port = entry, _EVERY_PORT
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        port = _port(entry, rest.removeprefix(":")) if rest else _EVERY_PORT
    elif entry.count(":") == 1:
        host, _, text = entry.partition(":")
        port = _port(entry, text)
    try:
        return Rule(ipaddress.ip_network(host, strict=False), "", port)
    except ValueError:
        pass
    name = host.rstrip(".").lower()
    labels = name.removeprefix("*.").split(".")
    if not name or not all(each and each.replace("-", "").replace("_", "").isalnum() for each in labels):
        raise Invalid(f'invalid egress destination "{entry}"', hint="HOST[:PORT], CIDR[:PORT] or [IPv6]:PORT")
    return Rule(None, name, port)


def _port(entry: str, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise Invalid(f'invalid port in the egress destination "{entry}"')
    return int(text)


def covers(rule: Rule, name: str) -> bool:
    """Whether a rule is for this name."""
    wanted = name.rstrip(".").lower()
    if rule.name.startswith("*."):
        return wanted.endswith(rule.name[1:])
    return bool(rule.name) and wanted == rule.name


class Learned(msgspec.Struct, frozen=True):
    """What DNS had opened for a network, as it is recorded: (address, port, until), the clock being this boot's."""

    boot: str
    opened: tuple[tuple[str, int, float], ...]


def since_boot() -> float:
    """Seconds that no change of the wall clock touches; the same for the next engine."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Egress:
    """What the networks with limited egress may reach now."""

    def __init__(self, records: RecordStore, clock: Callable[[], float] = since_boot) -> None:
        self._records = records
        self._clock = clock
        self._boot = boot_id()
        self._rules: dict[str, tuple[Rule, ...]] = {}
        self._learned: dict[str, dict[tuple[str, int], float]] = {}  # network -> (address, port) -> until
        self._recorded: dict[str, dict[tuple[str, int], float]] = {}  # the same, as it was last written

    def load(self) -> None:
        """Take up what an earlier engine had learned."""
        for key, data in list(self._records.all(_RECORD)):
            found = msgspec.json.decode(data, type=Learned)
            if found.boot == self._boot:
                self._learned[key] = {(address, port): until for address, port, until in found.opened}
                self._recorded[key] = dict(self._learned[key])
            else:
                self._records.delete(_RECORD, key)

    def add(self, network: Network) -> None:
        """Take in a network (nothing happens for one that is not limited). Raises Invalid."""
        if network.egress is not None:
            self._rules[network.id] = tuple(parse(each) for each in network.egress)

    def drop(self, network_id: str) -> None:
        """Forget a network."""
        self._rules.pop(network_id, None)
        self._learned.pop(network_id, None)
        if self._recorded.pop(network_id, None) is not None:
            self._records.delete(_RECORD, network_id)

    def may_resolve(self, network_ids: Iterable[str], name: str) -> bool:
        """Whether a container on these networks may have a name looked up outside."""
        limited = [self._rules[each] for each in network_ids if each in self._rules]
        return not limited or any(covers(rule, name) for rules in limited for rule in rules)

    def learn(self, network_ids: Iterable[str], name: str, answers: Iterable[tuple[str, float]]) -> bool:
        """DNS says that a name has these (address, seconds); whether that opens anything new."""
        news = False
        now = self._clock()
        pairs = list(answers)
        for key in network_ids:
            for rule in self._rules.get(key, ()):
                if not covers(rule, name):
                    continue
                known = self._learned.setdefault(key, {})
                for address, seconds in pairs:
                    news = news or (address, rule.port) not in known
                    known[address, rule.port] = max(known.get((address, rule.port), 0), now + seconds + GRACE)
            self._record(key)
        return news

    def _record(self, key: str) -> None:
        known, written = self._learned.get(key, {}), self._recorded.get(key, {})
        if known.keys() == written.keys() and all(
            until - written[each] < _LEEWAY for each, until in known.items()
        ):
            return
        self._recorded[key] = dict(known)
        opened = tuple((address, port, until) for (address, port), until in known.items())
        self._records.put(_RECORD, key, msgspec.json.encode(Learned(self._boot, opened)))

    def expire(self) -> bool:
        """Forget answers that are too old; whether there were any."""
        now, gone = self._clock(), False
        for key, known in self._learned.items():
            for each in [each for each, until in known.items() if until < now]:
                del known[each]
                gone = True
            self._record(key)
        return gone

    def allowed(self) -> dict[str, Allowed]:
        """For each network the destinations, as elements of the firewall's sets."""
        return {key: self._allowed(key, rules) for key, rules in self._rules.items()}

    def _allowed(self, key: str, rules: Sequence[Rule]) -> Allowed:
        wanted = [(rule.subnet, rule.port) for rule in rules if rule.subnet is not None]
        wanted += [(ipaddress.ip_network(address), port) for address, port in self._learned.get(key, {})]
        by_port: dict[int, list[IPNetwork]] = {}
        for subnet, port in wanted:
            by_port.setdefault(port, []).append(subnet)
        # A set of intervals takes none that overlap.
        every_port = by_port.pop(_EVERY_PORT, [])
        whole = {each for version in (4, 6) for each in _collapsed(every_port, version)}
        found: dict[str, set[Element]] = {"hosts4": set(), "hosts6": set(), "ports4": set(), "ports6": set()}
        for each in whole:
            found[f"hosts{each.version}"].add((_text(each),))
        for port, subnets in by_port.items():
            for version in (4, 6):
                for each in _collapsed(subnets, version):
                    for protocol in ("tcp", "udp"):
                        found[f"ports{version}"].add((_text(each), protocol, str(port)))
        return Allowed(**{name: frozenset(members) for name, members in found.items()})


def _collapsed(subnets: Iterable[IPNetwork], version: int) -> list[IPNetwork]:
    mine = [each for each in subnets if each.version == version]
    return list(ipaddress.collapse_addresses(mine))  # type: ignore[type-var]  # one family


def _text(subnet: IPNetwork) -> str:
    """As nft writes it."""
    return str(subnet.network_address) if subnet.prefixlen == subnet.max_prefixlen else str(subnet)
