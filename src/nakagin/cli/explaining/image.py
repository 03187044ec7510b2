"""An image for people: its layers, what each instruction added, what it wasted, what is shared. Pure."""

from __future__ import annotations

from nakagin.cli.quantities import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nakagin.client.session import Document

_BAR = 20
_INSTRUCTION = 76


def text(found: Document) -> Iterator[str]:
    """The lines from `Images.explain`: the newest layer is on top, as the container sees them."""
    steps = found["Steps"]
    total = max(found["Size"], 1)
    layers = sum(1 for step in steps if step["DiffId"])
    name = found["Name"] or found["Id"].removeprefix("sha256:")[:12]
    yield f"image {name}: {human_size(found['Size'])} in {layers} layer{'' if layers == 1 else 's'}"
    yield ""
    for number in range(len(steps) - 1, -1, -1):
        step = steps[number]
        bar = "█" * max(round(_BAR * step["Size"] / total), 1) if step["Size"] else ""
        size = human_size(step["Size"]) if step["DiffId"] else "-"
        shared = f"  shared with {step['Shared']} more" if step["Shared"] else ""
        yield f"{number + 1:>4} {size:>9} {bar:<{_BAR}}  {_short(instruction(step))}{shared}"
        for hidden in step["Hidden"]:
            yield f"{'':>4} {human_size(hidden['Bytes']):>9} {'of it wasted:':<{_BAR}}  {_hidden_by(hidden, steps)}"
    yield ""
    own = sum(step["Size"] for step in steps if not step["Shared"])
    yield f"Only this image needs {human_size(own)} of it; {human_size(found['Size'] - own)} is shared."
    wasted = sum(hidden["Bytes"] for step in steps for hidden in step["Hidden"])
    if wasted:
        yield f"Nobody sees {human_size(wasted)} ({wasted / total:.0%}): later steps replaced or deleted it."
    for advice in _advice([instruction(step) for step in steps]):
        yield f"To make it smaller: {advice}"


def picture(found: Document) -> str:
    """SVG: a bar for each layer, the newest on top, red where later steps replaced or deleted some of it."""
    from nakagin.drawing import Bar, bars

    rows = []
    for number, step in reversed(list(enumerate(found["Steps"], 1))):
        if not step["DiffId"]:
            continue
        wasted = sum(hidden["Bytes"] for hidden in step["Hidden"])
        label = human_size(step["Size"])
        label += f", {human_size(wasted)} of it wasted" if wasted else ""
        label += f", shared with {step['Shared']} more" if step["Shared"] else ""
        rows.append(
            Bar(f"step {number}", step["Size"], label, _short(instruction(step), 100), chosen=bool(wasted))
        )
    name = found["Name"] or found["Id"].removeprefix("sha256:")[:12]
    notes = [
        "What each layer holds, on a logarithmic scale; in red where later steps replaced or deleted some of it."
    ]
    return bars(f"Image {name}: {human_size(found['Size'])}", notes, rows)


def _hidden_by(hidden: Document, steps: Sequence[Document]) -> str:
    number = hidden["By"]
    return f"replaced or deleted by step {number + 1}, {_short(instruction(steps[number]), 40)}"


def instruction(step: Document) -> str:
    """A step as its Dockerfile had it; what is known of it where it comes from none."""
    told = str(step["CreatedBy"]).removesuffix(" # buildkit").removeprefix("RUN ").removeprefix("/bin/sh -c ")
    if told.startswith("#(nop)"):
        return told.removeprefix("#(nop)").strip()
    if not told:
        return f"({step['Comment'] or 'nothing is said of it'})"
    return told if told.split(" ", 1)[0].isupper() else f"RUN {told}"


def _short(text: str, most: int = _INSTRUCTION) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _advice(texts: Sequence[str]) -> Iterator[str]:
    """What the instructions themselves betray."""
    for line in texts:
        if "apt-get install" in line and "rm -rf /var/lib/apt/lists" not in line and "type=cache" not in line:
            yield "an apt-get install leaves its package lists behind (rm -rf /var/lib/apt/lists/* in the same RUN)."
            break
    if any("apt-get install" in line and "--no-install-recommends" not in line for line in texts):
        yield "apt-get install without --no-install-recommends takes more than is needed."
    if any(
        "pip install" in line and "--no-cache-dir" not in line and "type=cache" not in line for line in texts
    ):
        yield "pip keeps its cache in the layer (--no-cache-dir, or a cache mount)."
    for line in texts:
        if line.startswith(("RUN rm ", "RUN apt-get clean", "RUN apt-get purge")):
            yield f"`{line[:50]}` in a RUN of its own frees nothing: the files stay in the layer below."
            break
    if any(line.startswith(("RUN chown -R", "RUN chmod -R")) for line in texts):
        yield "a RUN chown -R or chmod -R copies every file once more (COPY --chown, --chmod)."
