"""What a verb is to the command line: a table of flags, a count of arguments and a function that gets a `Call`."""

from __future__ import annotations

import os
import sys

from nakagin.cli.flags import Flag, Options, UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.client import Client

PROGRAM = "nakagin"


class Call:
    """One invocation: its name as the user wrote it, options, arguments, and the engine (connected on first use)."""

    __slots__ = ("_client", "_connect", "arguments", "name", "options", "settings")

    def __init__(
        self,
        name: str,
        options: Options,
        arguments: list[str],
        connect: Callable[[], Client],
        settings: Options | None = None,
    ) -> None:
        self.name = name
        self.options = options
        self.arguments = arguments
        self._connect = connect
        self.settings = settings  # the global flags
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The engine."""
        if self._client is None:
            self._client = self._connect()
        return self._client

    def another_client(self) -> Client:
        """A further connection, for another thread."""
        return self._connect()

    def each(self, deed: Callable[[str], object], subjects: Sequence[str] | None = None) -> int:
        """Do something to each argument and echo it; errors are told and do not stop the others. The exit code."""
        from nakagin.cli.door import explain
        from nakagin.errors import NakaginError

        code = 0
        for subject in self.arguments if subjects is None else subjects:
            try:
                deed(subject)
            except NakaginError as error:
                complain(explain(error))
                code = 1
            else:
                say(subject)
        return code


class Command:
    """A verb. `least` and `most` count its arguments (`most` None is any number); a raw
    one gets all words unread."""

    __slots__ = ("flags", "function", "interspersed", "least", "most", "raw", "usage")

    def __init__(
        self,
        function: Callable[[Call], int],
        usage: str,
        flags: Sequence[Flag] = (),
        *,
        least: int = 0,
        most: int | None = 0,
        interspersed: bool = True,
        raw: bool = False,
    ) -> None:
        self.function = function
        self.usage = usage
        self.flags = flags
        self.least = least
        self.most = most
        self.interspersed = interspersed
        self.raw = raw

    def parse(self, name: str, words: Sequence[str]) -> tuple[Options, list[str]]:
        """Options and arguments; UsageError where flags or the number of arguments are wrong."""
        if self.raw:
            return Options({}), list(words)
        options, arguments = parse(self.flags, words, interspersed=self.interspersed)
        if len(arguments) < self.least or (self.most is not None and len(arguments) > self.most):
            raise UsageError(f"{PROGRAM}: '{PROGRAM} {name}' {self._arity()}")
        return options, arguments

    def _arity(self) -> str:
        def counted(number: int) -> str:
            return f"{number} argument{'' if number == 1 else 's'}"

        if self.most == 0:
            return "accepts no arguments"
        if self.most is None:
            return f"requires at least {counted(self.least)}"
        if self.most == self.least:
            return f"requires {counted(self.least)}"
        if self.least:
            return f"requires at least {self.least} and at most {counted(self.most)}"
        return f"requires at most {counted(self.most)}"


def say(text: str) -> None:
    """A line on standard output."""
    sys.stdout.write(text + "\n")


def complain(text: str) -> None:
    """A line on standard error, after what was said so far."""
    sys.stdout.flush()
    sys.stderr.write(text + "\n")


def write_bytes(data: bytes) -> None:
    """Raw bytes on standard output."""
    sys.stdout.flush()
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
