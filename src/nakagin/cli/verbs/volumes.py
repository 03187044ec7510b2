"""`nakagin volume …`: what Docker has, and rename, clone, snapshot, export, import, diff."""

from __future__ import annotations

import sys

from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag
from nakagin.cli.listing import filters, show
from nakagin.cli.output_file import write_stream
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
    size = options.text("size")
    made = call.client.volumes.create(
        name or next(iter(call.arguments), ""),
        driver=options.text("driver"),
        options=mapping(options.many("opt")) | ({"size": size} if size else {}),
        labels=mapping(options.many("label")),
    )
    say(made["Name"])
    return 0


def ls(call: Call) -> int:
    """List volumes."""
    options = call.options
    found = call.client.volumes.list(filters(options.many("filter")))
    if options.on("cluster"):
        found = [each for each in found if each.get("ClusterVolume")]
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


def rename(call: Call) -> int:
    """Give a volume another name."""
    call.client.volumes.rename(*call.arguments)
    return 0


def clone(call: Call) -> int:
    """Copy a volume into a new one and print its name."""
    say(call.client.volumes.clone(*call.arguments)["Name"])
    return 0


def snapshot(call: Call) -> int:
    """Keep a volume's present content in a new volume and print its name."""
    say(call.client.volumes.snapshot(*call.arguments)["Name"])
    return 0


def export(call: Call) -> int:
    """The content as a tar archive."""
    write_stream(call.client.volumes.export(call.arguments[0]), call.options.text("output"))
    return 0


def import_(call: Call) -> int:
    """Unpack a tar archive into a volume and print its name."""
    volume, source = (*call.arguments, "-")[:2]
    if source == "-":
        made = call.client.volumes.import_(volume, sys.stdin.buffer)
    else:
        try:
            file = open(source, "rb")  # noqa: SIM115  closed below
        except OSError as error:
            raise Invalid(f"open {source}: {error.strerror}") from None
        with file:
            made = call.client.volumes.import_(volume, file)
    say(made["Name"])
    return 0


def diff(call: Call) -> int:
    """What differs in a volume from another: C(hanged), A(dded), D(eleted)."""
    volume, other = call.arguments
    for change in call.client.volumes.changes(volume, other):
        say(f"{'CAD'[change['Kind']]} {change['Path']}")
    return 0


RENAME = Command(rename, "VOLUME NEW_NAME", least=2, most=2)
CLONE = Command(clone, "VOLUME NEW_VOLUME", least=2, most=2)
SNAPSHOT = Command(snapshot, "VOLUME [NEW_VOLUME]", least=1, most=2)
EXPORT = Command(
    export,
    "[OPTIONS] VOLUME",
    (Flag("output", "o", "string", "Write to a file, instead of STDOUT"),),
    least=1,
    most=1,
)
IMPORT = Command(import_, "VOLUME [FILE|-]", least=1, most=2)
DIFF = Command(diff, "VOLUME OTHER_VOLUME", least=2, most=2)
CREATE = Command(
    create,
    "[OPTIONS] [VOLUME]",
    (
        Flag("driver", "d", "string", "Specify volume driver name", "local"),
        Flag("label", "", "list", "Set metadata for a volume"),
        Flag("name", "", "string", "Specify volume name", hidden=True),
        Flag("opt", "o", "map", "Set driver specific options"),
        Flag("size", "", "string", "How large the volume may become, as in 10G"),
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
