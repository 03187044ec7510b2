"""How each instruction is written in an image's history, as Docker's own builder writes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nakagin.dockerfile import instructions as i
from nakagin.spec.duration import show_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def run_text(argv: Sequence[str], arguments: Mapping[str, str]) -> str:
    """RUN: the command, before it the build arguments that it saw (`|1 NAME=value`)."""
    command = " ".join(argv)
    if not arguments:
        return command
    seen = " ".join(f"{name}={value}" for name, value in sorted(arguments.items()))
    return f"|{len(arguments)} {seen} {command}"


def config_text(instruction: i.Instruction, shell: Sequence[str]) -> str:
    """An instruction that only changes the config, its variables filled in; `shell` is the one that holds now."""
    return f"{' '.join(shell)} #(nop) {_words(instruction, shell)}"


def transfer_text(it: i.Transfer, kind: str, digest: str, shell: Sequence[str]) -> str:
    """COPY or ADD: what was copied is named by its kind ("file", "dir", "multi") and digest."""
    owner = f"--chown={it.chown} " if it.chown else ""
    return f"{' '.join(shell)} #(nop) {it.keyword} {owner}{kind}:{digest} in {it.destination} "


def _words(it: i.Instruction, shell: Sequence[str]) -> str:
    match it:
        case i.Env() | i.Label():
            return f" {it.keyword} " + " ".join(f"{name}={value}" for name, value in it.pairs)
        case i.Arg():
            return " ARG " + " ".join(
                name if value is None else f"{name}={value}" for name, value in it.arguments
            )
        case i.Cmd() | i.Entrypoint():
            return f" {it.keyword} [{' '.join(_quoted(word) for word in it.command.argv(tuple(shell)))}]"
        case i.Expose():
            return f" EXPOSE {' '.join(it.ports)}"
        case i.Volume():
            return f" VOLUME [{' '.join(it.paths)}]"
        case i.Shell():
            return f" SHELL [{' '.join(it.words)}]"
        case i.User():
            return f" USER {it.user}"
        case i.Workdir():
            return f"WORKDIR {it.path}"
        case i.Stopsignal():
            return f" STOPSIGNAL {it.signal}"
        case i.Healthcheck():
            return f" HEALTHCHECK {_health(it)}"
        case i.Onbuild():
            return f" ONBUILD {it.text}"
        case i.Maintainer():
            return f" MAINTAINER {it.name}"
        case _:
            return f" {it.node.original.strip()}"


def _quoted(word: str) -> str:
    return json.dumps(word, ensure_ascii=False)


def _health(it: i.Healthcheck) -> str:
    """The record as Go's `%q` shows it, which is what stands in the history of every Docker image with a check."""
    times = [it.interval, it.timeout, it.start_period, *([it.start_interval] if it.start_interval else [])]
    spans = " ".join(f'"{show_duration(nanoseconds)}"' for nanoseconds in times)
    return f"&{{[{' '.join(_quoted(word) for word in it.test)}] {spans} {_go_character(it.retries)}}}"


_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 39: "\\'", 92: "\\\\"}


def _go_character(number: int) -> str:
    """A number as Go quotes it as a character: 0 is '\\x00', 9 is '\\t', 65 is 'A'."""
    if number in _ESCAPES:
        return f"'{_ESCAPES[number]}'"
    if number < 0x20 or number == 0x7F:
        return f"'\\x{number:02x}'"
    return f"'{chr(number)}'" if number <= 0x10FFFF else "'\ufffd'"
