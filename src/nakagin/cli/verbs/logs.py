"""`nakagin logs`."""

from __future__ import annotations

import os
import sys

from nakagin.cli.command import Call, Command
from nakagin.cli.flags import Flag
from nakagin.cli.times import engine_time
from nakagin.client.frames import STDERR

FLAGS = (
    Flag("details", "", "bool", "Show extra details provided to logs"),
    Flag("follow", "f", "bool", "Follow log output"),
    Flag("since", "", "string", "Show logs since a time (2026-01-02T13:23:37Z) or a duration ago (42m)"),
    Flag("tail", "n", "string", "Number of lines to show from the end of the logs", "all"),
    Flag("timestamps", "t", "bool", "Show timestamps"),
    Flag("until", "", "string", "Show logs before a time (2026-01-02T13:23:37Z) or a duration ago (42m)"),
)


def logs(call: Call) -> int:
    """Write what a container wrote to where it wrote it."""
    options = call.options
    pieces = call.client.containers.refer(call.arguments[0]).logs(
        follow=options.on("follow"),
        since=engine_time(options.text("since"), "since"),
        until=engine_time(options.text("until"), "until"),
        tail=options.text("tail"),
        timestamps=options.on("timestamps"),
        details=options.on("details"),
    )
    sys.stdout.flush()
    for kind, data in pieces:
        view = memoryview(data)
        while view:
            view = view[os.write(2 if kind == STDERR else 1, view) :]
    return 0


LOGS = Command(logs, "[OPTIONS] CONTAINER", FLAGS, least=1, most=1)
