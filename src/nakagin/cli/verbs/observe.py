"""`nakagin top` and `nakagin port`."""

from __future__ import annotations

import sys

from nakagin.cli.command import PROGRAM, Call, Command, complain, say
from nakagin.cli.flags import Flag, UsageError
from nakagin.cli.listing import columns
from nakagin.cli.request.ports import port_key
from nakagin.errors import Invalid, NotFound


def top(call: Call) -> int:
    """The processes of a container, as ps with the given options shows them."""
    container, *arguments = call.arguments
    listing = call.client.containers.refer(container).top(" ".join(arguments) or None)
    rows = [listing.get("Titles") or [], *(listing.get("Processes") or [])]
    sys.stdout.write(columns(rows, minimum=20))
    return 0


def port(call: Call) -> int:
    """Where a container's ports are published."""
    if call.options.on("exposure"):
        return _exposure(call, call.arguments[0] if call.arguments else "")
    if not call.arguments:
        raise UsageError(f"{PROGRAM}: '{PROGRAM} port' requires at least 1 and at most 2 arguments")
    name = call.arguments[0]
    published = call.client.containers.get(name).ports
    if len(call.arguments) == 1:
        for inner in sorted(published, key=port_key):
            for each in published[inner]:
                say(f"{inner} -> {_address(each)}")
        return 0
    wanted = call.arguments[1]
    number, slash, protocol = wanted.partition("/")
    if not number.isdigit() or not 0 < int(number) < 65536:
        raise Invalid(f"invalid port ({number}): invalid syntax")
    found = published.get(f"{number}/{protocol if slash else 'tcp'}")
    if not found:
        raise NotFound(f"Error: No public port '{wanted}' published for {name}")
    for each in found:
        say(_address(each))
    return 0


def _exposure(call: Call, name: str) -> int:
    """From where each port is reached, and what other firewall tables say to it; of all containers without a name."""
    head = ("PORT", "PUBLISHED AT", "REACHED FROM", "FIREWALL", "CLIENT ADDRESS")
    if name:
        rows, notes = _reach(call, name)
        sys.stdout.write(columns([head, *rows]))
    else:
        listed, notes = [], []
        for each in call.client.containers.list():
            called = min((name.lstrip("/") for name in each["Names"]), key=lambda name: name.count("/"))
            rows, more = _reach(call, called)
            listed += [(called, *row) for row in rows]
            notes += more
        sys.stdout.write(columns([("CONTAINER", *head), *listed]))
    for note in dict.fromkeys(notes):
        complain(f"WARNING: {note}")
    return 0


def _reach(call: Call, name: str) -> tuple[list[tuple[str, ...]], list[str]]:
    """A row for each port of a container, and what to warn of."""
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    for each in call.client.containers.refer(name).exposure():
        firewall = [f"{_VERDICTS[one['verdict']]} {one['chain']}" for one in each["Firewall"]]
        kept = "kept" if each["ClientAddressKept"] else "the host's"
        if each["ProxyProtocol"]:
            kept = "told by PROXY protocol"
        rows.append(
            (each["Port"], _address(each), each["Reach"], ", ".join(firewall) or "lets it pass", kept)
        )
        notes += [
            f"{_address(each)}: {one['chain']} would drop it, but sees no forwarded packets: "
            "forbid it in a chain at the forward hook, or publish on 127.0.0.1"
            for one in each["Unseen"]
        ]
    return rows, notes


_VERDICTS = {"drop": "dropped by", "perhaps": "perhaps dropped by"}


def _address(binding: dict[str, str]) -> str:
    host = binding.get("HostIp", "")
    return f"[{host}]:{binding['HostPort']}" if ":" in host else f"{host}:{binding['HostPort']}"


TOP = Command(top, "CONTAINER [ps OPTIONS]", least=1, most=None, interspersed=False)
PORT = Command(
    port, "[OPTIONS] CONTAINER [PRIVATE_PORT[/PROTO]]",
    (Flag("exposure", "", "bool", "From where each port (of all, without CONTAINER) is reached, by which firewall"),),
    most=2,
)  # fmt: skip
