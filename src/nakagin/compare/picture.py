"""The table as text and as an SVG picture. Pure."""

from __future__ import annotations

from nakagin.compare.model import rows
from nakagin.drawing import Bar, bars

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nakagin.compare.model import Comparison, Row


def text(found: Comparison) -> Iterator[str]:
    """The lines for people, and how each was measured."""
    table = rows(found)
    width = max(len("container"), *(len(row.container) for row in table))
    other = max(len("virtual machine"), *(len(row.machine) for row in table))
    yield f"{'':<22} {'container':<{width}}  {'virtual machine':<{other}}  ahead"
    for row in table:
        yield f"{row.name:<22} {row.container:<{width}}  {row.machine:<{other}}  {_ahead(row)}".rstrip()
    yield ""
    yield f"The virtual machine was {found.reason}."
    if found.accelerator == "tcg":
        yield "Emulation is slow: where KVM works, the container is less far ahead."
    yield "How it was measured:"
    for row in table:
        yield f"  {row.name}: {row.how}."


def _ahead(row: Row) -> str:
    if row.ratio is None:
        return ""
    # As many digits as the figures have.
    return f"{row.ratio:,.0f} times" if row.ratio >= 10 else f"{row.ratio:.2g} times"


def svg(found: Comparison) -> str:
    """For each figure how many times the container is ahead, on a logarithmic scale; under it both figures."""
    return bars(
        "The same program in a container and in a virtual machine",
        [
            "How many times the container is ahead, on a logarithmic scale. The virtual machine was",
            f"{found.reason}.",
        ],
        [
            Bar(row.name, row.ratio, _ahead(row), f"{row.container} against {row.machine}")
            for row in rows(found)
            if row.ratio is not None
        ],
    )
