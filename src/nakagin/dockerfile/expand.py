"""Variables, quotes and escapes in the arguments of an instruction: the shell's rules, as far as Dockerfiles have them.

`$name`, `${name}` and the modifiers `:-` `-` `:+` `+` `:?` `?` `#` `##` `%` `%%` `/` `//`. Values come from the
instruction's environment (ARG and ENV); nothing is ever executed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nakagin.dockerfile.fault import DockerfileError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")
_END = ""


class Lexer:
    """Expands words. `unset` gathers the names that had no value where no modifier gave one.

    `raw_quotes` and `raw_escapes` leave those in the result; `keep_unset` leaves `$name` as written when the name
    has no value.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        escape: str = "\\",
        *,
        raw_quotes: bool = False,
        raw_escapes: bool = False,
        keep_unset: bool = False,
    ) -> None:
        self._environment = environment
        self._escape = escape
        self._raw_quotes = raw_quotes
        self._raw_escapes = raw_escapes
        self._keep_unset = keep_unset
        self.unset: set[str] = set()

    def word(self, text: str) -> str:
        """The text as one word, blanks and all. Raises DockerfileError for unfinished quotes or braces."""
        return "".join(piece for piece, _ in self._pieces(text))

    def text(self, text: str) -> str:
        """Only variables filled in: quotes stay, and escapes are taken only before `$` and themselves (heredocs)."""
        reader = _Reader(text)
        content = []
        while (char := reader.take()) != _END:
            if char == "$":
                content.append(self._variable(reader))
            elif char == self._escape and reader.peek() in ("$", self._escape):
                content.append(reader.take())
            else:
                content.append(char)
        return "".join(content)

    def words(self, text: str) -> list[str]:
        """The text cut at blanks outside of quotes; a variable's value is cut too where it stands unquoted."""
        words: list[str] = []
        word: str | None = None
        for piece, quoted in self._pieces(text):
            if quoted:
                word = (word or "") + piece
                continue
            for part in re.split(r"(\s+)", piece):
                if not part:
                    continue
                if not part.isspace():
                    word = (word or "") + part
                elif word is not None:
                    words.append(word)
                    word = None
        return words if word is None else [*words, word]

    def _pieces(self, text: str) -> list[tuple[str, bool]]:
        reader = _Reader(text)
        return self._until(reader, _END, raw_escapes=self._raw_escapes)

    def _until(self, reader: _Reader, stop: str, *, raw_escapes: bool) -> list[tuple[str, bool]]:
        """Pieces up to the stop character, which is taken; True: nothing in the piece separates words."""
        pieces: list[tuple[str, bool]] = []
        while (char := reader.take()) != _END:
            if char == stop:
                return pieces
            if char == "'":
                pieces.append((self._single(reader), True))
            elif char == '"':
                pieces.append((self._double(reader), True))
            elif char == "$":
                pieces.append((self._variable(reader), False))
            elif char == self._escape:
                pieces.append((self._escaped(reader, raw=raw_escapes), True))
            else:
                pieces.append((char, False))
        if stop != _END:
            raise DockerfileError(f"unexpected end of statement while looking for matching {stop}")
        return pieces

    def _escaped(self, reader: _Reader, *, raw: bool) -> str:
        following = reader.take()
        return self._escape + following if raw else following

    def _single(self, reader: _Reader) -> str:
        content = reader.take_until("'")
        if content is None:
            raise DockerfileError("unexpected end of statement while looking for matching single-quote")
        return f"'{content}'" if self._raw_quotes else content

    def _double(self, reader: _Reader) -> str:
        content = []
        while (char := reader.take()) != '"':
            if char == _END:
                raise DockerfileError("unexpected end of statement while looking for matching double-quote")
            if char == "$":
                content.append(self._variable(reader))
            elif char == self._escape:
                content.append(self._escaped_in_double(reader))
            else:
                content.append(char)
        text = "".join(content)
        return f'"{text}"' if self._raw_quotes else text

    def _escaped_in_double(self, reader: _Reader) -> str:
        if self._raw_escapes:
            return self._escape + reader.take()
        following = reader.peek()
        if following in ('"', "$", self._escape) and following != _END:
            return reader.take()
        return self._escape

    # --- Variables

    def _variable(self, reader: _Reader) -> str:
        if reader.peek() != "{":
            name = reader.take_name()
            return self._value(name, f"${name}") if name else "$"
        reader.take()
        if reader.peek() in ("{", "}", ":"):
            raise DockerfileError("syntax error: bad substitution")
        name = reader.take_name()
        modifier = reader.take()
        if modifier == _END:
            raise DockerfileError("syntax error: missing '}'")
        if modifier == "}":
            return self._value(name, f"${{{name}}}")
        try:
            return self._modified(reader, name, modifier)
        except DockerfileError as error:
            if "looking for matching }" in error.message:
                raise DockerfileError("syntax error: missing '}'") from None
            raise

    def _value(self, name: str, written: str) -> str:
        value = self._environment.get(name)
        if value is not None:
            return value
        self.unset.add(name)
        return written if self._keep_unset else ""

    def _modified(self, reader: _Reader, name: str, modifier: str) -> str:
        value = self._environment.get(name)
        if modifier == "/":
            return self._replaced(reader, name)
        empty_counts = modifier == ":"
        kind = reader.take() if empty_counts else modifier
        written = modifier + kind if empty_counts else kind
        if kind not in ("-", "+", "?", "#", "%") or (empty_counts and kind in "#%"):
            raise DockerfileError(f"unsupported modifier ({written}) in substitution")
        raw = "".join(piece for piece, _ in self._until(reader, "}", raw_escapes=kind in "#%"))
        if self._keep_unset and value is None:
            return f"${{{name}{written}{raw}}}"
        present = value is not None and not (empty_counts and not value)
        if kind == "-":
            return value if present and value is not None else raw
        if kind == "+":
            return raw if present else ""
        if kind == "?":
            return self._required(name, value, raw, present=present)
        text = self._value(name, "")
        greedy = raw.startswith(kind)
        return (_without_prefix if kind == "#" else _without_suffix)(
            text, raw.removeprefix(kind), greedy=greedy
        )

    def _required(self, name: str, value: str | None, words: str, *, present: bool) -> str:
        if present and value is not None:
            return value
        missing = "unset" if value is None else "empty"
        raise DockerfileError(f"{name}: {words or f'is not allowed to be {missing}'}")

    def _replaced(self, reader: _Reader, name: str) -> str:
        everywhere = reader.peek() == "/"
        if everywhere:
            reader.take()
        pattern = "".join(piece for piece, _ in self._until(reader, "/", raw_escapes=True))
        replacement = "".join(piece for piece, _ in self._until(reader, "}", raw_escapes=False))
        value = self._value(name, "")
        form = re.compile(_regular(pattern, greedy=True), re.DOTALL)
        return form.sub(lambda _: replacement, value, count=0 if everywhere else 1)


