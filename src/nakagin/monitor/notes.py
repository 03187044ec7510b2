"""What a monitor leaves in the run directory for an engine that is not there now, and its words to the log."""

from __future__ import annotations

import os
import sys
import time

from nakagin.monitor import protocol
from nakagin.monitor.logfile import timestamp
from nakagin.spec.document import render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.monitor.protocol import Message


def exit_document(code: int, started_at: str, *, oom_killed: bool = False, error: str = "") -> Message:
    """The end of a container, now: as in exit.json and in the event "exit"."""
    return {
        "exit_code": code, "oom_killed": oom_killed, "error": error,
        "started_at": started_at, "finished_at": timestamp(time.time_ns()),
    }  # fmt: skip


def write_exit(run_dir: str, document: Message) -> None:
    """Leave exit.json."""
    write(run_dir, protocol.EXIT_NAME, document)


def write(run_dir: str, name: str, document: Message) -> None:
    """Leave a note whole or not at all. On a full disk there is none; who listens is told all the same."""
    path = os.path.join(run_dir, name)
    try:
        fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, render(document).encode())
        finally:
            os.close(fd)
        os.rename(path + ".new", path)
    except OSError as error:
        complain(f"{path} cannot be written: {error.strerror}")


def complain(text: str) -> None:
    """A line in the engine's log: its standard error is the zygote's, and so the monitors'."""
    try:
        sys.stderr.write(text + "\n")
    except OSError:
        pass
