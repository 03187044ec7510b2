"""`nakagin ps` (container ls)."""

from __future__ import annotations

import time

from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag
from nakagin.cli.listing import ellipsis, filters, short_id, show, timestamp
from nakagin.cli.quantities import human_duration, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from nakagin.cli.templates.values import Nil, Worded

    Document = dict[str, Any]

FLAGS = (
    Flag("all", "a", "bool", "Show all containers (default shows just running)"),
    Flag("filter", "f", "filter", "Filter output based on conditions provided"),
    Flag("format", "", "string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
    Flag("last", "n", "int", "Show n last created containers (includes all states)", -1),
    Flag("latest", "l", "bool", "Show the latest created container (includes all states)"),
    Flag("no-trunc", "", "bool", "Don't truncate output"),
    Flag("quiet", "q", "bool", "Only display container IDs"),
    Flag("size", "s", "bool", "Display total file sizes"),
)
COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
HEADERS = {
    "ID": "CONTAINER ID",
    "Names": "NAMES",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Ports": "PORTS",
    "State": "STATE",
    "Status": "STATUS",
    "Size": "SIZE",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
    "Platform": "PLATFORM",
}


def ps(call: Call) -> int:
    """List containers."""
    options = call.options
    last = 1 if options.on("latest") else options.number("last")
    template = "" if options.on("quiet") else options.text("format")
    wants_size = options.on("size") or ".Size" in template or "{{json .}}" in template
    found = call.client.containers.list(
        all=options.on("all") or last > 0,
        limit=last if last > 0 else None,
        size=wants_size,
        filters=filters(options.many("filter")),
    )
    whole = options.on("no-trunc")
    if options.on("quiet"):
        for each in found:
            say(each["Id"] if whole else short_id(each["Id"]))
        return 0
    now = time.time()
    rows = [row(each, whole=whole, now=now) for each in found]
    if template not in ("", "table"):
        for each, shown in zip(found, rows, strict=True):
            shown["Platform"] = _platform(each)
    show(rows, template, (*COLUMNS, "Size") if wants_size else COLUMNS, HEADERS)
    return 0


def row(summary: Document, *, whole: bool, now: float) -> Document:
    """A container's fields as --format knows them."""
    labels: dict[str, str] = summary.get("Labels") or {}
    mounts = [mount.get("Name") or mount.get("Source") or "" for mount in summary.get("Mounts") or []]
    networks = (summary.get("NetworkSettings") or {}).get("Networks") or {}
    command = summary.get("Command") or ""
    return {
        "ID": summary["Id"] if whole else short_id(summary["Id"]),
        "Names": _names(summary.get("Names") or [], whole=whole),
        "Image": _image(summary, whole=whole),
        "Command": quoted(command if whole else ellipsis(command, 20)),
        "CreatedAt": timestamp(summary.get("Created", 0)),
        "RunningFor": f"{human_duration(now - summary.get('Created', 0))} ago",
        "Ports": ports(summary.get("Ports") or []),
        "State": summary.get("State", ""),
        "Status": summary.get("Status", ""),
        "Size": _size(summary),
        "Labels": ",".join(f"{key}={labels[key]}" for key in sorted(labels)),
        "Mounts": ",".join(mounts if whole else [ellipsis(name, 15) for name in mounts]),
        "LocalVolumes": str(sum(mount.get("Driver") == "local" for mount in summary.get("Mounts") or [])),
        "Networks": ",".join(sorted(networks)),
        "Label": _label(labels),
    }


def _label(labels: dict[str, str]) -> Callable[[str], str]:
    return lambda name: labels.get(name, "")


def quoted(text: str) -> str:
    """Go's strconv.Quote for what stands in commands."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(c) or (c if c.isprintable() else f"\\x{ord(c):02x}") for c in text) + '"'


def _names(names: list[str], *, whole: bool) -> str:
    """Without leading slashes; names given by links (/a/b) only in full."""
    stripped = [name.removeprefix("/") for name in names]
    return ",".join(stripped if whole else [name for name in stripped if "/" not in name] or stripped)


def _image(summary: Document, *, whole: bool) -> str:
    image = str(summary.get("Image") or "<no image>")
    if whole:
        return image
    identity = short_id(str(summary.get("ImageID", "")))
    if identity and identity == short_id(image):
        return identity
    name, at, _ = image.partition("@")
    return name if at and not image.startswith("sha256:") else image


def _size(summary: Document) -> str:
    size = human_size(summary.get("SizeRw") or 0)
    total = summary.get("SizeRootFs") or 0
    return f"{size} (virtual {human_size(total)})" if total else size


def _platform(summary: Document) -> Worded | Nil:
    from nakagin.cli.templates.values import NIL, Worded

    platform = (summary.get("ImageManifestDescriptor") or {}).get("platform")
    if not platform:
        return NIL
    words = (platform.get("os"), platform.get("architecture"), platform.get("variant"))
    return Worded("/".join(word for word in words if word), platform)


def ports(published: list[Document]) -> str:
    """ "0.0.0.0:8080->80/tcp, 443/tcp": runs of equal ports inside and outside are joined as docker does."""
    groups: dict[tuple[str, str], tuple[int, int]] = {}
    runs: list[str] = []
    mapped: list[str] = []
    for port in sorted(published, key=_port_order):
        inner, outer, kind = port["PrivatePort"], port.get("PublicPort", 0), port.get("Type", "tcp")
        address = port.get("IP", "")
        if address and outer != inner:
            mapped.append(f"{_joined(address, outer)}->{inner}/{kind}")
            continue
        first, last = groups.get((address, kind), (0, -2))
        if inner == last + 1:
            groups[address, kind] = (first, inner)
            continue
        if last >= 0:
            runs.append(_run(address, kind, first, last))
        groups[address, kind] = (inner, inner)
    runs += [_run(address, kind, *span) for (address, kind), span in groups.items()]
    return ", ".join(runs + mapped)


def _port_order(port: Document) -> tuple[int, str, int, str]:
    return port["PrivatePort"], port.get("IP", ""), port.get("PublicPort", 0), port.get("Type", "")


def _run(address: str, kind: str, first: int, last: int) -> str:
    span = str(first) if first == last else f"{first}-{last}"
    return f"{_joined(address, span)}->{span}/{kind}" if address else f"{span}/{kind}"


def _joined(address: str, port: int | str) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


PS = Command(ps, "[OPTIONS]", FLAGS)
