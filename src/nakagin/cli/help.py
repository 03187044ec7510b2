"""Help texts in docker's shape: usage, summary, commands in groups, flags in columns."""

from __future__ import annotations

import shutil
import textwrap

from nakagin.cli.command import PROGRAM
from nakagin.cli.quantities import human_binary_size
from nakagin.cli.registry import ALIASES, NOUNS, SHORT, TASKS, VERBS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nakagin.cli.command import Command
    from nakagin.cli.flags import Flag


def root_help(flags: Sequence[Flag]) -> str:
    """`nakagin --help`: all of it on a terminal of 24 lines; `nakagin COMMAND --help` has the rest."""
    tasks = "\n".join(_task(title, names) for title, names in TASKS.items())
    shown = (_head(flag).strip() for flag in sorted(flags, key=lambda flag: flag.name))
    parts = [
        f"Usage:  {PROGRAM} [OPTIONS] COMMAND",
        f"Commands by task:\n{tasks}",
        f"Management Commands:\n{_flow(sorted(NOUNS))}",
        f"Global Options:\n{_flow(shown)}",
        f"Run '{PROGRAM} COMMAND --help' for more information on a command.",
    ]
    return "\n\n".join(parts) + "\n"


def _task(title: str, names: Sequence[str]) -> str:
    return _flow(names, f"  {title:<17} ")


def _flow(words: Iterable[str], first: str = "  ") -> str:
    """Words in lines of a terminal's usual width; those after the first are indented as far as it begins."""
    # A flag and its value's kind stay together.
    joined = ", ".join(word.replace(" ", "\0") for word in words)
    indent = " " * len(first)
    lines = textwrap.wrap(joined, 79, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def noun_help(noun: str) -> str:
    """`nakagin image --help`."""
    verbs = [
        (name.split()[1], summary)
        for name, (_, summary) in sorted(VERBS.items())
        if name.startswith(noun + " ")
    ]
    parts = [
        f"Usage:  {PROGRAM} {noun} COMMAND\n\n{NOUNS[noun]}",
        _section("Commands", verbs),
        f"Run '{PROGRAM} {noun} COMMAND --help' for more information on a command.",
    ]
    return "\n\n".join(parts) + "\n"


def verb_help(full: str, written: str, command: Command) -> str:
    """`nakagin run --help`."""
    parts = [f"Usage:  {PROGRAM} {written} {command.usage}".rstrip() + f"\n\n{VERBS[full][1]}"]
    names = [full, *(alias for alias, target in ALIASES.items() if target == full)]
    names += [short for short, target in SHORT.items() if target == full]
    if len(names) > 1:
        parts.append("Aliases:\n  " + ", ".join(f"{PROGRAM} {name}" for name in names))
    if any(not flag.hidden for flag in command.flags):
        parts.append("Options:\n" + flag_table(command.flags))
    return "\n\n".join(parts) + "\n"


def _section(title: str, rows: Iterable[tuple[str, str]]) -> str:
    return f"{title}:\n" + "\n".join(f"  {name:<11} {summary}" for name, summary in rows)


def flag_table(flags: Sequence[Flag]) -> str:
    """The flags in two columns, sorted by name, wrapped to the terminal."""
    shown = sorted((flag for flag in flags if not flag.hidden), key=lambda flag: flag.name)
    heads = [_head(flag) for flag in shown]
    width = max(map(len, heads)) + 3
    room = max(shutil.get_terminal_size().columns - width, 24)
    lines: list[str] = []
    for flag, head in zip(shown, heads, strict=True):
        wrapped = textwrap.wrap(_description(flag), room) or [""]
        lines.append(f"{head:<{width}}{wrapped[0]}".rstrip())
        lines += [" " * width + line for line in wrapped[1:]]
    return "\n".join(lines)


def _head(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else "    "
    return f"  {short}--{flag.name} {flag.placeholder}".rstrip()


def _description(flag: Flag) -> str:
    if flag.default is None or flag.default in (False, ""):
        return flag.help
    return f"{flag.help} (default {_default(flag)})"


def _default(flag: Flag) -> str:
    """The default as one would write it: "3s", "2GiB", text in quotes."""
    if isinstance(flag.default, int) and flag.kind == "duration":
        return f"{flag.default / 1e9:g}s" if flag.default >= 10**9 else f"{flag.default / 1e6:g}ms"
    if isinstance(flag.default, int) and flag.kind == "bytes":
        return human_binary_size(flag.default)
    return f'"{flag.default}"' if isinstance(flag.default, str) else str(flag.default).lower()
