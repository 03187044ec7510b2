"""`--chmod` of COPY and ADD: octal digits, or the symbolic modes of chmod(1) (`u=rwX,go=rX`, `+x`, `g=u`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nakagin.errors import Invalid
from nakagin.storage.tarread import DIRECTORY, Entry

if TYPE_CHECKING:
    from collections.abc import Callable

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile(r"([-+=])([rwxXst]*|[ugo])")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}


def parse_mode(text: str) -> Callable[[Entry], int]:
    """What turns a file's mode into the wanted one. Raises Invalid."""
    if re.fullmatch(r"[0-7]{1,4}", text):
        number = int(text, 8)
        return lambda _: number
    clauses = [_CLAUSE.fullmatch(part) for part in text.split(",")]
    if not text or None in clauses:
        raise Invalid(f"invalid chmod parameter: {text!r}", hint="write octal digits (0755) or u=rwX,go=rX")
    steps = [
        (match[1].replace("a", "ugo") or "ugo", action, what)
        for match in clauses
        if match is not None
        for action, what in _ACTION.findall(match[2])
    ]

    def change(entry: Entry) -> int:
        mode = entry.mode
        for who, action, what in steps:
            mode = _changed(mode, who, action, what, folder=entry.type == DIRECTORY)
        return mode

    return change


def _changed(mode: int, who: str, action: str, what: str, *, folder: bool) -> int:
    wanted = cleared = 0
    for one in who:
        shift = _SHIFT[one]
        cleared |= 7 << shift
        wanted |= _permissions(mode, what, folder=folder) << shift
        if "s" in what and one in "ug":
            wanted |= 0o4000 if one == "u" else 0o2000
    if "t" in what:
        wanted |= 0o1000
    if action == "+":
        return mode | wanted
    return mode & ~wanted if action == "-" else (mode & ~cleared) | wanted


def _permissions(mode: int, what: str, *, folder: bool) -> int:
    if what in _SHIFT:
        return mode >> _SHIFT[what] & 7
    bits = sum(_BITS[each] for each in set(what) & set(_BITS))
    return bits | 1 if "X" in what and (folder or mode & 0o111) else bits
