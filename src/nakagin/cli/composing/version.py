"""`nakagin compose version`."""

from __future__ import annotations

from nakagin.cli.command import say
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.flags import Flag
from nakagin.compose.labels import FOLLOWED


def version(compose: Compose) -> int:
    """The release of Docker Compose that this one follows."""
    if compose.options.text("format") == "json":
        say(f'{{"version":"v{FOLLOWED}"}}')
    elif compose.options.on("short"):
        say(FOLLOWED)
    else:
        say(f"Docker Compose version v{FOLLOWED} (Nakagin's own)")
    return 0


VERSION = Verb(
    version,
    "[OPTIONS]",
    (
        Flag("format", "f", "string", "Format the output. Values: [pretty | json]"),
        Flag("short", "", "bool", "Shows only Compose's version number"),
    ),
    most=0,
)
