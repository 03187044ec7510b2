"""What a build has told so far: its steps, their last words, warnings, and how it ended. Plain state, no output.

The engine's events come as JSON documents (`nakagin.build.progress`), each with its name under "event".
"""

from __future__ import annotations

import base64
import re
import time
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    Event = dict[str, Any]

_KEPT = 40
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_SPACES = re.compile(r"\s+")


class Step:
    """One instruction. `seconds` counts from its begin, `lines` are the last whole lines of its output."""

    def __init__(self, event: Event, now: float) -> None:
        self.number = int(event["number"])
        self.stage = str(event.get("stage", ""))
        self.place = str(event.get("place", ""))
        self.text = _SPACES.sub(" ", str(event.get("text", ""))).strip()
        self.state: Literal["running", "cached", "done", "failed"] = "running"
        self.began = now
        self.seconds = 0.0
        self.reason = ""
        """Why it was or was not cached, where that was asked."""
        self.lines: deque[str] = deque(maxlen=_KEPT)
        self._begun = ""

    @property
    def title(self) -> str:
        """[stage 2/4] RUN make"""
        place = " ".join(word for word in (self.stage, self.place) if word)
        return f"[{place}] {self.text}" if place else self.text

    def said(self, text: str) -> list[str]:
        """Take in output; the lines that are whole now. Of a line that was written over, the last version."""
        *whole, self._begun = (self._begun + text).split("\n")
        found = [clean(line) for line in whole]
        self.lines.extend(found)
        return found

    def rest(self) -> list[str]:
        """A last line that has no end."""
        line, self._begun = clean(self._begun), ""
        if line:
            self.lines.append(line)
        return [line] if line else []


def clean(line: str) -> str:
    """A line of a program's output without what moves cursors or rings bells."""
    line = _ESCAPES.sub("", line.rstrip("\r")).rpartition("\r")[2]
    return "".join(character for character in line.expandtabs() if character.isprintable())


class Board:
    """The state of a build; `feed` it events in the order in which they come."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.began = clock()
        self.planned = 0
        self.steps: dict[int, Step] = {}
        self.warnings: list[Event] = []
        self.failure: Event | None = None
        self.built: list[Event] = []

    @property
    def ended(self) -> int:
        """How many steps need no more work."""
        return sum(step.state != "running" for step in self.steps.values())

    @property
    def running(self) -> list[Step]:
        return [step for step in self.steps.values() if step.state == "running"]

    def now(self) -> float:
        return self._clock()

    def feed(self, event: Event) -> tuple[Step | None, list[str]]:
        """Take in an event; the step that it is about, and the lines of output that are whole with it."""
        match event.get("event"):
            case "planned":
                self.planned = int(event["steps"])
            case "warning":
                self.warnings.append(event)
            case "built":
                self.built.append(event)
            case "begun":
                step = self.steps[int(event["number"])] = Step(event, self._clock())
                return step, []
            case _:
                return self._of_step(event)
        return None, []

    def _of_step(self, event: Event) -> tuple[Step | None, list[str]]:
        step = self.steps.get(int(event.get("number", 0)))
        if event.get("event") == "failed":
            self.failure = event
        if step is None:
            return None, []
        lines: list[str] = []
        match event["event"]:
            case "cached":
                step.state = "cached"
            case "explained":
                step.reason = str(event["text"])
            case "output":
                lines = step.said(base64.b64decode(event["data"]).decode(errors="replace"))
            case "done":
                lines = step.rest()
                step.state = step.state if step.state == "cached" else "done"
                step.seconds = float(event["seconds"])
            case "failed":
                lines = step.rest()
                step.state, step.seconds = "failed", self._clock() - step.began
        return step, lines
