"""The entry of `nakagin`: global flags, the verb, its call, and the way out. Nothing heavy is imported here."""

from __future__ import annotations

import os
import sys

from nakagin.cli import registry
from nakagin.cli.command import PROGRAM, Call, complain, say
from nakagin.cli.flags import Flag, HelpAsked, Options, UsageError, parse
from nakagin.errors import NakaginError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.cli.command import Command
    from nakagin.client import Client

GLOBAL_FLAGS = (
    Flag("config", "", "string", "Folder of the client's configuration files"),
    Flag(
        "context",
        "c",
        "string",
        "Name of the context to use to connect to the engine (overrides DOCKER_HOST)",
    ),
    Flag("debug", "D", "bool", "Show where an error came from"),
    Flag("host", "H", "list", "Address of the engine's socket"),
    Flag(
        "log-level",
        "l",
        "string",
        'Level of log messages ("debug", "info", "warn", "error", "fatal")',
        "info",
    ),
    Flag("tls", "", "bool", "Use TLS; implied by --tlsverify"),
    Flag("tlscacert", "", "string", "Trust certs signed only by this CA"),
    Flag("tlscert", "", "string", "Path to TLS certificate file"),
    Flag("tlskey", "", "string", "Path to TLS key file"),
    Flag("tlsverify", "", "bool", "Use TLS and verify the remote"),
    Flag("version", "v", "bool", "Print version information and quit"),
)


def main() -> None:
    """Console script: run the command line's words and leave the process."""
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = code or 1
    # The interpreter's own farewell costs milliseconds and there is nothing left to clean up.
    os._exit(code)


def run(words: Sequence[str]) -> int:
    """Run one command line; its exit code. Errors are told on standard error."""
    options: Options | None = None
    try:
        options, rest = parse(GLOBAL_FLAGS, words, interspersed=False)
        return _dispatch(options, rest)
    except UsageError as error:
        _usage(error, "[OPTIONS] COMMAND [ARG...]", "")
        return 125
    except HelpAsked:
        from nakagin.cli.help import root_help

        sys.stdout.write(root_help(GLOBAL_FLAGS))
        return 0
    except NakaginError as error:
        from nakagin.cli.door import exit_code, explain

        if options is not None and options.on("debug"):
            raise
        complain(explain(error))
        return exit_code(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1
    except OSError as error:  # of a file that went or cannot be read, on this side
        if isinstance(error, FileNotFoundError) and not _has_current_folder():
            complain(f"{PROGRAM}: the current folder does not exist any more (cd to another one)")
            return 1
        if options is not None and options.on("debug"):
            raise
        reason = error.strerror or str(error)
        complain(f"{error.filename}: {reason}" if error.filename else reason)
        return 1


def _has_current_folder() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _dispatch(settings: Options, words: list[str]) -> int:
    if settings.on("version"):
        from nakagin.cli.verbs.version import short_version

        say(short_version())
        return 0
    if not words or words == ["help"]:
        raise HelpAsked
    if words[0] == "help":
        words = [*words[1:], "--help"]
    if words[0] in registry.NOUNS and (len(words) == 1 or words[1] in ("--help", "-h")):
        from nakagin.cli.help import noun_help

        sys.stdout.write(noun_help(words[0]))
        return 0
    if words[0] in registry.NOUNS and words[1].startswith("-"):
        error = UsageError(f"unknown {'flag' if words[1].startswith('--') else 'shorthand flag'}: {words[1]}")
        _usage(error, "COMMAND", f" {words[0]}")
        return 125
    try:
        full, written, used = registry.find(words)
    except NotFound as error:
        noun = f" {words[0]}" if words[0] in registry.NOUNS else ""
        complain(f"{PROGRAM}: {error.message}\n")
        if error.hint:
            complain(f"{error.hint[0].upper()}{error.hint[1:]}\n")
        complain(f"Run '{PROGRAM}{noun} --help' for more information")
        return 1
    return _call(registry.load(full), full, written, words[used:], settings)


def _call(command: Command, full: str, written: str, words: list[str], settings: Options) -> int:
    try:
        options, arguments = command.parse(written, words)
        return command.function(Call(written, options, arguments, lambda: _connect(settings), settings))
    except UsageError as error:
        _usage(error, command.usage, " " + written)
        # docker: a wrong number of arguments is an ordinary failure, a wrong flag is 125.
        return 1 if error.message.startswith(f"{PROGRAM}: ") else 125
    except HelpAsked:
        from nakagin.cli.help import verb_help

        sys.stdout.write(verb_help(full, written, command))
        return 0


def _usage(error: UsageError, usage: str, name: str) -> None:
    complain(f"{error.message}\n")
    if error.hint:
        complain(f"{error.hint[0].upper()}{error.hint[1:]}\n")
    verb = "See" if "requires at least" in error.message else "Run"
    complain(f"Usage:  {PROGRAM}{name} {usage}\n\n{verb} '{PROGRAM}{name} --help' for more information")


def _connect(settings: Options) -> Client:
    """The engine that the global flags and the environment mean; a local one is started when none is named."""
    from nakagin.cli.connect import connect

    return connect(settings)


if __name__ == "__main__":
    main()
