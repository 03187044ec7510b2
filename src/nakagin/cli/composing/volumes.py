"""`nakagin compose volumes`: the volumes of a project, or those that some of its services use."""

from __future__ import annotations

from nakagin.cli.command import say
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.composing.service import containers
from nakagin.cli.flags import Flag
from nakagin.cli.listing import show
from nakagin.cli.verbs.volumes import HEADERS, row
from nakagin.compose import labels


def volumes(compose: Compose) -> int:
    """List them."""
    options = compose.options
    name, found = containers(compose, compose.arguments, all=True)
    used = {volume for each in found for volume in each.volumes.values()}
    rows = [
        row(each)
        for each in compose.client.volumes.list({"label": [f"{labels.PROJECT}={name}"]})
        if not compose.arguments or each["Name"] in used
    ]
    rows.sort(key=lambda each: str(each["Name"]))
    if options.on("quiet"):
        for each in rows:
            say(str(each["Name"]))
        return 0
    show(rows, options.text("format"), ("Driver", "Name"), HEADERS)
    return 0


VOLUMES = Verb(
    volumes,
    "[OPTIONS] [SERVICE...]",
    (
        Flag(
            "format",
            "",
            "string",
            "Format output: 'table', 'table TEMPLATE', 'json' or a Go template",
            "table",
        ),
        Flag("quiet", "q", "bool", "Only display volume names"),
    ),
)
