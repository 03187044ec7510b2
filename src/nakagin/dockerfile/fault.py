"""How a mistake in a Dockerfile is told: which line, what is wrong, and the lines around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.errors import Invalid
from nakagin.errors import nearest as nearest

if TYPE_CHECKING:
    pass

_AROUND = 2


class DockerfileError(Invalid):
    """A mistake at the lines `start` to `end` (from 1; 0: the file as a whole); `needle` is the wrong word in them."""

    def __init__(
        self, message: str, *, start: int = 0, end: int = 0, hint: str | None = None, needle: str = ""
    ) -> None:
        where = f"dockerfile parse error on line {start}" if start else "dockerfile parse error"
        super().__init__(message, where=where, hint=hint)
        self.cause = message
        self.needle = needle
        self.start = start
        self.end = end or start

    def at(self, start: int, end: int) -> DockerfileError:
        """The same mistake with its place; itself when it has one already."""
        if self.start:
            return self
        return DockerfileError(self.cause, start=start, end=end, hint=self.hint, needle=self.needle)

    def shown(self, text: str, name: str) -> str:
        """The message and the hint, then the lines of the file."""
        if not self.start:
            return str(self)
        return f"{self}\n{excerpt(text, self.start, self.end, name=name, needle=self.needle)}"


def excerpt(text: str, start: int, end: int, *, name: str = "Dockerfile", needle: str = "") -> str:
    """The lines `start` to `end` with their neighbours; with a needle, a caret below its first occurrence.

    >>> print(excerpt("FROM a\\nRUNN b", 2, 2, needle="RUNN"))
    Dockerfile:2
    --------------------
       1 |     FROM a
       2 | >>> RUNN b
         |     ^^^^
    --------------------
    """
    lines = text.splitlines()
    shown = []
    for number in range(max(1, start - _AROUND), min(len(lines), end + _AROUND) + 1):
        line = lines[number - 1]
        inside = start <= number <= end
        shown.append(f"{number:4} | {'>>>' if inside else '   '} {line}".rstrip())
        column = line.find(needle) if inside and needle else -1
        if column >= 0:
            shown.append(f"     |     {' ' * column}{'^' * len(needle)}")
            needle = ""
    rule = "-" * 20
    return "\n".join([f"{name}:{start}", rule, *shown, rule])
