"""YAML text to values: anchors, merge keys, `!reset` and `!override`, with the types that Go's YAML gives.

Go's reader (yaml.v3) knows booleans only as true and false (`yes` and `on` are text), octal numbers with and without
the o, and no dates within Compose. One file may hold several documents: each overrides the one before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml
from msgspec import Struct
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from nakagin.compose.tree import Mapping, Mark, Path, Sequence, Value, copy, dotted
from nakagin.errors import Exhausted, Invalid

#: More bytes than this in one file are refused: no person wrote them.
LARGEST = 4 << 20
#: Values in one file, aliases counted as often as they are used.
MOST_VALUES = 100_000
DEEPEST = 200

_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)")
_WORDS: dict[str, Value] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    **{f"{sign}.{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")},
    **{f".{word}": float("nan") for word in ("nan", "NaN", "NAN")},
}  # fmt: skip


class Document(Struct):
    """One document. At `resets` what earlier documents said is forgotten, at `overrides` it is replaced whole."""

    root: Value
    resets: list[Path] = []
    overrides: list[Path] = []


def parse(text: bytes, file: str) -> list[Document]:
    """The documents of a file. Raises Invalid with file and line, Exhausted for what is too big."""
    if len(text) > LARGEST:
        raise Exhausted(
            f"{file}: {len(text)} bytes are too many for a Compose file (at most {LARGEST})",
            hint="put data into files of their own and name them under configs, secrets or volumes",
        )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return list(_Reader(yaml.parse(text, Loader=loader), file).documents())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise Invalid(f"{error.problem or error.context}", where=where) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Invalid(f"not YAML: {error}", where=file) from None


class _Reader:
    """Builds values out of the parser's events."""

    def __init__(self, events: Iterator[Event], file: str) -> None:
        self._events = events
        self._file = file
        self._count = 0
        self._anchors: dict[str, tuple[Value, int]] = {}
        self._document = Document(None)

    def documents(self) -> Iterator[Document]:
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                self._anchors.clear()
                self._document = Document(None)
                self._document.root = self._value(next(self._events), ())
                yield self._document

    def _mark(self, event: Event) -> Mark:
        start = event.start_mark
        assert start is not None
        return Mark(self._file, start.line + 1, start.column + 1)

    def _spend(self, values: int, mark: Mark) -> None:
        self._count += values
        if self._count > MOST_VALUES:
            raise Exhausted(
                f"{mark}: more than {MOST_VALUES} values, with what the aliases stand for",
                hint="this is what a YAML bomb looks like: use fewer aliases of aliases",
            )

    def _value(self, event: Event, path: Path) -> Value:
        mark = self._mark(event)
        if isinstance(event, AliasEvent):
            return self._alias(event.anchor or "", mark)
        before = self._count
        self._spend(1, mark)
        if len(path) > DEEPEST:
            raise Invalid(f"nested deeper than {DEEPEST} levels", where=str(mark))
        if not isinstance(event, ScalarEvent | CollectionStartEvent):
            raise Invalid("a value is missing", where=str(mark))
        tag = event.tag or ""
        if tag == "!reset":
            self._document.resets.append(path)
        elif tag == "!override":
            self._document.overrides.append(path)
        made: Value
        if isinstance(event, ScalarEvent):
            made = self._scalar(event, tag, mark)
        elif isinstance(event, SequenceStartEvent):
            made = self._sequence(path, mark)
        else:
            made = self._mapping(path, mark)
        if event.anchor:
            self._anchors[event.anchor] = (made, self._count - before)
        return made

    def _alias(self, anchor: str, mark: Mark) -> Value:
        known = self._anchors.get(anchor)
        if known is None:
            raise Invalid(f"unknown anchor '{anchor}' referenced", where=str(mark))
        value, size = known
        self._spend(size, mark)
        return copy(value)

    def _scalar(self, event: ScalarEvent, tag: str, mark: Mark) -> Value:
        text, plain = event.value, event.implicit[0]
        kind = tag.removeprefix("tag:yaml.org,2002:")
        if kind in ("!reset", "!override"):
            plain = not event.style
        if kind == "str" or not (plain or kind in ("int", "float", "bool", "null")):
            return text
        value = resolve(text)
        wanted = {"int": int, "float": float, "bool": bool, "null": type(None)}.get(kind)
        if wanted is float and type(value) is int:
            return float(value)
        if wanted is not None and type(value) is not wanted:
            raise Invalid(f"cannot read {text!r} as !!{kind}", where=str(mark))
        return value

    def _sequence(self, path: Path, mark: Mark) -> Sequence:
        made = Sequence(mark=mark)
        for event in self._events:
            if isinstance(event, SequenceEndEvent):
                break
            made.add(self._value(event, (*path, len(made))), self._mark(event))
        return made

    def _mapping(self, path: Path, mark: Mark) -> Mapping:
        made = Mapping(mark=mark)
        merges: list[Mapping] = []
        for event in self._events:
            if isinstance(event, MappingEndEvent):
                break
            place = self._mark(event)
            merging = isinstance(event, ScalarEvent) and event.value == "<<" and event.implicit[0]
            key = "<<" if merging else self._key(event, path, place)
            below = path if merging else (*path, key)
            value = self._value(next(self._events), below)
            if merging:
                merges += self._merged(value, place)
                continue
            if key in made:
                raise Invalid(
                    f'mapping key "{key}" already defined at line {made.marks[key].line}', where=str(place)
                )
            made.put(key, value, place)
        for source in merges:
            for key, value in source.items():
                if key not in made:
                    made.put(key, copy(value), source.marks.get(key))
        return made

    def _key(self, event: Event, path: Path, mark: Mark) -> str:
        value = self._value(event, path)
        if not isinstance(value, str):
            shown = getattr(event, "value", "a map or list")
            place = f"in {dotted(path)}" if path else "at top level"
            raise Invalid(
                f"non-string key {place}: {shown}", where=str(mark), hint=f'write "{shown}" in quotes'
            )
        return value

    def _merged(self, value: Value, mark: Mark) -> list[Mapping]:
        found = value if isinstance(value, Sequence) else [value]
        if not all(isinstance(each, Mapping) for each in found):
            raise Invalid("map merge requires map or sequence of maps as the value", where=str(mark))
        return [each for each in found if isinstance(each, Mapping)]


def resolve(text: str) -> Value:
    """What a plain scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if not text or text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "")
    if found := _INTEGER.fullmatch(digits):
        sign, number = found.groups()
        lowered = number.lower()
        if len(lowered) > 1 and lowered[0] == "0" and lowered[1] not in "xb":
            value = int(lowered.removeprefix("0o") if lowered[1] == "o" else lowered, 8)
        else:
            value = int(lowered, 0)
        return -value if sign == "-" else value
    if _FLOAT.fullmatch(digits):
        return float(digits)
    return text
