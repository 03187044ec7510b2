"""How Go shows, compares and looks into values."""

from __future__ import annotations

import json

from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class TemplateError(Invalid):
    """The template is wrong, or asks the data for what it does not have."""


class Missing:
    """A key that a map does not have: shown as <no value>, false, and without fields."""


MISSING = Missing()


class Nil:
    """A pointer that is null: <nil> in text, null in JSON, false."""

    def __bool__(self) -> bool:
        return False


NIL = Nil()


class NilList(list[object]):
    """A list that JSON says is null: [] in text, null in JSON, as a Go client has it."""


class NilMap(dict[str, object]):
    """The same for a map: map[] in text, null in JSON."""


class Worded(dict[str, object]):
    """A structure with a method String: its words in text, its fields in JSON."""

    def __init__(self, words: str, fields: Mapping[str, object]) -> None:
        super().__init__(fields)
        self.words = words


def show(value: object, *, inside: bool = False) -> str:
    """Go's %v: true, [a b], map[k:v] with sorted keys, <nil>; a nil on its own is <no value>."""
    if isinstance(value, str):
        return value
    if value is True or value is False:
        return "true" if value else "false"
    if value is None or value is MISSING:
        return "<nil>" if inside else "<no value>"
    if value is NIL:
        return "<nil>"
    if isinstance(value, float):
        return show_float(value)
    if isinstance(value, Worded):
        return value.words
    if isinstance(value, dict):
        pairs = (
            f"{show(key, inside=True)}:{show(value[key], inside=True)}" for key in sorted(value, key=str)
        )
        return f"map[{' '.join(pairs)}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(show(each, inside=True) for each in value)}]"
    return str(value)


def show_float(value: float) -> str:
    """Go's shortest form: 0.5, 1e+21, 3 for 3.0."""
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return repr(value)


def to_json(value: object, *, html: bool = False) -> str:
    """JSON as Go writes it: compact; with `html` (json.Marshal's habit) <, > and & are escaped."""
    text = json.dumps(
        _for_json(value), separators=(",", ":"), ensure_ascii=False, default=lambda other: str(other)
    )
    for character in "<>&\u2028\u2029" if html else "\u2028\u2029":
        if character in text:
            text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _for_json(value: object) -> object:
    """The value with null for what is nothing."""
    if value is MISSING or isinstance(value, Nil | NilList | NilMap):
        return None
    if isinstance(value, dict):
        return {key: _for_json(each) for key, each in value.items()}
    return [_for_json(each) for each in value] if isinstance(value, list | tuple) else value


def truth(value: object) -> bool:
    """Go's idea of a true value: not false, 0, nil or empty."""
    return value is not MISSING and bool(value)


def kind(value: object) -> str:
    """The word for a value's type in error messages."""
    if value is None or value is MISSING or value is NIL:
        return "nil"
    names: tuple[tuple[type, str], ...] = (
        (bool, "bool"),
        (int, "int"),
        (float, "float64"),
        (str, "string"),
        (dict, "map[string]interface {}"),
        (list, "[]interface {}"),
    )
    return next((name for each, name in names if isinstance(value, each)), type(value).__name__)


def field(
    value: object, name: str, arguments: Sequence[object], absent: Mapping[str, object] | None
) -> object:
    """`.name` of a value, called with `arguments` where it is a function.

    A key that is not there is MISSING; where `absent` is given, what that says, else TemplateError. Go's fields
    are often written otherwise than in JSON (.ID, .APIVersion): only the letters count.
    """
    if isinstance(value, dict):
        if name not in value:
            name = next((key for key in value if str(key).lower() == name.lower()), name)
        if name not in value:
            if absent is not None:
                if name in absent:
                    return absent[name]
                raise TemplateError(f'<.{name}>: map has no entry for key "{name}"')
            return MISSING
        found = value[name]
        if callable(found):
            return found(*arguments)
        if arguments:
            raise TemplateError(f"<.{name}>: {name} is not a method but has arguments")
        return found
    if value is None or value is MISSING or value is NIL:
        raise TemplateError(f"<.{name}>: nil pointer evaluating interface {{}}.{name}")
    raise TemplateError(f"<.{name}>: can't evaluate field {name} in type {kind(value)}")


def index(value: object, *keys: object) -> object:
    """The function `index`: into maps, lists and strings, several levels deep."""
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, MISSING) if isinstance(key, str) else MISSING
        elif isinstance(value, list | tuple | str):
            if not isinstance(key, int) or isinstance(key, bool):
                raise TemplateError(f"error calling index: cannot index slice/array with type {kind(key)}")
            if not 0 <= key < len(value):
                raise TemplateError(f"error calling index: index out of range: {key}")
            value = ord(value[key]) if isinstance(value, str) else value[key]
        elif value is None or value is MISSING:
            raise TemplateError("error calling index: index of untyped nil")
        else:
            raise TemplateError(f"error calling index: can't index item of type {kind(value)}")
    return value


def part(value: object, *bounds: object) -> object:
    """The function `slice`: x[1:2] of a string or list."""
    numbers = [bound for bound in bounds if isinstance(bound, int)]
    if not isinstance(value, str | list) or len(numbers) != len(bounds) or len(numbers) > 2:
        raise TemplateError(f"error calling slice: can't slice item of type {kind(value)}")
    start, end = (numbers + [0, len(value)][len(numbers) :])[:2]
    if not 0 <= start <= end <= len(value):
        raise TemplateError(f"error calling slice: index out of range: {numbers[-1]}")
    return value[start:end]


def length(value: object) -> int:
    """The function `len`: bytes of a string, items of a list or map."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict | list | tuple):
        return len(value)
    raise TemplateError(
        f"error calling len: len of {'nil pointer' if not truth(value) else 'type ' + kind(value)}"
    )


def equal(first: object, *others: object) -> bool:
    """The function `eq`: the first equals one of the others."""
    if not others:
        raise TemplateError("error calling eq: missing argument for comparison")
    return any(_same(first, other) for other in others)


def _same(one: object, other: object) -> bool:
    nothing = (kind(one) == "nil", kind(other) == "nil")
    if any(nothing):
        return all(nothing)
    if isinstance(one, dict | list) or isinstance(other, dict | list):
        raise TemplateError("error calling eq: non-comparable types")
    if kind(one) != kind(other):
        raise TemplateError("error calling eq: incompatible types for comparison")
    return one == other


def less(one: object, other: object) -> bool:
    """The function `lt`, for two numbers or two strings."""
    if isinstance(one, bool) or isinstance(other, bool):
        raise TemplateError("error calling lt: invalid type for comparison")
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one < other
    if isinstance(one, str) and isinstance(other, str):
        return one < other
    raise TemplateError("error calling lt: incompatible types for comparison")
