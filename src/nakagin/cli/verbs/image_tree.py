"""`nakagin image ls --tree`: images under those whose layers they stand on, with what they share and what is theirs."""

from __future__ import annotations

from nakagin.cli.listing import columns, short_id
from nakagin.cli.quantities import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    Document = dict[str, Any]

HEADERS = ("IMAGE", "ID", "SIZE", "SHARED BELOW", "OWN", "PLATFORMS")


def drawn(images: Sequence[Document]) -> str:
    """The tree of image documents, each with Id, RepoTags, Size, Layers (diff IDs, bottom first) and Platforms."""
    ordered = sorted(
        images, key=lambda image: (len(image["Layers"]), image["RepoTags"] or ["~"], image["Id"])
    )
    children: dict[str, list[Document]] = {}
    for number, image in enumerate(ordered):
        children.setdefault(_base(image, ordered[:number]), []).append(image)
    lines: list[tuple[str, ...]] = [HEADERS]
    for image in children.get("", []):
        lines += _branch(image, children, "", "", 0)
    return columns(lines)


def _base(image: Document, smaller: Sequence[Document]) -> str:
    """The id of the image with the most layers of which all are the lowest ones of this image; "" without one."""
    layers = image["Layers"]
    found = [
        each
        for each in smaller
        if each["Layers"]
        and len(each["Layers"]) < len(layers)
        and layers[: len(each["Layers"])] == each["Layers"]
    ]
    return str(found[-1]["Id"]) if found else ""


def _branch(
    image: Document, children: dict[str, list[Document]], stem: str, joint: str, below: int
) -> Iterator[tuple[str, ...]]:
    name = ", ".join(image["RepoTags"]) or "<none>"
    size = int(image["Size"])
    yield (
        f"{stem}{joint}{name}",
        short_id(str(image["Id"])),
        human_size(size),
        human_size(below),
        human_size(size - below),
        ", ".join(image["Platforms"]),
    )
    inner = stem + {"": "", "├─ ": "│  ", "└─ ": "   "}[joint]
    twigs = children.get(str(image["Id"]), [])
    for twig in twigs:
        yield from _branch(twig, children, inner, "└─ " if twig is twigs[-1] else "├─ ", size)
