"""Making the kernel's table like its plan (`ruleset`): by difference, in one transaction.

Established connections live through every change. Other tables are never touched, nor is any chain's policy:
what another table drops stays dropped, so a published port respects the host's own firewall.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from nakagin.errors import StepFailed
from nakagin.kernel import nftables
from nakagin.network.portmaps import Published, port_elements
from nakagin.network.ruleset import BY_INTERFACE, Ruleset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nakagin.network.portmaps import Element
    from nakagin.network.ruleset import Chain

#: The rules of each chain as the kernel shows them.
Shown = dict[str, list[Any]]


# --- commands ------------------------------------------------------------------------------------------


def _listed(elements: Mapping[Element, Element]) -> str:
    return ", ".join(
        f"{' . '.join(key)} : {' . '.join(value)}" if value else " . ".join(key)
        for key, value in elements.items()
    )


def _command(verb: str, table: str, name: str, elements: Mapping[Element, Element]) -> str:
    return f"{verb} element inet {table} {name} {{ {_listed(elements)} }}"


def _declared(name: str, chain: Chain) -> str:
    return f"chain {name} {{ {f'type {chain.hook}; policy accept; ' if chain.hook else ''}}}"


def replacement(ruleset: Ruleset) -> list[str]:
    """The commands that put the table there anew, whatever was in it before."""
    table = ruleset.table
    commands = [f"add table inet {table}", f"delete table inet {table}", f"add table inet {table}"]
    empty = Ruleset(table, {}, {}, {})
    return commands + difference(empty, ruleset)


def difference(actual: Ruleset | None, planned: Ruleset) -> list[str]:
    """The commands that lead from one table to another; none where they are alike."""
    if actual is None or actual.table != planned.table or not _same_frame(actual, planned):
        return replacement(planned)
    table = f"inet {planned.table}"
    changed = {name: each for name, each in planned.chains.items() if actual.chains.get(name) != each}
    stale = [name for name in actual.chains if name not in planned.chains]
    commands = [f"add {declared.replace(' ', f' {table} ', 1)}" for name, declared in planned.sets.items()
                if name not in actual.sets]  # fmt: skip
    commands += [f"add {_declared(f'{table} {name}', each)}" for name, each in changed.items()]
    commands += [f"flush chain {table} {name}" for name in (*changed, *stale) if name in actual.chains]
    gone, new = _changes(actual, planned)
    commands += [_command("delete", planned.table, name, each) for name, each in gone.items()]
    commands += [f"add rule {table} {name} {rule}" for name, each in changed.items() for rule in each.rules]
    commands += [_command("add", planned.table, name, each) for name, each in new.items()]
    commands += [f"delete chain {table} {name}" for name in stale]
    return commands + [
        f"delete {actual.sets[name].partition(' ')[0]} {table} {name}"
        for name in actual.sets
        if name not in planned.sets
    ]


def _same_frame(actual: Ruleset, planned: Ruleset) -> bool:
    """Whether what both have was declared in the same way: that cannot be changed, only made anew."""
    return all(
        planned.sets.get(name, declared) == declared for name, declared in actual.sets.items()
    ) and all(
        planned.chains[name].hook == chain.hook if name in planned.chains else not chain.hook
        for name, chain in actual.chains.items()
    )


def _changes(
    actual: Ruleset, planned: Ruleset
) -> tuple[dict[str, dict[Element, Element]], dict[str, dict[Element, Element]]]:
    deletions, additions = {}, {}
    for name, wanted in planned.elements.items():
        there = actual.elements.get(name, {})
        gone = {key: value for key, value in there.items() if wanted.get(key) != value}
        new = {key: value for key, value in wanted.items() if there.get(key) != value}
        if gone:
            deletions[name] = gone
        if new:
            additions[name] = new
    return deletions, additions


# --- what the kernel shows -----------------------------------------------------------------------------


def _words(value: Any, *, quoted: bool = False) -> Element:
    """An element of libnftables-json(5) in our own form."""
    parts = value["concat"] if isinstance(value, dict) and "concat" in value else [value]
    return tuple(f'"{each}"' if quoted else _word(each) for each in parts)


def _word(value: Any) -> str:
    match value:
        case {"range": [first, last]}:
            return f"{first}-{last}"
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case {"jump": {"target": target}}:
            return f"jump {target}"
    return str(value)


def _elements(item: Mapping[str, Any]) -> dict[Element, Element]:
    quoted = item["name"] in BY_INTERFACE
    types = item["type"] if isinstance(item["type"], list) else [item["type"]]

    def key(value: Any) -> Element:
        words = _words(value, quoted=quoted)
        return tuple(
            _named(word) if kind == "inet_proto" else word for word, kind in zip(words, types, strict=True)
        )

    if "map" in item:  # a set has no values, and no type of them
        return {key(each): _words(value) for each, value in item.get("elem", ())}
    return {key(each): () for each in item.get("elem", ())}


def _named(protocol: str) -> str:
    """nft knows the names of protocols where it reads, and where it writes only by /etc/protocols (netbase)."""
    return {"6": "tcp", "17": "udp", "132": "sctp"}.get(protocol, protocol)


def _without_counts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: None if key == "counter" else _without_counts(one) for key, one in value.items()}
    return [_without_counts(one) for one in value] if isinstance(value, list) else value


def shown_rules(listing: dict[str, Any]) -> Shown:
    """The chains of what "list table" answers, with their rules but without what counts up."""
    found: Shown = {}
    for item in listing.get("nftables", ()):
        if "chain" in item:
            found.setdefault(item["chain"]["name"], [])
        elif "rule" in item:
            found.setdefault(item["rule"]["chain"], []).append(_without_counts(item["rule"].get("expr")))
    return found


def shown_elements(listing: dict[str, Any]) -> dict[str, dict[Element, Element]]:
    """What is in each map and set of what "list table" answers."""
    return {
        item[kind]["name"]: _elements(item[kind])
        for item in listing.get("nftables", ())
        for kind in ("map", "set")
        if kind in item
    }


def observed(listing: dict[str, Any], applied: Ruleset | None, shown: Shown) -> Ruleset | None:
    """The kernel's table as a Ruleset; None unless its chains are as they were `shown` after `applied` was.

    The kernel writes rules down in its own words, so they are compared with what it said before.
    """
    if applied is None or shown_rules(listing) != shown:
        return None
    elements = shown_elements(listing)
    if elements.keys() != applied.elements.keys():
        return None
    return applied._replace(elements=elements)


# --- the deed ------------------------------------------------------------------------------------------


class Firewall:
    """The table in the kernel. Not there until the first `apply`."""

    def __init__(self, table: str) -> None:
        self.table = table
        self._applied: Ruleset | None = None
        self._shown: Shown = {}

    def apply(self, planned: Ruleset) -> None:
        """Make the kernel's table like the plan. Raises StepFailed; the table is as before then."""
        self._make(self._applied, planned)

    def _make(self, actual: Ruleset | None, planned: Ruleset) -> bool:
        commands = difference(actual, planned)
        if commands:
            self._run(commands)
        if actual is None or actual.chains != planned.chains:
            self._shown = shown_rules(self._list())
        self._applied = planned
        return bool(commands)

    @property
    def ruleset(self) -> Ruleset | None:
        """What was applied last."""
        return self._applied

    def lead(self, before: Sequence[Published], after: Sequence[Published]) -> None:
        """Where a container's ports lead changes: those that stay are not touched.

        Costs what the change costs, however many ports are published.
        """
        assert self._applied is not None
        old, new = port_elements(before), port_elements(after)
        commands = []
        for name in {**old, **new}:
            there, wanted = old.get(name, {}), new.get(name, {})
            gone = {key: value for key, value in there.items() if wanted.get(key) != value}
            come = {key: value for key, value in wanted.items() if there.get(key) != value}
            commands += [_command("delete", self.table, name, gone)] if gone else []
            commands += [_command("add", self.table, name, come)] if come else []
            for key in gone:
                self._applied.elements[name].pop(key, None)
            self._applied.elements[name].update(come)
        if not commands:
            return
        try:
            self._run(commands)
        except StepFailed:
            # Somebody changed the table behind our back: look, and make it whole.
            self.restore(self._applied)

    def restore(self, planned: Ruleset) -> bool:
        """The same, but look at the kernel first instead of trusting what was done; True if it differed."""
        try:
            actual = observed(self._list(), self._applied, self._shown)
        except OSError:
            actual = None  # no such table
        return self._make(actual, planned)

    def _list(self) -> dict[str, Any]:
        return nftables.run(f"list table inet {self.table}")

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
