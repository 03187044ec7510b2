"""How a description of allowed values is written and checked: types, lists, maps with free keys, maps with fields.

A problem is told at the deepest place it can be pinned to, an unknown key with the nearest known one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as Map

from msgspec import Struct

from nakagin.compose.tree import Mapping, Path, Sequence, Value
from nakagin.errors import nearest


class Problem(Struct, frozen=True):
    """What is wrong at `path`."""

    path: Path
    message: str
    hint: str | None = None


def kind_of(value: Value) -> str:
    """JSON's word for the type."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case Sequence():
            return "list"
        case Mapping():
            return "map"


def article(word: str) -> str:
    """ "an integer"."""
    return ("an " if word[0] in "aeiou" else "a ") + word


class Shape:
    """What a value may be."""

    #: The kinds of value it speaks about.
    kinds: frozenset[str] = frozenset()

    def problems(self, value: Value, path: Path) -> Iterator[Problem]:
        """What is wrong with a value of one of its kinds."""
        raise NotImplementedError

    def check(self, value: Value, path: Path) -> Iterator[Problem]:
        """What is wrong with any value."""
        if (kind := kind_of(value)) in self.kinds:
            yield from self.problems(value, path)
        else:
            wanted = " or ".join(article(each) for each in sorted(self.kinds) if each != "null")
            yield Problem(path, f"must be {wanted}, not {'empty' if kind == 'null' else article(kind)}")


class Plain(Shape):
    """A scalar of some kinds: "string integer"; `number` includes whole ones."""

    def __init__(
        self,
        kinds: str,
        *,
        choices: tuple[str, ...] = (),
        pattern: str = "",
        least: int | None = None,
        most: int | None = None,
    ) -> None:
        words = set(kinds.split())
        self.kinds = frozenset(words | ({"integer"} if "number" in words else set()))
        self._choices = choices
        self._pattern = re.compile(pattern) if pattern else None
        self._least, self._most = least, most

    def problems(self, value: Value, path: Path) -> Iterator[Problem]:
        if isinstance(value, str):
            if self._choices and value not in self._choices:
                near = nearest(value, self._choices)
                yield Problem(path, f"must be one of {', '.join(self._choices)}, not {value!r}", near)
            if self._pattern and not self._pattern.search(value):
                yield Problem(path, f"{value!r} does not match {self._pattern.pattern}")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            if self._least is not None and value < self._least:
                yield Problem(path, f"must be at least {self._least}, not {value}")
            if self._most is not None and value > self._most:
                yield Problem(path, f"must be at most {self._most}, not {value}")


class ListOf(Shape):
    """A list of one kind of thing."""

    kinds = frozenset({"list"})

    def __init__(self, item: Shape, *, unique: bool = False) -> None:
        self._item = item
        self._unique = unique

    def problems(self, value: Value, path: Path) -> Iterator[Problem]:
        assert isinstance(value, Sequence)
        seen: list[Value] = []
        for index, each in enumerate(value):
            yield from self._item.check(each, (*path, index))
            if self._unique:
                if any(each == other and type(each) is type(other) for other in seen):
                    yield Problem((*path, index), f"{each!r} stands here twice", "items must be unique")
                seen.append(each)


class MapOf(Shape):
    """A map with free keys."""

    def __init__(self, item: Shape | None, *, keys: str = "", nullable: bool = False) -> None:
        self.kinds = frozenset({"map", "null"} if nullable else {"map"})
        self._item = item
        self._keys = re.compile(keys) if keys else None

    def problems(self, value: Value, path: Path) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            return
        for key, each in value.items():
            if self._keys and not self._keys.fullmatch(key):
                yield Problem((*path, key), "this name is not allowed", f"names match {self._keys.pattern}")
            elif self._item:
                yield from self._item.check(each, (*path, key))


class Fields(Shape):
    """A map with known keys, and x-… where it is `extensible`."""

    def __init__(
        self,
        fields: Map[str, Shape],
        *,
        required: tuple[str, ...] = (),
        extensible: bool = True,
        nullable: bool = False,
        loose: bool = False,
    ) -> None:
        self.kinds = frozenset({"map", "null"} if nullable else {"map"})
        self._fields = fields
        self._required = required
        self._extensible = extensible
        self._loose = loose

    def problems(self, value: Value, path: Path) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            return
        for key, each in value.items():
            if (shape := self._fields.get(key)) is not None:
                yield from shape.check(each, (*path, key))
            elif not self._loose and not (self._extensible and key.startswith("x-")):
                yield Problem((*path, key), "this key is not known here", nearest(key, tuple(self._fields)))
        for key in self._required:
            if key not in value:
                yield Problem(path, f"the key {key} is missing")


class Either(Shape):
    """One of several shapes, told apart by the kind of the value."""

    def __init__(self, *shapes: Shape) -> None:
        self._shapes = shapes
        self.kinds = frozenset().union(*(shape.kinds for shape in shapes))

    def problems(self, value: Value, path: Path) -> Iterator[Problem]:
        kind = kind_of(value)
        yield from next(shape for shape in self._shapes if kind in shape.kinds).problems(value, path)
