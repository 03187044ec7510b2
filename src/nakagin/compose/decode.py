"""Values of a tree into the typed model, guided by its annotations: "yes" becomes true where a boolean belongs.

The forms `Size`, `Duration`, `Command` … of `parts` say how a text is read. Errors name the place in the file.
"""

from __future__ import annotations

import shlex
import struct
from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from nakagin.compose.short import text_of
from nakagin.compose.tree import Mapping, Path, Sequence, Value, wrong
from nakagin.errors import Invalid
from nakagin.spec.duration import parse_duration
from nakagin.spec.size import parse_size

T = TypeVar("T", bound=msgspec.Struct)
#: (value, path) → what the field holds. Any: the type is known by annotations alone.
Decoder = Callable[[Value, Path], Any]

_TRUE, _FALSE = {"true", "y", "yes", "on", "1", "t"}, {"false", "n", "no", "off", "0", "f"}


def decode(root: Mapping, value: Value, kind: type[T], path: Path) -> T:
    """The `kind` that stands at `path`. Raises Invalid with file, line and key."""
    try:
        made: T = _decoder_of_struct(kind)(value, path)
    except _Unfit as error:
        raise wrong(root, error.path, error.message, error.hint) from None
    return made


class _Unfit(Exception):
    def __init__(self, path: Path, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.path, self.message, self.hint = path, message, hint


_structs: dict[type, Decoder] = {}


def _decoder_of_struct(kind: type[msgspec.Struct]) -> Decoder:
    if kind not in _structs:
        _structs[kind] = _struct(kind)
    return _structs[kind]


def _struct(kind: type[msgspec.Struct]) -> Decoder:
    """What a file does not mention needs no decoder: each is made when its key comes up first."""
    kinds = get_type_hints(kind, include_extras=True)
    needed = _required(kind)
    decoders: dict[str, Decoder] = {}

    def decoded(value: Value, path: Path) -> Any:
        given: dict[str, Any] = {name: _empty(kinds[name]) for name in needed}
        if isinstance(value, Mapping):
            for key, each in value.items():
                if key in kinds and (each is not None or key in needed):
                    if key not in decoders:
                        decoders[key] = _decoder(kinds[key])
                    given[key] = decoders[key](each, (*path, key))
        return kind(**given)

    return decoded


def _required(kind: type[msgspec.Struct]) -> list[str]:
    names, defaults = kind.__struct_fields__, kind.__struct_defaults__
    without = list(names[: len(names) - len(defaults)])
    late = zip(names[len(without) :], defaults, strict=True)
    return without + [name for name, default in late if default is msgspec.NODEFAULT]


def _empty(kind: Any) -> Any:
    """What a field without a default holds where nothing is said."""
    if get_origin(kind) is Annotated:
        return _empty(kind.__origin__)
    if _is_struct(kind):
        return _decoder_of_struct(kind)(None, ())
    return kind() if kind in (bool, int, str) else None


def _decoder(kind: Any) -> Decoder:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        form = next((each.extra["form"] for each in kind.__metadata__ if "form" in (each.extra or {})), "")
        return _form(_FORMS[form]) if form else _decoder(kind.__origin__)
    if origin in (Union, UnionType):
        return _union(arguments)
    if origin is list:
        return _list(_decoder(arguments[0]))
    if origin is dict:
        return _map(_decoder(arguments[1]), nullable=type(None) in get_args(arguments[1]))
    if _is_struct(kind):
        return lambda value, path: _decoder_of_struct(kind)(value, path)
    plain = {bool: _boolean, int: _integer, str: text_of}.get(kind)
    return _form(plain) if plain else lambda value, path: value


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _union(kinds: tuple[Any, ...]) -> Decoder:
    structs = [each for each in kinds if _is_struct(each)]
    others = [each for each in kinds if not _is_struct(each) and each is not type(None)]
    if float in others:
        scalar: Decoder = _form(_number)
    else:
        scalar = _decoder(others[0]) if others else lambda value, path: value
    inner = _decoder(structs[0]) if structs else scalar

    def decoded(value: Value, path: Path) -> Any:
        if value is None:
            return None
        if isinstance(value, Mapping):
            return inner(value, path)
        # A number beside a struct is a limit; Compose prints one of 0 as the struct with nothing in it.
        return scalar(value, path) or (inner(Mapping(), path) if structs and others else scalar(value, path))

    return decoded


def _list(item: Decoder) -> Decoder:
    def decoded(value: Value, path: Path) -> list[Any]:
        items = value if isinstance(value, Sequence) else [value]
        return [item(each, (*path, index)) for index, each in enumerate(items)]

    return decoded


def _map(item: Decoder, *, nullable: bool) -> Decoder:
    def decoded(value: Value, path: Path) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            return {}
        return {
            key: None if each is None and nullable else item(each, (*path, key))
            for key, each in sorted(value.items())
            if not (isinstance(each, Mapping | Sequence) and key.startswith("x-"))
        }

    return decoded


def _form(read: Callable[[Value], Any]) -> Decoder:
    def decoded(value: Value, path: Path) -> Any:
        try:
            return read(value)
        except Invalid as error:
            raise _Unfit(path, error.message, error.hint) from None

    return decoded


def _boolean(value: Value) -> bool:
    if isinstance(value, bool):
        return value
    text = text_of(value).lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise Invalid(f"{text!r} is neither true nor false")


def _integer(value: Value) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int):
        return int(value)
    try:
        return int(text_of(value).strip())
    except ValueError:
        raise Invalid(f"{text_of(value)!r} is not a whole number") from None


