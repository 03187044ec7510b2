"""Help texts in docker's shape: usage, summary, commands in groups, flags in columns."""

from __future__ import annotations

import shutil
import textwrap

from nakagin.cli.command import PROGRAM
from nakagin.cli.registry import ALIASES, COMMON, NOUNS, SHORT, VERBS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nakagin.cli.command import Command
    from nakagin.cli.flags import Flag


def root_help(flags: Sequence[Flag]) -> str:
    """`nakagin --help`."""
    top = {name: VERBS[full][1] for name, full in SHORT.items()}
    top.update({name: summary for name, (_, summary) in VERBS.items() if " " not in name})
    others = sorted(name for name in top if name not in COMMON)
    parts = [
        f"Usage:  {PROGRAM} [OPTIONS] COMMAND\n\nA self-sufficient runtime for containers",
        _section("Common Commands", [(name, top[name]) for name in COMMON]),
        _section("Management Commands", sorted(NOUNS.items())),
        _section("Commands", [(name, top[name]) for name in others]),
        "Global Options:\n" + flag_table(flags),
        f"Run '{PROGRAM} COMMAND --help' for more information on a command.",
    ]
    return "\n\n".join(parts) + "\n"


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
    value = f'"{flag.default}"' if isinstance(flag.default, str) else str(flag.default).lower()
    return f"{flag.help} (default {value})"
