"""Values of a Compose file with the places they came from: what every stage between text and `Project` works on.

A value is what YAML says it is; maps and lists remember where each of their values stands. What a stage makes itself
has no place; then the nearest known one above it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from nakagin.errors import Invalid


class Mark(Struct, frozen=True):
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


Scalar = str | int | float | bool | None
#: Keys and numbers of list items from the top.
Path = tuple[str | int, ...]


class Mapping(dict[str, "Value"]):
    """A map; `marks` has the place of each key, `mark` that of the whole."""

    __slots__ = ("mark", "marks")

    def __init__(self, items: Iterable[tuple[str, Value]] = (), mark: Mark | None = None) -> None:
        super().__init__(items)
        self.mark = mark
        self.marks: dict[str, Mark] = {}

    def put(self, key: str, value: Value, mark: Mark | None) -> None:
        """Set a key and where it stands."""
        self[key] = value
        if mark is not None:
            self.marks[key] = mark


class Sequence(list["Value"]):
    """A list; `marks` runs beside its items as far as their places are known."""

    __slots__ = ("mark", "marks")

    def __init__(
        self, items: Iterable[Value] = (), mark: Mark | None = None, marks: Iterable[Mark | None] = ()
    ) -> None:
        super().__init__(items)
        self.mark = mark
        self.marks: list[Mark | None] = list(marks)

    def add(self, value: Value, mark: Mark | None) -> None:
        """Append an item and where it stands."""
        while len(self.marks) < len(self):
            self.marks.append(None)
        self.append(value)
        self.marks.append(mark)

    def mark_of(self, index: int) -> Mark | None:
        """Where an item stands."""
        return self.marks[index] if index < len(self.marks) else None


Value = Scalar | Sequence | Mapping


def copy(value: Value) -> Value:
    """The same all the way down, sharing no map or list."""
    if isinstance(value, Mapping):
        made = Mapping(((key, copy(each)) for key, each in value.items()), value.mark)
        made.marks = dict(value.marks)
        return made
    if isinstance(value, Sequence):
        return Sequence((copy(each) for each in value), value.mark, value.marks)
    return value


def dotted(path: Path) -> str:
    """ "services.web.ports[0]"."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text


def mark_at(root: Value, path: Path) -> Mark | None:
    """The place of what stands at `path`, or of the nearest thing above it whose place is known."""
    found: Mark | None = root.mark if isinstance(root, Mapping | Sequence) else None
    node = root
    for part in path:
        nearer: Mark | None = None
        if isinstance(node, Mapping) and isinstance(part, str):
            nearer = node.marks.get(part)
            if part not in node:
                return nearer or found
            node = node[part]
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node):
            nearer = node.mark_of(part)
            node = node[part]
        else:
            return found
        found = nearer or (node.mark if isinstance(node, Mapping | Sequence) else None) or found
    return found


def wrong(root: Value, path: Path, message: str, hint: str | None = None) -> Invalid:
    """The error for what stands at `path`: file, line and key first."""
    mark = mark_at(root, path)
    where = dotted(path)
    if mark is not None:
        where = f"{mark}: {where}" if where else str(mark)
    return Invalid(message, where=where or None, hint=hint)


def section(root: Mapping, key: str) -> Mapping:
    """The map below `key`; an empty one where there is none."""
    found = root.get(key)
    return found if isinstance(found, Mapping) else Mapping()


def services(root: Mapping) -> Iterator[tuple[str, Mapping]]:
    """Name and map of each service."""
    for name, service in section(root, "services").items():
        if isinstance(service, Mapping):
            yield name, service


def plain(value: Value) -> object:
    """The same of dicts and lists alone."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [plain(each) for each in value]
    return value
