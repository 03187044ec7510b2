"""The host as a tower, containers as capsules on shared plumbing: as text, as SVG, as a page."""

from __future__ import annotations

from typing import NamedTuple

from nakagin.cli.quantities import human_binary_size
from nakagin.drawing import Picture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nakagin.client.session import Document

_WIDTH, _HEIGHT, _GAP, _ACROSS = 250, 132, 22, 3
_PIPE = "#4f7f7a"
_ENDLESS = 1 << 60


class Capsule(NamedTuple):
    """What of a container goes into a picture. Memory in bytes; `limit` 0 means none."""

    name: str
    image: str
    pid: int
    processes: int
    memory: int
    limit: int
    own: tuple[str, ...]
    shared: tuple[str, ...]
    networks: tuple[str, ...]
    ports: tuple[str, ...]
    volumes: tuple[str, ...]
    privileged: bool


def capsule_of(inspected: Document, facts: Document) -> Capsule:
    """From a container's inspection and its explanation."""
    files = {each["Name"]: each for each in (facts.get("Cgroup") or {}).get("Files") or ()}
    memory = files.get("memory") or {}
    limit = memory.get("Limit") or ""
    ports = (inspected.get("NetworkSettings") or {}).get("Ports") or {}
    spaces = facts.get("Namespaces") or ()
    return Capsule(
        facts["Name"],
        facts["Image"],
        facts["Pid"],
        len(facts.get("Processes") or ()),
        int(memory.get("Use") or 0),
        int(limit) if limit.isdigit() and int(limit) < _ENDLESS else 0,
        tuple(each["Kind"] for each in spaces if each["Own"]),
        tuple(each["Kind"] for each in spaces if not each["Own"]),
        tuple(name for name in facts.get("Networks") or () if name not in {"none", "host"}),
        tuple(f"{each['HostPort']}→{port}" for port, found in ports.items() for each in (found or ())[:1]),
        tuple(each.get("Name") or each.get("Source", "") for each in inspected.get("Mounts") or ()),
        bool((inspected.get("HostConfig") or {}).get("Privileged")),
    )


def text(info: Document, capsules: Sequence[Capsule]) -> Iterator[str]:
    """A line a capsule, on the foundation that they share."""
    yield f"host {info['Name']}: {info['OperatingSystem']}, Linux {info['KernelVersion']}, {info['NCPU']} CPUs"
    yield ""
    width = max((len(each.name) for each in capsules), default=0)
    for each in capsules:
        memory = human_binary_size(each.memory) + (
            f" of {human_binary_size(each.limit)}" if each.limit else ""
        )
        doors = f"  door {' '.join(each.ports)}" if each.ports else ""
        networks = " ".join(each.networks) or "no network"
        yield f"  ▐ {each.name:<{width}} ▌ pid {each.pid}, {memory}, on {networks}{doors}"
    if not capsules:
        yield "  (no capsule is inhabited)"
    yield "  " + "▀" * 60
    pipes = sorted({name for each in capsules for name in each.networks})
    yield f"  plumbing: {', '.join(pipes) or 'none'}; one kernel for all"


def svg(title: str, capsules: Sequence[Capsule]) -> str:
    """The picture: capsules in rows, floor upon floor, their pipes the networks, below all the kernel."""
    networks = sorted({name for each in capsules for name in each.networks})
    rows = max((len(capsules) + _ACROSS - 1) // _ACROSS, 1)
    width = _ACROSS * (_WIDTH + _GAP) + _GAP
    pipes_at = 70 + rows * (_HEIGHT + _GAP)
    height = pipes_at + 26 * max(len(networks), 1) + 70
    picture = Picture(width, height, "#f4f1ea")
    picture.text(_GAP, 38, title, size=20, bold=True)
    pipe_of = {name: pipes_at + 26 * number + 10 for number, name in enumerate(networks)}
    places = [
        (each, _GAP + number % _ACROSS * (_WIDTH + _GAP), 60 + number // _ACROSS * (_HEIGHT + _GAP))
        for number, each in enumerate(capsules)
    ]
    for each, left, top in places:
        for number, name in enumerate(each.networks):
            x = left + 40 + 24 * number
            picture.line(x, top + _HEIGHT, x, pipe_of[name] + 3, _PIPE)
    for each, left, top in places:
        _capsule(picture, each, left, top)
    for name, y in pipe_of.items():
        picture.box(_GAP, y, width - 2 * _GAP, 6, _PIPE, radius=3)
        picture.text(width - _GAP, y - 3, f"network {name}", size=11, anchor="end")
    picture.box(_GAP, height - 52, width - 2 * _GAP, 34, "#8a8378")
    picture.text(width / 2, height - 30, "one kernel, shared by all", size=14, colour="#fff", anchor="middle")
    return picture.svg()


def _capsule(picture: Picture, each: Capsule, left: int, top: int) -> None:
    wall = "#b0452f" if each.privileged else "#5b6770"
    memory = human_binary_size(each.memory) + (
        f" of {human_binary_size(each.limit)}" if each.limit else ", no limit"
    )
    lines = [
        each.image[:30] or "(a folder)",
        f"pid {each.pid}, {each.processes} process{'es' if each.processes != 1 else ''}",
        f"shares {' '.join(each.shared) or 'nothing'}",
        memory,
    ]
    picture.box(left, top, _WIDTH, _HEIGHT, "#e7e3da", radius=10, border=wall)
    # the round window: how full of memory it is
    part = each.memory / each.limit if each.limit else 0.0
    picture.gauge(left + _WIDTH - 46, top + 48, 30, part, "#7fa7c9", wall)
    picture.text(left + 14, top + 26, each.name[:22], size=15, bold=True)
    for number, line in enumerate(lines):
        picture.text(left + 14, top + 48 + 18 * number, line, colour="#444")
    if each.ports:
        picture.text(left + 14, top + 122, f"door {' '.join(each.ports)[:34]}", colour="#2f6f3e")
