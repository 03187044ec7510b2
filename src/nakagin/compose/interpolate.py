"""Variables in the values of a file: $X, ${X}, ${X:-default}, ${X?error}, ${X:+other}, nested, $$ for a dollar.

Keys are never touched. A dollar before anything that is no name stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from nakagin.compose.tree import Mapping, Path, Sequence, Value, mark_at, wrong
from nakagin.errors import Invalid

#: The value of a variable, or None where it is not set.
Lookup = Callable[[str], str | None]

_SPOT = re.compile(r"\$(?:(\$)|([_a-zA-Z][_a-zA-Z0-9]*)|(\{))")
_BRACED = re.compile(r"([_a-zA-Z][_a-zA-Z0-9]*)(?:(:?[-+?])(.*))?", re.DOTALL)


class Missing(Invalid):
    """A variable that the file requires is not set, or empty."""


class Use(Struct, frozen=True):
    """One variable at one place of a file: what was written after its name, and where."""

    variable: str
    operator: str
    alternative: str
    where: str = ""


def substitute(template: str, lookup: Lookup, used: Callable[[Use], None] | None = None) -> str:
    """`template` with its variables replaced; `used` hears of each. Raises Missing, Invalid for a bad ${…}."""
    parts: list[str] = []
    position = 0
    while found := _SPOT.search(template, position):
        parts.append(template[position : found.start()])
        escaped, name, brace = found.groups()
        position = found.end()
        if escaped:
            parts.append("$")
        elif name:
            parts.append(_replace(name, "", "", lookup, used))
        elif brace:
            end = _closing(template, position)
            inside = _BRACED.fullmatch(template, position, end) if end > 0 else None
            if inside is None:
                raise Invalid(
                    f"invalid interpolation format: {template!r}", hint="write $$ where a dollar is meant"
                )
            parts.append(_replace(inside[1], inside[2] or "", inside[3] or "", lookup, used))
            position = end + 1
    parts.append(template[position:])
    return "".join(parts)


def _closing(template: str, start: int) -> int:
    depth = 1
    for index in range(start, len(template)):
        if template[index] == "}":
            depth -= 1
            if not depth:
                return index
        elif template.startswith("${", index):
            depth += 1
    return -1


def _replace(
    name: str, operator: str, alternative: str, lookup: Lookup, used: Callable[[Use], None] | None
) -> str:
    if used is not None:
        used(Use(name, operator, alternative))
    value = lookup(name)
    given = value is not None and (value != "" or ":" not in operator)
    match operator.removeprefix(":"):
        case "-":
            return (value or "") if given else substitute(alternative, lookup, used)
        case "+":
            return substitute(alternative, lookup, used) if given else ""
        case "?" if not given:
            reason = substitute(alternative, lookup, used)
            raise Missing(f"required variable {name} is missing a value" + (f": {reason}" if reason else ""))
    return value or ""


class Interpolation:
    """Replaces the variables of a whole file and keeps what it met.

    `warnings` are texts for people; `uses` what stood where, for `config --explain` and `--variables`.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self.warnings: dict[str, None] = {}
        self.uses: list[Use] = []

    def with_lookup(self, lookup: Lookup) -> Interpolation:
        """The same with other variables; what it meets is kept in one place."""
        other = Interpolation(lookup)
        other.warnings, other.uses = self.warnings, self.uses
        return other

    def apply(self, root: Mapping) -> None:
        """In place. Raises Invalid with the place of what is wrong."""
        for key, value in root.items():
            root[key] = self._value(root, value, (key,))

    def _value(self, root: Mapping, value: Value, path: Path) -> Value:
        if isinstance(value, str):
            return self._text(root, value, path) if "$" in value else value
        if isinstance(value, Mapping):
            for key, each in value.items():
                value[key] = self._value(root, each, (*path, key))
        elif isinstance(value, Sequence):
            for index, each in enumerate(value):
                value[index] = self._value(root, each, (*path, index))
        return value

    def _text(self, root: Mapping, text: str, path: Path) -> str:
        def used(use: Use) -> None:
            mark = mark_at(root, path)
            self.uses.append(Use(use.variable, use.operator, use.alternative, str(mark) if mark else ""))
            if not use.operator and self._lookup(use.variable) is None:
                self.warnings[f'The "{use.variable}" variable is not set. Defaulting to a blank string.'] = (
                    None
                )

        try:
            return substitute(text, self._lookup, used)
        except Invalid as error:
            raise wrong(root, path, error.message, error.hint) from None
