"""The functions that templates may call: Go's own and those that docker adds."""

from __future__ import annotations

from nakagin.cli.templates.values import (
    MISSING,
    TemplateError,
    equal,
    index,
    length,
    less,
    part,
    show,
    show_float,
    to_json,
    truth,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[..., object]

_FLAGS = "+-# 0"


def printf(form: object, *values: object) -> str:
    """Go's fmt.Sprintf for the verbs that make sense here: %v %s %d %q %t %x %X %o %b %c %e %f %g %%."""
    text = show(form)
    pieces: list[str] = []
    rest = list(reversed(values))
    position = 0
    while position < len(text):
        percent = text.find("%", position)
        if percent < 0:
            pieces.append(text[position:])
            break
        pieces.append(text[position:percent])
        end = percent + 1
        while end < len(text) and text[end] in _FLAGS + "123456789.":
            end += 1
        if end >= len(text):
            pieces.append("%!(NOVERB)")
            break
        pieces.append("%" if text[end] == "%" else _formatted(text[percent + 1 : end], text[end], rest))
        position = end + 1
    if rest:
        extra = ", ".join(f"{_type(value)}={show(value)}" for value in reversed(rest))
        pieces.append(f"%!(EXTRA {extra})")
    return "".join(pieces)


def _formatted(modifiers: str, verb: str, rest: list[object]) -> str:
    if not rest:
        return f"%!{verb}(MISSING)"
    value = rest.pop()
    text = _verb(verb, value, modifiers)
    if text is None:
        return f"%!{verb}({_type(value)}={show(value)})"
    flags = modifiers[: len(modifiers) - len(modifiers.lstrip(_FLAGS))]
    width = modifiers[len(flags) :].partition(".")[0]
    if not width:
        return text
    if "-" in flags:
        return text.ljust(int(width))
    return text.zfill(int(width)) if "0" in flags else text.rjust(int(width))


def _verb(verb: str, value: object, modifiers: str) -> str | None:
    """One value by one verb; None where the verb does not fit it."""
    _, dot, digits = modifiers.partition(".")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if verb == "v":
        return show(value, inside=True)
    if verb == "s" and (isinstance(value, str | list) or not number):
        text = show(value, inside=True)
        return text[: int(digits or 0)] if dot else text
    if verb == "q" and isinstance(value, str):
        return to_json(value)
    if verb == "t" and isinstance(value, bool):
        return show(value)
    if verb in "feg" and isinstance(value, float):
        return format(value, f".{digits or 6}{verb}") if dot or verb != "g" else show_float(value)
    if verb in "dxXob" and isinstance(value, int) and not isinstance(value, bool):
        return ("+" if "+" in modifiers and value >= 0 else "") + format(value, verb)
    if verb == "x" and isinstance(value, str):
        return value.encode().hex()
    return chr(value) if verb == "c" and isinstance(value, int) else None


def _type(value: object) -> str:
    names = {bool: "bool", int: "int", float: "float64", str: "string"}
    return names.get(type(value), "<nil>" if value is None else "map[string]interface {}")


def print_(*values: object) -> str:
    """fmt.Sprint: a space between two values when neither is a string."""
    pieces: list[str] = []
    for position, value in enumerate(values):
        if position and not isinstance(value, str) and not isinstance(values[position - 1], str):
            pieces.append(" ")
        pieces.append(show(value, inside=True))
    return "".join(pieces)


def println(*values: object) -> str:
    """fmt.Sprintln."""
    return " ".join(show(value, inside=True) for value in values) + "\n"


def split(text: object, separator: object) -> list[str]:
    """strings.Split."""
    return list(show(text)) if separator == "" else show(text).split(show(separator))


def join(items: object, separator: object) -> str:
    """strings.Join."""
    if items is None or items is MISSING:
        return ""
    if not isinstance(items, list | tuple):
        raise TemplateError("error calling join: wrong type; expected a list of strings")
    return show(separator).join(show(each, inside=True) for each in items)


def truncate(text: object, size: object) -> str:
    """The first `size` bytes at most."""
    assert isinstance(size, int)
    return show(text)[:size]


def pad(text: object, before: object, after: object) -> str:
    """Spaces on both sides of a text that is not empty."""
    shown = show(text)
    assert isinstance(before, int)
    assert isinstance(after, int)
    return " " * before + shown + " " * after if shown else shown


def title(text: object) -> str:
    """Each word with a capital, the rest as it is (strings.Title)."""
    shown = show(text)
    return "".join(
        letter.upper()
        if position == 0 or not (shown[position - 1].isalnum() or shown[position - 1] in "_'")
        else letter
        for position, letter in enumerate(shown)
    )


def _html(*values: object) -> str:
    from html import escape

    return escape(print_(*values), quote=True).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


def _urlquery(*values: object) -> str:
    from urllib.parse import quote_plus

    return quote_plus(print_(*values))


# `and` and `or` stop early and live in the parser.
FUNCTIONS: dict[str, Function] = {
    "eq": equal,
    "ne": lambda one, other: not equal(one, other),
    "lt": less,
    "le": lambda one, other: less(one, other) or equal(one, other),
    "gt": lambda one, other: not less(one, other) and not equal(one, other),
    "ge": lambda one, other: not less(one, other),
    "not": lambda value: not truth(value),
    "len": length,
    "index": index,
    "slice": part,
    "print": print_,
    "printf": printf,
    "println": println,
    "html": _html,
    "urlquery": _urlquery,
    "json": to_json,
    "split": split,
    "join": join,
    "title": title,
    "lower": lambda text: show(text).lower(),
    "upper": lambda text: show(text).upper(),
    "pad": pad,
    "truncate": truncate,
}
