"""Path patterns: `.dockerignore`, and `--exclude` of COPY and ADD.

Each segment matches as Go's path.Match does (`*` `?` `[a-z]` `[^a]`, a backslash makes literal); `**` matches any
number of directories. The last pattern that matches decides; `!` takes a path back in. A pattern that matches a
directory matches everything below it.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable


class Pattern(msgspec.Struct, frozen=True):
    """One pattern as written, whether it excludes, and what it matches (the path itself or one above it)."""

    text: str
    excludes: bool
    segments: tuple[str, ...]


class Patterns:
    """An ordered list of patterns, ready to be asked."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Raises Invalid for a malformed pattern."""
        self.patterns = tuple(pattern for text in texts if (pattern := _parse(text)))
        self._forms = [
            (pattern.excludes, re.compile(_regular(pattern.segments))) for pattern in self.patterns
        ]
        self._has_exceptions = any(not pattern.excludes for pattern in self.patterns)

    def __bool__(self) -> bool:
        return bool(self._forms)

    def excludes(self, path: str) -> bool:
        """Whether a path relative to the root (no leading slash) is left out."""
        excluded = False
        for excludes, form in self._forms:
            if excludes != excluded and form.match(path):
                excluded = excludes
        return excluded

    def prunes(self, folder: str) -> bool:
        """Whether nothing below an excluded folder can come back in, so that it need not be looked into."""
        return self.excludes(folder) and not (self._has_exceptions and self._may_return(folder))

    def _may_return(self, folder: str) -> bool:
        depth = folder.count("/") + 1
        parts = folder.split("/")
        for pattern in self.patterns:
            if pattern.excludes:
                continue
            head = pattern.segments[:depth]
            if "**" in head or _matches_segments(head, parts):
                return True
        return False


def read_ignore(text: str) -> list[str]:
    """The patterns of a `.dockerignore`: comments (`#` in the first column) and empty lines are left out."""
    lines = text.removeprefix("\ufeff").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _parse(text: str) -> Pattern | None:
    excludes = not text.startswith("!")
    path = text if excludes else text[1:].strip()
    if not path:
        if excludes:
            return None
        raise Invalid("illegal exclusion pattern: '!'", where=".dockerignore")
    path = posixpath.normpath(path).lstrip("/")
    if path in (".", ""):
        path = "**" if excludes else "."
    return Pattern(text, excludes, tuple(path.split("/")))


def _regular(segments: tuple[str, ...]) -> str:
    """A pattern that matches a path, or any path below it, from its beginning."""
    parts = []
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        if segment == "**":
            parts.append(".*" if last else "(?:.*/)?")
        else:
            parts.append(segment_regular(segment) + ("" if last else "/"))
    return "(?s:" + "".join(parts) + r"(?:/.*)?)\Z"


def segment_regular(segment: str) -> str:
    """One segment of Go's path.Match as a regular expression. Raises Invalid for an unfinished class or escape."""
    parts = []
    at = 0
    while at < len(segment):
        char = segment[at]
        at += 1
        if char == "*":
            parts.append(r"[^/]*")
        elif char == "?":
            parts.append(r"[^/]")
        elif char == "\\":
            if at == len(segment):
                raise Invalid(
                    f"syntax error in pattern {segment!r}", hint="a backslash needs a character after it"
                )
            parts.append(re.escape(segment[at]))
            at += 1
        elif char == "[":
            content, at = _class(segment, at)
            parts.append(content)
        else:
            parts.append(re.escape(char))
    return "".join(parts)


def _class(segment: str, at: int) -> tuple[str, int]:
    """A character class that begins after its bracket, and where the pattern goes on."""
    negated = segment[at : at + 1] == "^"
    at += negated
    content: list[str] = []
    while at < len(segment) and (segment[at] != "]" or not content):
        if segment[at] == "\\":
            at += 1
        content.append("-" if segment[at : at + 1] == "-" and content else re.escape(segment[at : at + 1]))
        at += 1
    if at >= len(segment) or not content:
        raise Invalid(f"syntax error in pattern {segment!r}", hint="a class needs its closing bracket")
    return f"[{'^/' if negated else ''}{''.join(content)}]", at + 1


def _matches_segments(patterns: tuple[str, ...], parts: list[str]) -> bool:
    return all(re.fullmatch(segment_regular(one), part) for one, part in zip(patterns, parts, strict=False))
