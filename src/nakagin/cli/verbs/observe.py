"""`nakagin top` and `nakagin port`."""

from __future__ import annotations

import sys

from nakagin.cli.command import Call, Command, say
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
        raise Invalid(f"invalid port '{number}'")
    found = published.get(f"{number}/{protocol if slash else 'tcp'}")
    if not found:
        raise NotFound(f"Error: No public port '{wanted}' published for {name}")
    for each in found:
        say(_address(each))
    return 0


def _address(binding: dict[str, str]) -> str:
    host = binding.get("HostIp", "")
    return f"[{host}]:{binding['HostPort']}" if ":" in host else f"{host}:{binding['HostPort']}"


TOP = Command(top, "CONTAINER [ps OPTIONS]", least=1, most=None, interspersed=False)
PORT = Command(port, "CONTAINER [PRIVATE_PORT[/PROTO]]", least=1, most=2)
