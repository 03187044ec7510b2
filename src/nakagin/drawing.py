"""Pictures as SVG: shapes on a ground, and the chart of bars that several commands show.

Text out of data; only `write` has a deed.
Lengths are in the units of the picture's own width and height; y grows downwards. Words may hold any character.
"""

from __future__ import annotations

from html import escape
from math import log10
from typing import TYPE_CHECKING, Literal, NamedTuple

from nakagin.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

Anchor = Literal["start", "middle", "end"]

INK, FAINT, GROUND = "#222", "#666", "#fbfaf7"
_PLAIN, _CHOSEN = "#6a8caf", "#c8452f"
_WIDTH, _LONGEST, _LETTER = 760, 400, 7.5


class Picture:
    """Shapes in the order in which they are put on the ground: later ones cover earlier ones."""

    def __init__(self, width: float, height: float, ground: str = GROUND) -> None:
        place = f'viewBox="0 0 {_n(width)} {_n(height)}"'
        self._head = f'<svg xmlns="http://www.w3.org/2000/svg" {place} font-family="sans-serif">'
        self._parts: list[str] = []
        self.box(0, 0, width, height, ground)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: int = 12,
        colour: str = INK,
        anchor: Anchor = "start",
        bold: bool = False,
    ) -> None:
        """One line; `y` is where its letters stand, `anchor` which of its ends is at `x`."""
        how = f' text-anchor="{anchor}"' if anchor != "start" else ""
        how += ' font-weight="600"' if bold else ""
        self._parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size}" fill="{colour}"{how}>{escape(words)}</text>'
        )

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: str,
        *,
        radius: float = 0,
        border: str = "",
    ) -> None:
        """A rectangle; with a `border` of that colour."""
        how = f' rx="{_n(radius)}"' if radius else ""
        how += f' stroke="{border}" stroke-width="3"' if border else ""
        self._parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" fill="{fill}"{how}/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, thickness: float = 4) -> None:
        """A straight line."""
        ends = f'x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"'
        self._parts.append(f'<line {ends} stroke="{colour}" stroke-width="{_n(thickness)}"/>')

    def dot(self, x: float, y: float, radius: float, fill: str) -> None:
        """A full circle around (x, y)."""
        self._parts.append(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" fill="{fill}"/>')

    def gauge(self, x: float, y: float, radius: float, part: float, fill: str, border: str) -> None:
        """A round window around (x, y) that is filled from below to a `part` from 0 to 1."""
        self._parts.append(
            f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" fill="#fff" stroke="{border}" stroke-width="4"/>'
        )
        inner = radius - 2
        level = inner * (1 - 2 * min(max(part, 0.0), 1.0))  # how far above or below the middle it stands
        if level >= inner:
            return
        half = (inner**2 - level**2) ** 0.5
        large = 1 if level < 0 else 0
        self._parts.append(
            f'<path d="M {_n(x - half)} {_n(y + level)} A {_n(inner)} {_n(inner)} 0 {large} 0 {_n(x + half)} '
            f'{_n(y + level)} Z" fill="{fill}"/>'
            if half > 0.05
            else f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(inner)}" fill="{fill}"/>'
        )

    def svg(self) -> str:
        """The whole picture as a document."""
        return "\n".join([self._head, *self._parts, "</svg>"]) + "\n"


def fitted(words: str, room: float, size: int) -> str:
    """As much of a line in letters of `size` as has room, with "…" where it is cut; letters are taken for wide ones."""
    most = int(room / (0.6 * size))
    return words if len(words) <= most else f"{words[: most - 1]}…"


class Bar(NamedTuple):
    """One row of a chart: its name, its amount (from 1 on), what stands behind the bar and, smaller, below it."""

    name: str
    amount: float
    label: str
    below: str = ""
    chosen: bool = False


def bars(title: str, notes: Sequence[str], rows: Sequence[Bar]) -> str:
    """A chart of horizontal bars on a logarithmic scale: the longest fills its room, chosen ones are red."""
    step = 46 if any(row.below for row in rows) else 34
    top = 44 + 18 * len(notes)
    picture = Picture(_WIDTH, top + 10 + step * max(len(rows), 1))
    picture.text(20, 32, title, size=18, bold=True)
    for number, note in enumerate(notes):
        picture.text(20, 54 + 18 * number, note, colour=FAINT)
    left = 30 + max((len(row.name) for row in rows), default=0) * _LETTER
    labels = max((len(row.label) for row in rows), default=0) * 6.2
    room = min(_LONGEST, _WIDTH - left - 20 - labels)
    longest = max((log10(max(row.amount, 1)) for row in rows), default=0) or 1
    for number, row in enumerate(rows):
        y = top + 6 + step * number
        width = 6 + (room - 6) * log10(max(row.amount, 1)) / longest
        picture.text(left - 10, y + 16, row.name, size=14, anchor="end")
        picture.box(left, y, width, 22, _CHOSEN if row.chosen else _PLAIN, radius=3)
        picture.text(left + width + 8, y + 16, row.label)
        if row.below:
            picture.text(left, y + 35, row.below, size=11, colour=FAINT)
    return picture.svg()


def write(path: str, title: str, svg: str) -> None:
    """A picture as a file: SVG, or a page where the name ends in .html. Invalid where it cannot be written."""
    if path.endswith((".html", ".htm")):
        svg = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
            f'<body style="margin:2rem;background:#f4f1ea">{svg}</body></html>\n'
        )
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(svg)
    except OSError as error:
        raise Invalid(
            f"cannot write the picture {path}: {error.strerror}", hint="name another file"
        ) from None


def _n(number: float) -> str:
    """A number without what nobody sees: "12", "12.5"."""
    return f"{number:.1f}".removesuffix(".0")
