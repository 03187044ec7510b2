"""`nakagin engine`: the engine in the foreground, with dockerd's flags."""

from __future__ import annotations

import os
import sys

from nakagin.cli.command import Call, Command


def run(call: Call) -> int:
    """Become the engine: this process is replaced, so that nothing of the command line stays in its memory."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "nakagin.daemon", *call.arguments])  # noqa: S606


# The daemon reads its own flags, --help too.
ENGINE = Command(run, "[OPTIONS]", most=None, raw=True)
