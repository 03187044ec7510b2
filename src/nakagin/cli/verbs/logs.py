"""`nakagin logs`."""

from __future__ import annotations

import os
import sys

from nakagin.cli.command import Call, Command
from nakagin.cli.flags import Flag
from nakagin.cli.times import engine_time
from nakagin.client.frames import STDERR
from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Pieces = Iterable[tuple[int, bytes]]

FLAGS = (
    Flag("clear", "", "bool", "Forget what was logged so far; who follows the log goes on"),
    Flag("details", "", "bool", "Show extra details provided to logs"),
    Flag("follow", "f", "bool", "Follow log output"),
    Flag("grep", "", "string", "Show only lines that match a regular expression"),
    Flag("since", "", "string", "Show logs since a time (2026-01-02T13:23:37Z) or a duration ago (42m)"),
    Flag("tail", "n", "string", "Number of lines to show from the end of the logs", "all"),
    Flag("timestamps", "t", "bool", "Show timestamps"),
    Flag("until", "", "string", "Show logs before a time (2026-01-02T13:23:37Z) or a duration ago (42m)"),
)


def logs(call: Call) -> int:
    """Write what a container wrote to where it wrote it."""
    options = call.options
    container = call.client.containers.refer(call.arguments[0])
    if options.on("clear"):
        container.clear_logs()
        return 0
    pattern, tail, follow = options.text("grep"), options.text("tail"), options.on("follow")
    # The last lines that match, not the matches of the last lines; a log that goes on has no last line.
    sift = bool(pattern) and not follow and tail.isdigit()
    pieces: Pieces = container.logs(
        follow=follow,
        since=engine_time(options.text("since"), "since"),
        until=engine_time(options.text("until"), "until"),
        tail="all" if sift else tail,
        timestamps=options.on("timestamps"),
        details=options.on("details"),
    )
    if pattern:
        pieces = matching(pieces, pattern)
    if sift:
        from collections import deque

        pieces = deque(pieces, int(tail))
    sys.stdout.flush()
    for kind, data in pieces:
        view = memoryview(data)
        while view:
            view = view[os.write(2 if kind == STDERR else 1, view) :]
    return 0


def matching(pieces: Pieces, pattern: str) -> Iterator[tuple[int, bytes]]:
    """The lines, one a piece, in which the regular expression is found. Invalid where it is none."""
    import re

    try:
        found = re.compile(pattern.encode()).search
    except re.error as error:
        raise Invalid(f'invalid argument "{pattern}" for "--grep" flag: {error}') from None
    unfinished: dict[int, bytes] = {}
    for kind, data in pieces:
        *lines, rest = (unfinished.pop(kind, b"") + data).split(b"\n")
        yield from ((kind, line + b"\n") for line in lines if found(line))
        if rest:
            unfinished[kind] = rest
    yield from ((kind, rest) for kind, rest in unfinished.items() if found(rest))


LOGS = Command(logs, "[OPTIONS] CONTAINER", FLAGS, least=1, most=1)
