"""Go's habits of JSON, which Docker's clients rely on: null anywhere, keys in any case, `omitempty`.

`decode` makes a document type of `spec.docker` from a client's bytes; `document` makes what the engine shows.
Whatever the client got wrong becomes Invalid, naming the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from nakagin.errors import Invalid

T = TypeVar("T", bound=msgspec.Struct)

#: Meta(extra=WORDS): a list of strings that may also be sent as one string (Go's strslice.StrSlice).
WORDS = {"words": True}

Cleaner = Callable[[Any], Any]

_plain_decoder = msgspec.json.Decoder()
_cleaners: dict[type, Cleaner] = {}
_place = re.compile(r"(?P<problem>.*?) - at `(?P<path>[^`]*)`$", re.DOTALL)


def decode(raw: bytes, kind: type[T]) -> T:
    """The `kind` that a client's JSON `raw` describes; an empty body is an empty object.

    Null stands for "not given" (and for the zero value inside lists and maps), keys match in any case,
    unknown keys are ignored. Raises Invalid: "invalid request body: HostConfig.Memory: expected `int`, ...".
    """
    try:
        tree = _plain_decoder.decode(raw) if raw.strip() else {}
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Invalid(f"invalid JSON: {error}") from None
    return convert({} if tree is None else tree, kind)


def convert(tree: object, kind: type[T]) -> T:
    """As `decode`, from decoded JSON."""
    cleaner = _cleaners.get(kind)
    if cleaner is None:
        cleaner = _cleaners[kind] = _struct_cleaner(inspect.type_info(kind))
    try:
        return msgspec.convert(cleaner(tree), kind)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None


def _invalid(text: str) -> Invalid:
    found = _place.match(text)
    problem, path = (found["problem"], found["path"].removeprefix("$").lstrip(".")) if found else (text, "")
    problem = problem[:1].lower() + problem[1:]
    return Invalid(f"invalid request body: {path}: {problem}" if path else f"invalid request body: {problem}")


def _zero(kind: inspect.Type) -> Any:
    """What Go stores when null is decoded into a value of `kind` inside a list or map."""
    match kind:
        case inspect.StrType():
            return ""
        case inspect.BoolType():
            return False
        case inspect.IntType():
            return 0
        case inspect.VarTupleType() | inspect.ListType():
            return []
        case inspect.StructType() | inspect.DictType():
            return {}
        case _:
            return None


def _cleaner_of(kind: inspect.Type) -> Cleaner | None:
    """The function that rids a value of `kind` of Go's liberties, or None where there is nothing to do."""
    match kind:
        case inspect.Metadata(type=inner, extra=extra):
            cleaner = _cleaner_of(inner)
            return _words_cleaner(cleaner) if extra and extra.get("words") else cleaner
        case inspect.UnionType(types=types):
            return next((found for each in types if (found := _cleaner_of(each))), None)
        case inspect.StructType():
            return _struct_cleaner(kind)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return _list_cleaner(_cleaner_of(item), _zero(item))
        case inspect.DictType(value_type=value):
            return _map_cleaner(_cleaner_of(value), _zero(value))
        case _:
            return None


def _words_cleaner(cleaner: Cleaner | None) -> Cleaner:
    def clean(value: Any) -> Any:
        if isinstance(value, str):
            return [value]
        return cleaner(value) if cleaner else value

    return clean


def _list_cleaner(item: Cleaner | None, zero: Any) -> Cleaner:
    def clean(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        if None in value:
            value = [zero if each is None else each for each in value]
        return [item(each) for each in value] if item else value

    return clean


def _map_cleaner(item: Cleaner | None, zero: Any) -> Cleaner:
    def clean(value: Any) -> Any:
        if not isinstance(value, dict) or not value:
            return value
        filled = {key: zero if each is None else each for key, each in value.items()}
        return {key: item(each) for key, each in filled.items()} if item else filled

    return clean


def _struct_cleaner(kind: inspect.Type) -> Cleaner:
    assert isinstance(kind, inspect.StructType)
    fields: dict[str, tuple[str, Cleaner | None]] = {}
    for field in kind.fields:
        fields[field.encode_name] = (field.encode_name, _cleaner_of(field.type))
    folded = {name.lower(): entry for name, entry in fields.items()}

    def clean(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        cleaned = {}
        for key, each in value.items():
            if each is None:
                continue
            entry = fields.get(key) or folded.get(key.lower())
            if entry is not None:
                name, cleaner = entry
                cleaned[name] = cleaner(each) if cleaner else each
        return cleaned

    return clean


def document(value: msgspec.Struct) -> dict[str, Any]:
    """`value` as the engine shows it: builtins with JSON names.

    Fields in the class's `omit_empty` are left out when empty, those in `null_empty` become null, as in Go.
    """
    kind = type(value)
    omit: frozenset[str] = getattr(kind, "omit_empty", frozenset())
    null: frozenset[str] = getattr(kind, "null_empty", frozenset())
    shown = {}
    for field, name in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
        each = getattr(value, field)
        if not each:
            if field in omit:
                continue
            if field in null:
                each = None
        shown[name] = _shown(each)
    return shown


def _shown(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return document(value)
    if isinstance(value, Mapping):
        return {key: _shown(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_shown(each) for each in value]
    return value