class _Reader:
    """A text and a place in it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def take(self) -> str:
        char = self.peek()
        self._at += len(char)
        return char

    def take_until(self, stop: str) -> str | None:
        end = self._text.find(stop, self._at)
        if end < 0:
            return None
        content = self._text[self._at : end]
        self._at = end + 1
        return content

    def take_name(self) -> str:
        match = _NAME.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]


# --- Patterns: `?` is one character, `*` any number, a backslash makes the next one literal


def _regular(pattern: str, *, greedy: bool) -> str:
    parts = []
    chars = iter(pattern)
    for char in chars:
        if char == "*":
            parts.append(".*" if greedy else ".*?")
        elif char == "?":
            parts.append(".")
        elif char == "\\":
            parts.append(re.escape(_literal(next(chars, _END))))
        else:
            parts.append(re.escape(char))
    return "".join(parts)


def _literal(char: str) -> str:
    if char not in ("*", "?", "\\", "/", "}") or char == _END:
        raise DockerfileError(f"invalid escape '\\{char}' in a pattern", hint="\\*, \\? and \\\\ are known")
    return char


def _without_prefix(value: str, pattern: str, *, greedy: bool) -> str:
    match = re.compile(_regular(pattern, greedy=greedy), re.DOTALL).match(value)
    return value[match.end() :] if match else value


def _without_suffix(value: str, pattern: str, *, greedy: bool) -> str:
    """The shortest suffix is found from the end: by the mirrored pattern in the mirrored value."""
    return _without_prefix(value[::-1], _mirrored(pattern), greedy=greedy)[::-1]


def _mirrored(pattern: str) -> str:
    return "".join(reversed(re.findall(r"\\.|.", pattern, re.DOTALL)))
