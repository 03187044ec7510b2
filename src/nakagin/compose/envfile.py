"""Files of variables: `.env` and `env_file`, in Compose's grammar or raw (as `docker run --env-file` reads them).

KEY=value            # a comment needs a blank before it
export KEY: "two\nlines and ${OTHER:-more}"
KEY='as it $stands'
KEY                  the value comes from the environment, or there is none
"""

from __future__ import annotations

import re

from nakagin.compose.interpolate import Lookup, substitute
from nakagin.errors import Invalid, NotFound

_KEY = re.compile(r"(?:export[ \t]+)?([\w.\-\[\]]+)[ \t]*(?:([=:])|(?=\r?\n|$|[ \t]#))")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
#: What a value was in its file: text, or None to take it from outside.
Variables = dict[str, str]


def read(path: str, lookup: Lookup, *, raw: bool = False) -> Variables:
    """The variables of a file; earlier ones may be used in later values. Raises NotFound, Invalid."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise NotFound(f"env file {path} not found") from None
    except OSError as error:
        raise Invalid(f"cannot read the env file: {error.strerror}", where=path) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid("not UTF-8 text", where=path) from None
    return read_raw(text, lookup) if raw else parse(text, lookup, path)


def read_raw(text: str, lookup: Lookup) -> Variables:
    """Lines KEY=VALUE taken as they stand; a lone KEY is looked up."""
    found: Variables = {}
    for line in text.splitlines():
        line = line.lstrip()
        if not line or line.startswith("#"):
            continue
        key, given, value = line.partition("=")
        if given:
            found[key] = value
        elif (outside := lookup(key)) is not None:
            found[key] = outside
    return found


def parse(text: str, lookup: Lookup, file: str) -> Variables:
    """The variables of Compose's grammar."""
    found: Variables = {}

    def known(name: str) -> str | None:
        outside = lookup(name)
        return outside if outside is not None else found.get(name)

    position = 0
    while position < len(text):
        if text[position] in " \t\r\n":
            position += 1
            continue
        if text[position] == "#":
            position = _line_end(text, position)
            continue
        key = _KEY.match(text, position)
        line = text.count("\n", 0, position) + 1
        if key is None:
            bad = text[position : _line_end(text, position)]
            raise Invalid(f"unexpected text in place of KEY=value: {bad[:80]!r}", where=f"{file}:{line}")
        position = key.end()
        name = key[1]
        if not key[2]:
            outside = lookup(name)
            if outside is not None:
                found[name] = outside
            position = _line_end(text, position)
            continue
        try:
            found[name], position = _value(text, position, known)
        except Invalid as error:
            raise Invalid(f"{name}: {error.message}", where=f"{file}:{line}", hint=error.hint) from None
    return found


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _value(text: str, position: int, lookup: Lookup) -> tuple[str, int]:
    while position < len(text) and text[position] in " \t":
        position += 1
    quote = text[position : position + 1]
    if quote not in ("'", '"') or not quote:
        end = _line_end(text, position)
        line = text[position:end].rstrip("\r")
        if comment := re.search(r"[ \t]#", line):
            line = line[: comment.start()]
        return substitute(line.rstrip(), lookup), end
    end = position + 1
    while end < len(text) and text[end] != quote:
        end += 2 if text[end] == "\\" else 1
    if end >= len(text):
        raise Invalid(
            f"unterminated quoted value {text[position : position + 40]}", hint=f"close it with {quote}"
        )
    inside = text[position + 1 : end]
    rest = _line_end(text, end)
    if quote == "'":
        return inside.replace("\\'", "'"), rest
    return substitute(_ESCAPE.sub(_unescape, inside), lookup), rest


def _unescape(found: re.Match[str]) -> str:
    character = found[1]
    if character == "$":
        return "$$"
    return _ESCAPES.get(character) or (character if character in "\"\\'" else found[0])
