"""`nakagin compose ps`."""

from __future__ import annotations

import time

from nakagin.cli.command import say
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.flags import Flag, UsageError
from nakagin.cli.listing import ellipsis, show, timestamp
from nakagin.cli.quantities import human_duration
from nakagin.cli.verbs.ps import ports
from nakagin.compose import labels
from nakagin.compose.observe import Observed, observed
from nakagin.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STATES = ("paused", "restarting", "removing", "running", "dead", "created", "exited")
HEADERS = {
    "ID": "CONTAINER ID", "Name": "NAME", "Image": "IMAGE", "Command": "COMMAND", "Service": "SERVICE",
    "CreatedAt": "CREATED", "RunningFor": "CREATED", "Status": "STATUS", "Ports": "PORTS", "State": "STATE",
    "Project": "PROJECT", "Health": "HEALTH", "ExitCode": "EXIT CODE", "Labels": "LABELS", "Names": "NAMES",
    "Size": "SIZE", "Mounts": "MOUNTS", "Networks": "NETWORKS", "LocalVolumes": "LOCAL VOLUMES",
}  # fmt: skip


def ps(compose: Compose) -> int:
    """List the project's containers."""
    options = compose.options
    states = [*options.many("status")]
    for each in options.many("filter"):
        key, _, value = each.partition("=")
        if key != "status":
            raise UsageError(f"unknown filter {key}")
        states.append(value)
    for state in states:
        if state not in _STATES:
            raise UsageError(f'unknown status "{state}": write one of {", ".join(_STATES)}')
    # Who names no service asks for all there is of the project: the files say nothing about that.
    whole = not compose.arguments and options.on("orphans")
    name, project = (compose.name(), None) if whole else compose.named()
    services = [*project.services, *project.disabled] if project else []
    for each in compose.arguments:
        if project and each not in services:
            raise NotFound(f"no such service: {each}")
    found = [
        observed(each)
        for each in compose.client.containers.list(
            all=options.on("all") or bool(states), filters={"label": [f"{labels.PROJECT}={name}"]}
        )
    ]
    shown = [
        each
        for each in found
        if (not compose.arguments or each.service in compose.arguments)
        and (not states or each.state in states)
        and (options.on("all") or not each.oneoff or each.is_running)
        and (options.on("orphans") or not services or each.service in services)
    ]
    shown.sort(key=lambda each: each.name)
    if options.on("quiet"):
        for container in shown:
            say(container.id)
    elif options.on("services"):
        for service in sorted({each.service for each in shown}):
            say(service)
    else:
        columns = ("Name", "Image", "Command", "Service", "RunningFor", "Status", "Ports")
        show([_row(each, options.on("no-trunc")) for each in shown], options.text("format"), columns, HEADERS)
    return 0


def _row(container: Observed, whole: bool) -> dict[str, Any]:
    summary = container.summary
    command = str(summary.get("Command", ""))
    status = str(summary.get("Status", ""))
    health = next((word for word in ("unhealthy", "healthy", "starting") if word in status), "")
    return {
        "ID": container.id if whole else container.id[:12],
        "Name": container.name,
        "Names": container.name,
        "Image": str(summary.get("Image", "")),
        "Command": f'"{command if whole else ellipsis(command, 20)}"',
        "Service": container.service,
        "Project": container.labels.get(labels.PROJECT, ""),
        "RunningFor": f"{human_duration(time.time() - int(summary.get('Created', 0)))} ago",
        "CreatedAt": timestamp(int(summary.get("Created", 0))),
        "Status": status,
        "State": container.state,
        "Health": health,
        "ExitCode": _exit_code(status),
        "Ports": ports(summary.get("Ports") or []),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(container.labels.items())),
        "Networks": ",".join(container.networks),
        "Mounts": ",".join(
            str(each.get("Name") or each.get("Source")) for each in summary.get("Mounts") or []
        ),
        "LocalVolumes": str(len(container.volumes)),
        "Size": "0B",
        "Publishers": summary.get("Ports") or [],
    }


def _exit_code(status: str) -> int:
    inside = status.partition("(")[2].partition(")")[0]
    return int(inside) if status.startswith("Exited") and inside.isdecimal() else 0


PS = Verb(
    ps,
    "[OPTIONS] [SERVICE...]",
    (
        Flag("all", "a", "bool", "Show all stopped containers (including those created by the run command)"),
        Flag("filter", "", "list", "Filter services by a property (supported filters: status)"),
        Flag(
            "format",
            "",
            "string",
            "Format output: 'table', 'table TEMPLATE', 'json' or a Go template",
            "table",
        ),
        Flag("no-trunc", "", "bool", "Don't truncate output"),
        Flag("orphans", "", "bool", "Include orphaned services (not declared by project)", True),
        Flag("quiet", "q", "bool", "Only display IDs"),
        Flag("services", "", "bool", "Display services"),
        Flag("status", "", "list", "Filter services by status"),
    ),
)
