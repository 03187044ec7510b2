"""`nakagin system df`."""

from __future__ import annotations

import sys
import time

from nakagin.cli.command import Call, Command
from nakagin.cli.flags import Flag
from nakagin.cli.listing import columns, show
from nakagin.cli.quantities import human_duration, human_size
from nakagin.cli.verbs import images, ps
from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}


def df(call: Call) -> int:
    """Show the space that images, containers and volumes use."""
    template = call.options.text("format")
    if call.options.on("verbose"):
        if template:
            raise Invalid("the verbose and the format options conflict")
        sys.stdout.write(verbose(call.client.disk_usage()))
        return 0
    show(rows(call.client.disk_usage()), template, tuple(HEADERS), HEADERS)
    return 0


def rows(usage: Document) -> list[Document]:
    """One row for each kind of thing."""
    stored, containers = usage.get("Images") or [], usage.get("Containers") or []
    volumes, cache = usage.get("Volumes") or [], usage.get("BuildCache") or []
    used = sum(
        (each.get("Size") or 0) - max(each.get("SharedSize") or 0, 0)
        for each in stored
        if (each.get("Containers") or 0) > 0
    )
    layers = usage.get("LayersSize") or 0
    busy = [each for each in containers if _is_busy(each)]
    held = [each for each in volumes if _volume(each)[1] > 0]
    return [
        _row(
            "Images", len(stored), sum((e.get("Containers") or 0) > 0 for e in stored), layers, layers - used
        ),
        _row("Containers", len(containers), len(busy), _sizes(containers), _sizes(containers) - _sizes(busy)),
        _row("Local Volumes", len(volumes), len(held), _space(volumes), _space(volumes) - _space(held)),
        _row(
            "Build Cache",
            len(cache),
            sum(bool(each.get("InUse")) for each in cache),
            sum(each.get("Size") or 0 for each in cache if not each.get("Shared")),
            sum(each.get("Size") or 0 for each in cache if not each.get("InUse") and not each.get("Shared")),
        ),
    ]


def _row(kind: str, total: int, active: int, size: int, reclaimable: int) -> Document:
    share = f" ({reclaimable * 100 // size}%)" if size > 0 and kind != "Build Cache" else ""
    return {
        "Type": kind,
        "TotalCount": str(total),
        "Active": str(active),
        "Size": human_size(size, 4),
        "Reclaimable": human_size(max(reclaimable, 0), 4) + share,
    }


def _is_busy(container: Document) -> bool:
    return container.get("State") in ("running", "paused", "restarting")


def _sizes(containers: list[Document]) -> int:
    return sum(each.get("SizeRw") or 0 for each in containers)


def _volume(volume: Document) -> tuple[int, int]:
    """(bytes, containers) of a volume; unknown is 0."""
    usage = volume.get("UsageData") or {}
    return max(usage.get("Size") or 0, 0), max(usage.get("RefCount") or 0, 0)


def _space(volumes: list[Document]) -> int:
    return sum(_volume(each)[0] for each in volumes)


def verbose(usage: Document) -> str:
    """Every image, container and volume with its space."""
    parts = [
        "Images space usage:\n\n",
        columns([_IMAGE_HEAD, *map(_image_line, usage.get("Images") or [])]),
        "\nContainers space usage:\n\n",
        columns([_CONTAINER_HEAD, *map(_container_line, usage.get("Containers") or [])]),
        "\nLocal Volumes space usage:\n\n",
        columns([("VOLUME NAME", "LINKS", "SIZE"), *map(_volume_line, usage.get("Volumes") or [])]),
        f"\nBuild cache usage: {rows(usage)[-1]['Size']}\n\n",
        columns([_CACHE_HEAD, *map(_cache_line, sorted(usage.get("BuildCache") or [], key=_last_use))]),
    ]
    return "".join(parts)


_IMAGE_HEAD = ("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS")
_CACHE_HEAD = ("CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "USAGE", "SHARED")
_CONTAINER_HEAD = ("CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES")


def _image_line(summary: Document) -> tuple[str, ...]:
    """By its first name: one line, as its space counts once."""
    shared = max(summary.get("SharedSize") or 0, 0)
    unique = human_size((summary.get("Size") or 0) - shared, 4)
    names = ("Repository", "Tag", "ID", "CreatedSince", "Size")
    row = next(images.rows_of(summary, whole=False, digests=False, asked=False))
    return (
        *(str(row[name]) or "N/A" for name in names),
        human_size(shared, 4),
        unique,
        str(row["Containers"]),
    )


def _container_line(summary: Document) -> tuple[str, ...]:
    row = ps.row(summary, whole=False, now=time.time())
    names = ("ID", "Image", "Command", "LocalVolumes")
    size = human_size(summary.get("SizeRw") or 0)
    return (*(str(row[name]) for name in names), size, row["RunningFor"], row["Status"], row["Names"])


def _volume_line(volume: Document) -> tuple[str, ...]:
    size, links = _volume(volume)
    return str(volume["Name"]), str(links), human_size(size, 4)


def _last_use(entry: Document) -> tuple[float, str]:
    """As docker sorts them: what was never used comes first, what was used last is last."""
    used = entry.get("LastUsedAt")
    return _seconds(used) if used else 0.0, str(entry.get("ID"))


def _cache_line(entry: Document) -> tuple[str, ...]:
    created, used = _since(entry.get("CreatedAt")), _since(entry.get("LastUsedAt"))
    id = str(entry.get("ID"))[:12] + ("*" if entry.get("InUse") else "")
    size, uses = human_size(entry.get("Size") or 0), str(entry.get("UsageCount") or 0)
    return id, str(entry.get("Type")), size, created, used, uses, str(bool(entry.get("Shared"))).lower()


def _since(moment: str | None) -> str:
    return f"{human_duration(time.time() - _seconds(moment))} ago" if moment else ""


def _seconds(moment: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(moment).timestamp()


DF = Command(
    df,
    "[OPTIONS]",
    (
        Flag("format", "", "string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("verbose", "v", "bool", "Show detailed information on space usage"),
    ),
)
