"""Text to nodes: logical lines (comments, continuations, heredocs), then each instruction's own grammar."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from nakagin.dockerfile.directives import Directives, parse_directives
from nakagin.dockerfile.expand import Lexer
from nakagin.dockerfile.fault import DockerfileError
from nakagin.dockerfile.nodes import Heredoc, Node
from nakagin.dockerfile.words import (
    json_strings,
    split_blanks,
    split_flags,
    split_keyword,
    split_pairs,
    split_words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BOM = "\ufeff"
_HEREDOC = re.compile(r"(\d*)<<(-?)([^<]+)")
_WITH_HEREDOCS = frozenset({"ADD", "COPY", "RUN"})


class _Line(msgspec.Struct, frozen=True):
    """A logical line: continuations joined, comments inside taken out."""

    text: str
    start: int
    end: int
    comments: tuple[str, ...]
    gaps: tuple[int, ...]


class Parsed(msgspec.Struct, frozen=True):
    """A whole file."""

    directives: Directives
    nodes: tuple[Node, ...]


def parse(text: str) -> Parsed:
    """Raises DockerfileError, with the line. Keywords need not be known: `decode` says which are."""
    directives = parse_directives(text)
    source = _Source(text.removeprefix(_BOM), directives.escape, directives.lines)
    nodes = tuple(_nodes(source, directives.escape))
    if not nodes:
        raise DockerfileError("file with no instructions")
    return Parsed(directives, nodes)


def parse_one(text: str, escape: str = "\\") -> Node:
    """One instruction alone, such as a trigger of ONBUILD or a `--change`."""
    node = next(_nodes(_Source(text, escape), escape), None)
    if node is None:
        raise DockerfileError("file with no instructions")
    return node


class _Source:
    """The physical lines of a file, read once from top to bottom."""

    def __init__(self, text: str, escape: str, first: int = 0) -> None:
        self._lines = text.split("\n")
        if self._lines[-1] == "":
            self._lines.pop()
        self._next = first
        e = re.escape(escape)
        self._continues = re.compile(rf"(^|[^{e}]){e}[ \t]*$")

    @property
    def number(self) -> int:
        """How many lines were read."""
        return self._next

    def read(self) -> str | None:
        """The next physical line without its newline."""
        if self._next == len(self._lines):
            return None
        self._next += 1
        return self._lines[self._next - 1]

    def logical(self) -> _Line | None:
        """The next logical line; None at the end. Empty lines and comments between instructions are passed over."""
        comments: list[str] = []
        while (raw := self.read()) is not None:
            line = raw.rstrip("\r").lstrip()
            if line.startswith("#"):
                comments.append(line[1:].strip())
                continue
            if not line:
                comments.clear()
                continue
            return self._continued(line, tuple(comments))
        return None

    def _continued(self, line: str, comments: tuple[str, ...]) -> _Line:
        start = self.number
        gaps = []
        text, goes_on = self._cut(line)
        while goes_on and (raw := self.read()) is not None:
            line = raw.rstrip("\r")
            bare = line.lstrip()
            if bare.startswith("#"):
                continue
            if not bare:
                gaps.append(self.number)
                continue
            part, goes_on = self._cut(line)
            text += part
        return _Line(text, start, self.number, comments, tuple(gaps))

    def _cut(self, line: str) -> tuple[str, bool]:
        cut = self._continues.sub(r"\1", line)
        return cut, cut != line

    def heredoc(self, heredoc: Heredoc, start: int) -> Heredoc:
        """The document up to its terminator. Raises DockerfileError when there is none."""
        content: list[str] = []
        while (raw := self.read()) is not None:
            line = raw.rstrip("\r")
            if (line.lstrip("\t") if heredoc.chomp else line) == heredoc.name:
                return msgspec.structs.replace(heredoc, content="".join(content))
            content.append(raw + "\n")
        raise DockerfileError(
            "unterminated heredoc", start=start, hint=f"a line with nothing but {heredoc.name} ends it"
        )


def _nodes(source: _Source, escape: str) -> Iterator[Node]:
    while (line := source.logical()) is not None:
        if not line.text.strip():
            continue
        try:
            node = _node(line.text, escape)
            heredocs = tuple(source.heredoc(each, line.start) for each in _heredocs(node, line.text))
        except DockerfileError as error:
            raise error.at(line.start, source.number) from None
        yield _placed(node, line, source.number, heredocs)


def _placed(node: Node, line: _Line, end: int, heredocs: tuple[Heredoc, ...]) -> Node:
    bodies = "".join(f"{each.content}{each.name}\n" for each in heredocs)
    trigger = node.trigger and msgspec.structs.replace(
        node.trigger, start=line.start, end=end, heredocs=heredocs
    )
    return msgspec.structs.replace(
        node,
        start=line.start,
        end=end,
        original=f"{line.text}\n{bodies}" if heredocs else line.text,
        heredocs=() if trigger else heredocs,
        trigger=trigger,
        comments=line.comments,
        gaps=line.gaps,
    )


def _heredocs(node: Node, line: str) -> list[Heredoc]:
    """The heredocs that a line announces, still without content."""
    inner = node.trigger or node
    if inner.keyword not in _WITH_HEREDOCS or inner.json or "<<" not in line:
        return []
    try:
        words = Lexer({}, raw_quotes=True, raw_escapes=True, keep_unset=True).words(line)
    except DockerfileError:  # quotes that a shell, not we, must match
        return []
    return [heredoc for word in words if (heredoc := _announced(word))]


def _announced(word: str) -> Heredoc | None:
    match = _HEREDOC.fullmatch(word)
    if match is None:
        return None
    descriptor, dash, name = match.groups()
    plain = Lexer({}, keep_unset=True).words(name)
    if len(plain) != 1:
        return None
    return Heredoc(plain[0], "", expand=plain[0] == name, chomp=bool(dash), descriptor=int(descriptor or 0))


# --- The grammar of each instruction: the text after its flags becomes values

_Fields = dict[str, object]


def _node(line: str, escape: str) -> Node:
    spelling, rest = split_keyword(line)
    flags, rest = split_flags(rest)
    keyword = spelling.upper()
    grammar = _GRAMMAR.get(keyword, _nothing)
    fields = {
        "keyword": keyword,
        "spelling": spelling,
        "flags": flags,
        "rest": rest,
        **grammar(keyword, rest, escape),
    }
    return msgspec.convert(fields, Node)


def _nothing(_keyword: str, _rest: str, _escape: str) -> _Fields:
    return {}


def _string(_keyword: str, rest: str, _escape: str) -> _Fields:
    return {"values": (rest,) if rest else ()}


def _list(_keyword: str, rest: str, _escape: str) -> _Fields:
    return {"values": split_blanks(rest)}


def _quoted_list(_keyword: str, rest: str, escape: str) -> _Fields:
    return {"values": split_words(rest, escape)}


def _array_or(otherwise: Callable[[str, str, str], _Fields]) -> Callable[[str, str, str], _Fields]:
    """A JSON array of strings, or else another grammar."""

    def grammar(keyword: str, rest: str, escape: str) -> _Fields:
        words = json_strings(rest)
        if words is not None:
            return {"values": words, "json": True}
        return {**otherwise(keyword, rest, escape), "broken_json": rest.startswith("[")}

    return grammar


def _pairs(keyword: str, rest: str, escape: str) -> _Fields:
    values, legacy = split_pairs(keyword, rest, escape)
    return {"values": values, "legacy": legacy}


def _health(keyword: str, rest: str, escape: str) -> _Fields:
    kind, *command = rest.split(None, 1)[:2] if rest else ("",)
    if not kind:
        return {}
    fields = _command(keyword, command[0] if command else "", escape)
    return {**fields, "values": (kind, *fields["values"])}  # type: ignore[misc]


def _trigger(_keyword: str, rest: str, escape: str) -> _Fields:
    return {"trigger": _node(rest, escape), "values": (rest,)} if rest else {}


_command = _array_or(_string)
_paths = _array_or(_list)
_GRAMMAR: dict[str, Callable[[str, str, str], _Fields]] = {
    "ADD": _paths,
    "ARG": _quoted_list,
    "CMD": _command,
    "COPY": _paths,
    "ENTRYPOINT": _command,
    "ENV": _pairs,
    "EXPOSE": _list,
    "FROM": _list,
    "HEALTHCHECK": _health,
    "LABEL": _pairs,
    "MAINTAINER": _string,
    "ONBUILD": _trigger,
    "RUN": _command,
    "SHELL": _command,
    "STOPSIGNAL": _string,
    "USER": _string,
    "VOLUME": _paths,
    "WORKDIR": _string,
}
KEYWORDS = frozenset(_GRAMMAR)
