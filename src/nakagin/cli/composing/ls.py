"""`nakagin compose ls`: the projects of an engine."""

from __future__ import annotations

from collections import Counter

from nakagin.cli.command import say
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.flags import Flag, UsageError
from nakagin.cli.listing import filters, show
from nakagin.compose import labels
from nakagin.compose.observe import Observed, observed

HEADERS = {"Name": "NAME", "Status": "STATUS", "ConfigFiles": "CONFIG FILES"}


def ls(compose: Compose) -> int:
    """List projects that have containers."""
    options = compose.options
    wanted = filters(options.many("filter"))
    if set(wanted) - {"name"}:
        raise UsageError("only the filter name=… is known")
    every = compose.client.containers.list(all=options.on("all"), filters={"label": [labels.PROJECT]})
    projects: dict[str, list[Observed]] = {}
    for each in map(observed, every):
        if not each.oneoff:
            projects.setdefault(each.labels[labels.PROJECT], []).append(each)
    names = [name for name in sorted(projects) if not wanted or any(part in name for part in wanted["name"])]
    if options.on("quiet"):
        for name in names:
            say(name)
        return 0
    rows = [_row(name, projects[name]) for name in names]
    if options.text("format") == "json":
        from nakagin.spec.document import render

        say(render(rows))
        return 0
    show(rows, options.text("format"), tuple(HEADERS), HEADERS)
    return 0


def _row(name: str, containers: list[Observed]) -> dict[str, str]:
    states = Counter(each.state for each in containers)
    files = [each.labels.get(labels.CONFIG_FILES, "") for each in containers]
    return {
        "Name": name,
        "Status": ", ".join(f"{state}({count})" for state, count in sorted(states.items())),
        "ConfigFiles": next((each for each in files if each), "N/A"),
    }


LS = Verb(
    ls,
    "[OPTIONS]",
    (
        Flag("all", "a", "bool", "Show all stopped Compose projects"),
        Flag("filter", "", "filter", "Filter output based on conditions provided"),
        Flag("format", "", "string", "Format the output. Values: [table | json]", "table"),
        Flag("quiet", "q", "bool", "Only display project names"),
    ),
    most=0,
)
