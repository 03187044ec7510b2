"""`nakagin compose`: its own flags, then a verb of `cli.composing`. Nothing of Compose is imported before."""

from __future__ import annotations

import gc
import sys

from nakagin.cli.command import PROGRAM, Call, Command, complain
from nakagin.cli.flags import HelpAsked, UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nakagin.cli.composing.context import Verb


def compose(call: Call) -> int:
    """Run one Compose verb; its exit code."""
    # A project is tens of thousands of values at once: looking for garbage among them took a tenth of the time.
    gc.set_threshold(100_000)
    from nakagin.cli.composing.context import FLAGS, Compose
    from nakagin.cli.composing.table import ALIASES, GROUPS, VERBS

    try:
        settings, words = parse(FLAGS, call.arguments, interspersed=False)
    except HelpAsked:
        words = ["--help"]
    except UsageError as error:
        return _wrong_usage(error, "")
    if words and words[0] == "alpha":
        words = words[1:]  # where Compose keeps viz and publish, too
        if words and words[0] == "dry-run":
            settings.take(next(flag for flag in FLAGS if flag.name == "dry-run"), "true")
            words = words[2:] if words[1:2] == ["--"] else words[1:]
    if words and words[0] == "help":
        words = [*words[1:], "--help"]
    if not words or words[0] in ("--help", "-h"):
        if not words and settings.on("version"):
            words = ["version"]
        else:
            whole = {name: about for name, (_, about) in VERBS.items() if " " not in name}
            sys.stdout.write(_help(whole | GROUPS))
            return 0
    name, count = _verb(words, {**{each: each for each in VERBS}, **ALIASES})
    if name in GROUPS:
        sys.stdout.write(
            _help({each: about for each, (_, about) in VERBS.items() if each.startswith(f"{name} ")})
        )
        return 0
    if name not in VERBS:
        complain(f'unknown {PROGRAM} command: "compose {words[0]}"{_similar(words[0], VERBS)}')
        return 1
    verb = load_verb(name)
    try:
        options, arguments = verb.table.parse(f"compose {name}", words[count:])
        asked = Compose(call, settings, options, arguments)
        asked.check()
        return verb.function(asked)
    except UsageError as error:
        return _wrong_usage(error, f" {name}")
    except HelpAsked:
        from nakagin.cli.help import flag_table

        parts = f"Usage:  {PROGRAM} compose {name} {verb.table.usage}\n\n{VERBS[name][1]}\n\n"
        sys.stdout.write(f"{parts}Options:\n{flag_table(verb.table.flags)}\n")
        return 0


def _verb(words: list[str], known: dict[str, str]) -> tuple[str, int]:
    """(the verb that the first words name, how many they are)."""
    for count in (3, 2):
        if (found := known.get(" ".join(words[:count]))) is not None:
            return found, count
    return known.get(words[0], words[0]), 1


def load_verb(name: str) -> Verb:
    """The table and function of a Compose verb."""
    from nakagin.cli.composing.table import VERBS

    module, _, attribute = VERBS[name][0].partition(":")
    found: Verb = getattr(__import__(f"nakagin.cli.composing.{module}", fromlist=[attribute]), attribute)
    return found


def _wrong_usage(error: UsageError, name: str) -> int:
    complain(str(error))
    complain(f"Run '{PROGRAM} compose{name} --help' for more information")
    return 1


def _similar(word: str, known: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _help(verbs: Mapping[str, str]) -> str:
    from nakagin.cli.composing.context import FLAGS
    from nakagin.cli.help import flag_table

    width = max(map(len, verbs))
    commands = "\n".join(f"  {name:<{width}} {about}" for name, about in sorted(verbs.items()))
    return (
        f"Usage:  {PROGRAM} compose [OPTIONS] COMMAND\n\nDefine and run applications of many containers\n\n"
        f"Options:\n{flag_table(FLAGS)}\n\nCommands:\n{commands}\n\n"
        f"Run '{PROGRAM} compose COMMAND --help' for more information on a command.\n"
    )


COMPOSE = Command(compose, "[OPTIONS] COMMAND", raw=True)
