"""The host as a tower, containers as capsules on shared plumbing: as text, as SVG, as a page."""

from __future__ import annotations

from typing import NamedTuple

from nakagin.cli.quantities import human_binary_size
from nakagin.drawing import Picture, fitted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nakagin.client.session import Document

_WIDTH, _HEIGHT, _GAP, _ACROSS = 250, 136, 22, 3
_PIPES = ("#4f7f7a", "#8a5a83", "#b07d2b", "#4a6fa5", "#9a4f4f", "#6b7d3a")
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
    """The picture: capsules in rows, floor upon floor, their pipes the networks, below all the kernel.

    A riser of each network goes down behind the capsules of a column; a joint shows whose it is.
    """
    networks = sorted({name for each in capsules for name in each.networks})
    rows = max((len(capsules) + _ACROSS - 1) // _ACROSS, 1)
    width = _ACROSS * (_WIDTH + _GAP) + _GAP
    pipes_at = 70 + rows * (_HEIGHT + _GAP)
    height = pipes_at + 26 * max(len(networks), 1) + 70
    picture = Picture(width, height, "#f4f1ea")
    picture.text(_GAP, 38, fitted(title, width - 2 * _GAP, 20), size=20, bold=True)
    pipes = {
        name: _Pipe(20 + 21 * (number % 11), pipes_at + 26 * number + 10, _PIPES[number % len(_PIPES)])
        for number, name in enumerate(networks)
    }
    places = [
        (each, _GAP + number % _ACROSS * (_WIDTH + _GAP), 60 + number // _ACROSS * (_HEIGHT + _GAP))
        for number, each in enumerate(capsules)
    ]
    for each, left, top in places:
        for x, y, colour in (pipes[name] for name in each.networks):
            picture.line(left + x, top + _HEIGHT, left + x, y + 3, colour)
    for each, left, top in places:
        _capsule(picture, each, left, top)
        for x, _, colour in (pipes[name] for name in each.networks):
            picture.dot(left + x, top + _HEIGHT, 6, colour)
    for name, (_, y, colour) in pipes.items():
        picture.box(_GAP, y, width - 2 * _GAP, 6, colour, radius=3)
        picture.text(width - _GAP, y - 3, f"network {name}", size=11, anchor="end")
    picture.box(_GAP, height - 52, width - 2 * _GAP, 34, "#8a8378")
    picture.text(width / 2, height - 30, "one kernel, shared by all", size=14, colour="#fff", anchor="middle")
    return picture.svg()


class _Pipe(NamedTuple):
    """A network: its riser in each column, `x` from the capsule's left side, and the height of its main."""

    x: int
    y: int
    colour: str


def _capsule(picture: Picture, each: Capsule, left: int, top: int) -> None:
    wall = "#b0452f" if each.privileged else "#5b6770"
    memory = human_binary_size(each.memory) + (
        f" of {human_binary_size(each.limit)}" if each.limit else ", no limit"
    )
    whole, beside = _WIDTH - 24, _WIDTH - 88
    lines = [
        (each.image or "(a folder)", beside),
        (f"pid {each.pid}, {each.processes} process{'es' if each.processes != 1 else ''}", beside),
        (memory, beside),
        (_shares(each), whole),
    ]
    picture.box(left, top, _WIDTH, _HEIGHT, "#e7e3da", radius=10, border=wall)
    # the round window: how full of memory it is
    part = each.memory / each.limit if each.limit else 0.0
    picture.gauge(left + _WIDTH - 42, top + 64, 26, part, "#7fa7c9", wall)
    picture.text(left + 14, top + 26, fitted(each.name, whole, 15), size=15, bold=True)
    for number, (line, room) in enumerate(lines):
        picture.text(left + 14, top + 48 + 18 * number, fitted(line, room, 12), colour="#444")
    if each.ports:
        picture.text(left + 14, top + 122, _doors(each.ports, whole), colour="#2f6f3e")


def _shares(each: Capsule) -> str:
    if len(each.shared) > len(each.own):
        return f"shares all but {' '.join(each.own)}" if each.own else "shares everything"
    return f"shares {' '.join(each.shared) or 'nothing'}"


def _doors(ports: Sequence[str], room: int) -> str:
    """As many ports as there is room for, and how many more there are."""
    words = [each.removesuffix("/tcp") for each in ports]
    for count in range(len(words), 1, -1):
        more = f" and {len(words) - count} more" if count < len(words) else ""
        line = f"door {' '.join(words[:count])}{more}"
        if fitted(line, room, 12) == line:
            return line
    return fitted(f"door {words[0]}" + (f" and {len(words) - 1} more" if len(words) > 1 else ""), room, 12)
