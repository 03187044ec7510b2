"""Progress of a plan: on a terminal one living line a thing, else a line a change; on standard error.

COMPOSE_STATUS_STDOUT puts it on standard output.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Collection
from typing import Self

from nakagin.compose.environment import is_on
from nakagin.compose.execute import Report
from nakagin.compose.plan import Operation, Plan
from nakagin.spec.document import render

#: verb → (while it runs, when it is done)
WORDS: dict[str, tuple[str, str]] = {
    "pull": ("Pulling", "Pulled"),
    "build": ("Building", "Built"),
    "create": ("Creating", "Created"),
    "provide": ("Providing", "Provided"),
    "release": ("Releasing", "Released"),
    "start": ("Starting", "Started"),
    "stop": ("Stopping", "Stopped"),
    "remove": ("Removing", "Removed"),
    "rename": ("Recreating", "Recreated"),
    "wait": ("Waiting", "Ready"),
    "run": ("Running", "Done"),
    "linger": ("Lingering", "Going on"),
    "restart": ("Restarting", "Started"),
    "kill": ("Killing", "Killed"),
    "pause": ("Pausing", "Paused"),
    "unpause": ("Unpausing", "Unpaused"),
}
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_TICK = 0.1


class Progress:
    """Takes reports of several threads; a context, which keeps the picture alive on a terminal."""

    def __init__(self, mode: str, *, colours: bool, silent: Collection[str] = ()) -> None:
        """Operations whose verb is in `silent` are only shown when they fail."""
        self._output = sys.stdout if is_on(os.environ.get("COMPOSE_STATUS_STDOUT")) else sys.stderr
        self._mode = ("tty" if colours and self._output.isatty() else "plain") if mode == "auto" else mode
        self._colours = colours
        self._silent = silent
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}
        self._drawn = 0
        self._over = threading.Event()
        self._painter: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._mode == "tty":
            self._painter = threading.Thread(target=self._paint, daemon=True)
            self._painter.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._painter is not None:
            self._painter.join()
            with self._lock:
                self._draw()

    def keep(self, names: Collection[str]) -> None:
        """These containers run already, and stay as they are."""
        with self._lock:
            for name in names:
                line = self._lines.setdefault(f"Container {name}", _Line())
                line.phase, line.text, line.ended = "done", "Running", time.monotonic()
                self._tell(f"Container {name}", line)

    def __call__(self, report: Report) -> None:
        if report.operation.verb in self._silent and report.phase != "failed":
            return
        with self._lock:
            running, done = WORDS[report.operation.verb]
            name = title(report.operation)
            line = self._lines.setdefault(name, _Line())
            if report.phase == "told":
                line.detail = report.text
                if (
                    self._mode == "plain"
                    and report.operation.verb in ("build", "provide", "release")
                    and report.text
                ):
                    self._output.write(f" {name}  {report.text}\n")
                return
            line.phase = report.phase
            line.detail = ""
            line.text = {
                "begun": running, "done": done, "kept": f"Resource is still in use: {report.text}"
            }.get(report.phase, f"Error {report.text}")  # fmt: skip
            if report.phase != "begun":
                line.ended = time.monotonic()
            self._tell(name, line, report.text if report.phase == "failed" else "")

    def _tell(self, name: str, line: _Line, error: str = "") -> None:
        if self._mode == "plain":
            self._output.write(f" {name}  {line.text}\n")
            self._output.flush()
        elif self._mode == "json":
            shown = {"id": name, "text": line.text, **({"error": error} if error else {})}
            self._output.write(render(shown) + "\n")

    def _paint(self) -> None:
        while not self._over.wait(_TICK):
            with self._lock:
                self._draw()

    def _draw(self) -> None:
        if not self._lines:
            return
        width, height = _size(self._output.fileno())
        now = time.monotonic()
        done = sum(line.phase in ("done", "kept") for line in self._lines.values())
        rows = [f"[+] Running {done}/{len(self._lines)}"]
        shown = list(self._lines.items())[-(max(height, 4) - 2) :]
        longest = max(len(name) for name, _ in shown)
        rows += [line.row(name, longest, now, width, self._colours) for name, line in shown]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._output.write(f"{up}\r" + "".join(f"\x1b[2K{row}\n" for row in rows))
        self._output.flush()
        self._drawn = len(rows)


class _Line:
    """One thing and how far it is."""

    def __init__(self) -> None:
        self.phase = "begun"
        self.text = ""
        self.detail = ""
        self.begun = time.monotonic()
        self.ended = 0.0

    def row(self, name: str, longest: int, now: float, width: int, colours: bool) -> str:
        running = self.phase == "begun"
        marks = {"done": ("✔", 32), "kept": ("!", 33), "failed": ("✘", 31)}
        mark, colour = marks.get(self.phase, (_SPINNER[int(now / _TICK) % len(_SPINNER)], 33))
        seconds = f"{(now if running else self.ended) - self.begun:.1f}s"
        detail = f"  {self.detail}" if self.detail and running else ""
        left = f" {mark} {name:<{longest}}  {self.text}{detail}"[: max(width - len(seconds) - 2, 20)]
        row = f"{left:<{max(width - len(seconds) - 1, 0)}}{seconds}"
        if not colours:
            return row
        return row.replace(mark, f"\x1b[{colour}m{mark}\x1b[0m", 1)


def _size(terminal: int) -> tuple[int, int]:
    try:
        columns, lines = os.get_terminal_size(terminal)
    except OSError:
        return 80, 24
    return columns or 80, lines or 24


def title(operation: Operation) -> str:
    """ "Container shop-web-1"."""
    return f"{operation.noun.capitalize()} {operation.subject}"


def show_plan(plan: Plan) -> str:
    """The plan for `up --plan` and --dry-run."""
    return f"{plan}\n" if plan.operations else "Nothing to do: everything is as the files say.\n"
