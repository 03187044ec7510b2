"""The answer as text and as an SVG picture: how many copies each factor allows. Pure."""

from __future__ import annotations

from nakagin.capacity.model import UNLIMITED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nakagin.capacity.model import Answer, Row

_NAMES = {
    "cpu": "CPU", "memory": "memory", "disk": "disk", "network": "network", "pids": "processes", "files": "open files",
    "inotify": "inotify", "addresses": "addresses",
}  # fmt: skip
_BAR = 24


def shown(factor: str, amount: float) -> str:
    """An amount as people write it: "0.25 CPUs", "64 MiB", "12 Mbit/s", "17"."""
    if factor == "cpu":
        return f"{amount:.3g} CPU{'' if amount == 1 else 's'}"
    if factor == "network":
        return f"{amount / 1e6:,.0f} Mbit/s" if amount >= 1e8 else f"{amount / 1e6:.3g} Mbit/s"
    if factor in {"memory", "disk"}:
        for unit in ("B", "KiB", "MiB", "GiB"):
            if amount < 1024:
                return f"{amount:.4g} {unit}"
            amount /= 1024
        return f"{amount:.4g} TiB"
    return f"{amount:,.0f}"


def text(answer: Answer, unknown: frozenset[str]) -> Iterator[str]:
    """The lines for people."""
    if not answer.binding:
        yield "Nothing that a copy takes is bounded here: say its limits (-m, --cpus …), or measure one with --like."
    else:
        slower = answer.ends != answer.binding
        yield (
            f"{_copies(answer.fits)} can run{' at full speed' if slower else ''}; {_NAMES[answer.binding]} binds."
        )
        if slower and answer.ends:
            yield f"More share it and are slower; {_NAMES[answer.ends]} ends that at {_copies(answer.sharing)}."
    yield ""
    yield f"  {'':<11} {'free':>13} {'of':>13} {'a copy':>13} {'fit':>9}  head-room"
    for row in answer.rows:
        if row.each <= 0 and row.factor not in unknown:
            continue
        yield "  " + _line(answer, row, unknown)
    if answer.binding:
        yield ""
        yield f"To run more: {answer.rows[0].advice}."


def _copies(count: int) -> str:
    return f"{count:,} {'copy' if count == 1 else 'copies'}"


def _line(answer: Answer, row: Row, unknown: frozenset[str]) -> str:
    name = _NAMES[row.factor]
    each = shown(row.factor, row.each) if row.each else "none"
    if row.factor in unknown:
        return f"{name:<11} {'unknown':>13} {'':>13} {each:>13} {'':>9}"
    room = answer.headroom(row)
    bar = "█" * round(_BAR * (1 - room)) + "·" * round(_BAR * room)
    return (
        f"{name:<11} {shown(row.factor, row.free):>13} {shown(row.factor, row.total):>13} {each:>13} {row.fits:>9,}"
        f"  {bar} {room:4.0%}"
    )


def svg(answer: Answer, title: str) -> str:
    """A bar for each factor, as long as the copies that it allows (on a logarithmic scale), the binding one in red."""
    from nakagin.drawing import Bar, bars

    def detail(row: Row) -> str:
        return f"{row.fits:,} copies: {shown(row.factor, row.free)} free, {shown(row.factor, row.each)} each"

    rows = (row for row in answer.rows if row.fits < UNLIMITED)
    return bars(
        title,
        ["How many copies each factor allows, on a logarithmic scale; in red the one that binds."],
        [Bar(_NAMES[row.factor], row.fits, detail(row), chosen=row.factor == answer.binding) for row in rows],
    )
