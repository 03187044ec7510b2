"""Command-line flags as Docker's own parser (pflag) reads them: tables of flags in, options and arguments out.

`--name value`, `--name=value`, `-n value`, `-nvalue`, `-n=value`, clusters `-it`, `--bool=false`, `--` ends. Pure.
Why this and not click stands in docs/decisions/032-own-flag-parser.md.
"""

from __future__ import annotations

from nakagin.cli.quantities import parse_bytes, parse_cpus, parse_duration, parse_integer, parse_swap
from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Checker = Callable[[str], object]


class UsageError(Invalid):
    """The command line is wrong; `command` is filled in by whoever knows it, so that its usage can be shown."""


class HelpAsked(Exception):
    """--help was among the flags."""


def _filter(text: str) -> str:
    if "=" not in text:
        raise ValueError("bad format of filter (expected name=value)")
    return text


# kind (the word in the help text) → (check one value, default); a list default collects values.
KINDS: dict[str, tuple[Checker, object]] = {
    "string": (str, ""),
    "int": (parse_integer, 0),
    "uint": (lambda text: parse_integer(text, least=0), 0),
    "uint16": (lambda text: parse_integer(text, least=0, most=65535), 0),
    "duration": (parse_duration, 0),
    "bytes": (parse_bytes, 0),
    "swap": (parse_swap, 0),
    "decimal": (parse_cpus, 0),
    "list": (str, []),
    "strings": (str, []),
    "map": (str, []),
    "filter": (_filter, []),
    "network": (str, []),
    "mount": (str, []),
    "ulimit": (str, []),
    "gpu-request": (str, []),
}
_PLACEHOLDER = {"swap": "bytes"}
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


class Flag:
    """One flag. `same_as` makes it another (hidden) spelling; `check` converts or refuses one value (ValueError)."""

    __slots__ = ("check", "default", "help", "hidden", "kind", "name", "same_as", "short")

    def __init__(
        self,
        name: str,
        short: str,
        kind: str,
        help: str,  # noqa: A002 -- the parser's word
        default: object = None,
        *,
        check: Checker | None = None,
        hidden: bool = False,
        same_as: str = "",
    ) -> None:
        self.name = name
        self.short = short
        self.kind = kind
        self.help = help
        self.default = default
        self.check = check
        self.hidden = hidden or bool(same_as)
        self.same_as = same_as or name

    @property
    def placeholder(self) -> str:
        """The word for its value in help texts; empty for a switch."""
        return "" if self.kind == "bool" else _PLACEHOLDER.get(self.kind, self.kind)

    @property
    def display(self) -> str:
        """ "-m, --memory" as error messages name it."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


class Options:
    """The flags' values: what was given, else the defaults. The getters say the type the flag's kind has."""

    __slots__ = ("_given", "_table")

    def __init__(self, table: dict[str, Flag]) -> None:
        self._table = table
        self._given: dict[str, object] = {}

    def given(self, name: str) -> bool:
        """The flag stood on the command line."""
        return name in self._given

    def has(self, name: str) -> bool:
        """The verb knows such a flag."""
        return name in self._table

    def _value(self, name: str) -> object:
        if name in self._given:
            return self._given[name]
        flag = self._table[name]
        if flag.default is not None:
            return flag.default
        return False if flag.kind == "bool" else KINDS[flag.kind][1]

    def on(self, name: str) -> bool:
        """A switch."""
        return bool(self._value(name))

    def text(self, name: str) -> str:
        """A string; of a flag given more than once, the last."""
        value = self._value(name)
        return value if isinstance(value, str) else str(value or "")

    def number(self, name: str) -> int:
        """An integer: a count, bytes, nanoseconds or billionths of a CPU, as the kind says."""
        value = self._value(name)
        assert isinstance(value, int), name
        return value

    def many(self, name: str) -> list[str]:
        """All values of a collecting flag, in order."""
        value = self._value(name)
        assert isinstance(value, list), name
        return list(value)

    def values(self, name: str) -> list[Any]:
        """All values of a collecting flag whose check made something else of the text."""
        value = self._value(name)
        assert isinstance(value, list), name
        return list(value)

    def take(self, flag: Flag, text: str) -> None:
        """Record one value; UsageError where the flag's kind or check refuses it."""
        check, empty = (_switch, False) if flag.kind == "bool" else KINDS[flag.kind]
        try:
            value = (flag.check or check)(text)
        except (ValueError, Invalid) as error:
            raise UsageError(f'invalid argument "{text}" for "{flag.display}" flag: {error}') from None
        if not isinstance(empty, list):
            self._given[flag.same_as] = value
            return
        collected = self._given.setdefault(flag.same_as, [])
        assert isinstance(collected, list)
        collected += _comma_separated(text) if flag.kind == "strings" else [value]


def _switch(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def _comma_separated(text: str) -> list[str]:
    if '"' not in text:
        return text.split(",")
    import csv

    return next(csv.reader([text]))


def parse(
    flags: Sequence[Flag], words: Sequence[str], *, interspersed: bool = True
) -> tuple[Options, list[str]]:
    """The options and the other arguments. Not interspersed: all from the first argument on belongs to that.

    Raises UsageError with pflag's words, HelpAsked for --help.
    """
    table = {flag.name: flag for flag in flags}
    shorts = {flag.short: flag for flag in flags if flag.short}
    options = Options(table)
    arguments: list[str] = []
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        if word == "--":
            arguments += reversed(rest)
            break
        if word.startswith("--"):
            _long(word, table, options, rest)
        elif word.startswith("-") and word != "-":
            _cluster(word, shorts, options, rest)
        else:
            arguments.append(word)
            if not interspersed:
                arguments += reversed(rest)
                break
    return options, arguments


def _long(word: str, table: dict[str, Flag], options: Options, rest: list[str]) -> None:
    name, equals, value = word[2:].partition("=")
    if not name or name.startswith("-"):
        raise UsageError(f"bad flag syntax: {word}")
    flag = table.get(name)
    if flag is None:
        if name == "help":
            raise HelpAsked
        raise UsageError(f"unknown flag: --{name}", hint=_similar(name, table))
    if not equals:
        if flag.kind == "bool":
            value = "true"
        elif rest:
            value = rest.pop()
        else:
            raise UsageError(f"flag needs an argument: --{name}")
    options.take(flag, value)


def _cluster(word: str, shorts: dict[str, Flag], options: Options, rest: list[str]) -> None:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = shorts.get(letter)
        if flag is None:
            if letter == "h":
                raise HelpAsked
            raise UsageError(f"unknown shorthand flag: '{letter}' in {word}")
        if letters.startswith("="):
            options.take(flag, letters[1:])
            return
        if flag.kind == "bool":
            options.take(flag, "true")
            continue
        if not letters and not rest:
            raise UsageError(f"flag needs an argument: '{letter}' in {word}")
        options.take(flag, letters or rest.pop())
        return


def _similar(name: str, table: dict[str, Flag]) -> str | None:
    import difflib

    visible = [flag.name for flag in table.values() if not flag.hidden]
    close = difflib.get_close_matches(name, visible, n=1, cutoff=0.7)
    return f"did you mean --{close[0]}?" if close else None
