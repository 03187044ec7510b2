"""Starts an engine in the background when the default socket is silent, and waits until it answers."""

from __future__ import annotations

import os
import sys
import time

from nakagin.cli.command import complain
from nakagin.cli.connect import answers
from nakagin.errors import Denied, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.client.endpoint import Endpoint

DEADLINE = 10.0
LOG = "/var/log/nakagin/engine.log"


def start_engine(endpoint: Endpoint) -> None:
    """Start `python -m nakagin.daemon` detached; Denied when not root, Unavailable when it does not answer in time."""
    if os.geteuid() != 0:
        raise Denied(
            f"no engine answers at {endpoint.url} and only root can start one",
            hint="run as root, or set DOCKER_HOST to an engine that runs",
        )
    complain(f"Starting the engine (log: {LOG})")
    pid = _spawn(LOG)
    deadline = time.monotonic() + DEADLINE
    pause = 0.005
    while not answers(endpoint):
        if os.waitpid(pid, os.WNOHANG)[0]:
            raise Unavailable("the engine ended while starting", hint=f"its last words: {_last_words(LOG)}")
        if time.monotonic() > deadline:
            raise Unavailable(f"the engine does not answer {DEADLINE:g} s after its start", hint=f"see {LOG}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def _spawn(log: str) -> int:
    """A new session with its output in the log; the engine must survive this terminal."""
    os.makedirs(os.path.dirname(log), mode=0o755, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "nakagin.daemon"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, nothing, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
        )
    finally:
        os.close(output)
        os.close(nothing)


def _last_words(log: str) -> str:
    with open(log, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 2000))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "none"