def _number(value: Value) -> int | float:
    """A number as Go's float32 prints it: the shortest text that means it."""
    try:
        number = float(text_of(value))
    except ValueError:
        raise Invalid(f"{text_of(value)!r} is not a number") from None
    single = struct.unpack("f", struct.pack("f", number))[0]
    for digits in range(1, 10):
        short = float(f"{single:.{digits}g}")
        if struct.unpack("f", struct.pack("f", short))[0] == single:
            return int(short) if short.is_integer() else short
    return single  # type: ignore[no-any-return]


def _size(value: Value) -> str:
    if isinstance(value, float):
        value = int(value)
    text = text_of(value).strip()
    try:
        number = int(text) if text.lstrip("-").isdecimal() else parse_size(text)
    except Invalid:
        raise Invalid(f"invalid size: {text!r}", hint="write 64m, 1.5g or a number of bytes") from None
    return str(number) if number else ""


def _duration(value: Value) -> str:
    return go_duration(parse_long_duration(text_of(value)))


def _delay(value: Value) -> str:
    return "" if (text := _duration(value)) == "0s" else text


def parse_long_duration(text: str) -> int:
    """Nanoseconds of a duration that may also have days and weeks ("1w2d3h")."""
    total, rest = 0, text.strip()
    for unit, seconds in (("w", 7 * 86400), ("d", 86400)):
        number, found, after = rest.partition(unit)
        if found and number.isdecimal():
            total, rest = total + int(number) * seconds * 10**9, after
    return total + (parse_duration(rest) if rest or not total else 0)


def go_duration(nanoseconds: int) -> str:
    """Go's text of a duration: 90 s is "1m30s", 1500 ms "1.5s"."""
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest == 0:
        return "0s"
    for limit, scale, unit in ((10**3, 1, "ns"), (10**6, 10**3, "µs"), (10**9, 10**6, "ms")):
        if rest < limit:
            return f"{sign}{_fraction(rest, scale)}{unit}"
    seconds = rest % (60 * 10**9)
    minutes = rest // (60 * 10**9)
    text = f"{_fraction(seconds, 10**9)}s"
    if minutes:
        text = f"{minutes % 60}m{text}"
    if minutes >= 60:
        text = f"{minutes // 60}h{text}"
    return sign + text


def _fraction(number: int, scale: int) -> str:
    whole, part = divmod(number, scale)
    digits = f"{part:0{len(str(scale)) - 1}d}".rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _command(value: Value) -> list[str] | None:
    if value is None:
        return None
    if isinstance(value, Sequence):
        return [text_of(each) for each in value]
    try:
        return shlex.split(text_of(value))
    except ValueError as error:
        raise Invalid(f"not a command line: {error}") from None


def _test(value: Value) -> list[str]:
    if isinstance(value, Sequence):
        return [text_of(each) for each in value]
    return ["CMD-SHELL", text_of(value)]


def _octal(value: Value) -> str:
    if isinstance(value, int):
        return f"0{value:o}"
    try:
        return f"0{int(text_of(value), 8):o}"
    except ValueError:
        raise Invalid(f"{text_of(value)!r} is not a file mode", hint='write "0440"') from None


def _permission_bits(value: Value) -> int:
    return value if isinstance(value, int) else int(_octal(value), 8)


_FORMS: dict[str, Callable[[Value], Any]] = {
    "size": _size,
    "duration": _duration,
    "delay": _delay,
    "command": _command,
    "test": _test,
    "octal": _octal,
    "bits": _permission_bits,
}
