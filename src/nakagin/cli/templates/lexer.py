"""Template text → a flat list of texts and actions; an action is a list of tokens."""

from __future__ import annotations

import ast
import re

from nakagin.cli.templates.values import TemplateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    Token = tuple[str, object]

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)
      | (?P<char>'(?:\\.|[^'\\])+')
      | (?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))
      | (?P<field>\.[^\W\d]\w*)
      | (?P<variable>\$\w*)
      | (?P<word>[^\W\d]\w*)
      | (?P<mark>:=|[.|()=,])
    """,
    re.VERBOSE,
)


def lex(text: str) -> list[str | list[Token]]:
    """Texts (str) and actions (tokens) in order; trim markers are applied and comments are gone."""
    pieces: list[str | list[Token]] = []
    position, trim = 0, False
    while True:
        start = text.find("{{", position)
        before = text[position:] if start < 0 else text[position:start]
        before = before.lstrip() if trim else before
        if start < 0:
            pieces.append(before)
            return pieces
        inside = start + 2
        if text.startswith("-", inside) and text[inside + 1 : inside + 2].isspace():
            before, inside = before.rstrip(), inside + 1
        pieces.append(before)
        line = text.count("\n", 0, start) + 1
        if text[inside:].lstrip().startswith("/*"):
            position, trim = _comment(text, inside, line)
            continue
        end = _end_of_action(text, inside, line)
        trim = text[end - 1] == "-" and text[end - 2].isspace() and end - 1 > inside
        pieces.append(_tokens(text[inside : end - 1 if trim else end], line))
        position = end + 2


def _comment(text: str, inside: int, line: int) -> tuple[int, bool]:
    end = text.find("*/", inside)
    if end < 0:
        raise TemplateError(f"template: :{line}: unclosed comment")
    rest = text[end + 2 :]
    closed = rest.lstrip()
    trim = closed.startswith("-}}")
    if not trim and not rest.startswith("}}"):
        raise TemplateError(f"template: :{line}: comment ends before closing delimiter")
    return text.index("}}", end) + 2, trim


def _end_of_action(text: str, position: int, line: int) -> int:
    """Where the closing braces stand: not inside a string."""
    while position < len(text):
        if text.startswith("}}", position):
            return position
        quote = text[position]
        if quote in "\"'`":
            position += 1
            while position < len(text) and text[position] != quote:
                position += 2 if text[position] == "\\" and quote != "`" else 1
        position += 1
    raise TemplateError(f"template: :{line}: unclosed action")


def _tokens(text: str, line: int) -> list[Token]:
    tokens: list[Token] = []
    position = 0
    spaced = True
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise TemplateError(f'template: :{line}: unexpected "{text[position]}" in action')
        kind, word = match.lastgroup or "", match.group()
        position = match.end()
        if kind == "space":
            spaced = True
            continue
        if kind == "field" and not spaced:
            kind = "chain"
        tokens.append((kind, _value(kind, word, line)))
        spaced = False
    return tokens


def _value(kind: str, word: str, line: int) -> object:
    if kind in ("field", "chain"):
        return word[1:]
    if kind == "number":
        return _number(word)
    if kind == "char":
        return ord(str(ast.literal_eval(word)))
    if kind != "string":
        return word
    if word.startswith("`"):
        return word[1:-1]
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError):
        raise TemplateError(f"template: :{line}: bad string {word}") from None


def _number(word: str) -> int | float:
    plain = word.replace("_", "")
    try:
        return int(plain, 0)
    except ValueError:
        return int(plain, 8) if plain.isdigit() else float(plain)
