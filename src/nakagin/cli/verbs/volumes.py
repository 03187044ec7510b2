"""`nakagin volume create|ls|rm`."""

from __future__ import annotations

from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag
from nakagin.cli.listing import filters, show
from nakagin.cli.request.environment import mapping
from nakagin.errors import Invalid, NotFound, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

_CLUSTER = (
    Flag("availability", "", "string", "Cluster volume availability", "active", hidden=True),
    Flag("group", "", "string", "Cluster volume group", hidden=True),
    Flag("limit-bytes", "", "bytes", "Minimum size of the cluster volume in bytes", hidden=True),
    Flag("required-bytes", "", "bytes", "Maximum size of the cluster volume in bytes", hidden=True),
    Flag("scope", "", "string", "Cluster volume access scope", "single", hidden=True),
    Flag("secret", "", "map", "Cluster volume secrets", hidden=True),
    Flag("sharing", "", "string", "Cluster volume access sharing", "none", hidden=True),
    Flag(
        "topology-preferred",
        "",
        "list",
        "Topology that the cluster volume would be preferred in",
        hidden=True,
    ),
    Flag(
        "topology-required",
        "",
        "list",
        "Topology that the cluster volume must be accessible from",
        hidden=True,
    ),
    Flag("type", "", "string", "Cluster volume access type", "block", hidden=True),
)
HEADERS = {
    "Driver": "DRIVER",
    "Name": "VOLUME NAME",
    "Scope": "SCOPE",
    "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Size": "SIZE",
    "Availability": "AVAILABILITY",
    "Group": "GROUP",
    "Status": "STATUS",
}


def create(call: Call) -> int:
    """Create a volume and print its name."""
    options = call.options
    name = options.text("name")
    if call.arguments and name:
        raise Invalid(
            "conflicting options: cannot specify a volume-name through both --name and as a positional arg"
        )
    if any(options.given(flag.name) for flag in _CLUSTER):
        raise Unsupported("cluster volumes need a swarm, which this engine is not part of")
    made = call.client.volumes.create(
        name or next(iter(call.arguments), ""),
        driver=options.text("driver"),
        options=mapping(options.many("opt")),
        labels=mapping(options.many("label")),
    )
    say(made["Name"])
    return 0


def ls(call: Call) -> int:
    """List volumes."""
    options = call.options
    if options.on("cluster"):
        raise Unsupported("cluster volumes need a swarm, which this engine is not part of")
    found = call.client.volumes.list(filters(options.many("filter")))
    rows = sorted((row(each) for each in found), key=lambda each: str(each["Name"]))
    if options.on("quiet") and not options.text("format"):
        for each in rows:
            say(each["Name"])
        return 0
    show(rows, options.text("format"), ("Driver", "Name"), HEADERS)
    return 0


def row(volume: Document) -> Document:
    """A volume's fields as --format knows them."""
    labels = volume.get("Labels") or {}
    return {
        "Name": volume["Name"],
        "Driver": volume.get("Driver", ""),
        "Scope": volume.get("Scope", ""),
        "Mountpoint": volume.get("Mountpoint", ""),
        "Labels": ",".join(f"{key}={labels[key]}" for key in sorted(labels)),
        "Links": "N/A",
        "Size": "N/A",
        "Availability": "N/A",
        "Group": "N/A",
        "Status": "N/A",
        "Label": lambda name: labels.get(name, ""),
    }


def rm(call: Call) -> int:
    """Remove volumes with their data."""

    def remove(name: str) -> None:
        try:
            call.client.volumes.remove(name, force=call.options.on("force"))
        except NotFound:
            if not call.options.on("force"):
                raise

    return call.each(remove)


CREATE = Command(
    create,
    "[OPTIONS] [VOLUME]",
    (
        Flag("driver", "d", "string", "Specify volume driver name", "local"),
        Flag("label", "", "list", "Set metadata for a volume"),
        Flag("name", "", "string", "Specify volume name", hidden=True),
        Flag("opt", "o", "map", "Set driver specific options"),
        *_CLUSTER,
    ),
    most=1,
)
LS = Command(
    ls,
    "[OPTIONS]",
    (
        Flag("cluster", "", "bool", "Display only cluster volumes", hidden=True),
        Flag("filter", "f", "filter", 'Provide filter values (e.g. "dangling=true")'),
        Flag("format", "", "string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("quiet", "q", "bool", "Only display volume names"),
    ),
)
RM = Command(
    rm,
    "[OPTIONS] VOLUME [VOLUME...]",
    (Flag("force", "f", "bool", "Force the removal of one or more volumes"),),
    least=1,
    most=None,
)
