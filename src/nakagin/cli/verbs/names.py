"""`nakagin network names`: what the name server of the engine has answered."""

from __future__ import annotations

import json
import sys

from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag
from nakagin.cli.listing import columns

_FIGURES = ("Questions", "Local", "Forwarded", "Failed", "Refused", "Malformed")


def names(call: Call) -> int:
    """Counters by container, then the servers that were asked."""
    shown = call.client.networks.names(next(iter(call.arguments), ""))
    if call.options.text("format") == "json":
        say(json.dumps(shown))
        return 0
    rows = [("CONTAINER", *(each.upper() for each in _FIGURES), "LAST ERROR")]
    rows += [
        (each["Name"], *(str(each[key]) for key in _FIGURES), each["LastError"])
        for each in sorted(shown["Containers"].values(), key=lambda one: one["Name"])
    ]
    sys.stdout.write(columns(rows))
    if shown["Servers"]:
        servers: list[tuple[str, ...]] = [
            ("SERVER", "ASKED", "ANSWERED", "WON", "MILLISECONDS", "LAST ERROR")
        ]
        keys = ("Address", "Asked", "Answered", "Won", "Milliseconds", "LastError")
        servers += [tuple(str(each[key]) for key in keys) for each in shown["Servers"]]
        sys.stdout.write("\n" + columns(servers))
    return 0


NAMES = Command(
    names, "[OPTIONS] [NETWORK]", (Flag("format", "", "string", "Format output as 'json'"),), least=0, most=1
)
