"""A build on a terminal: what is done scrolls by once, what runs is drawn at the bottom with its last words.

[+] Building 4.2s (5/9)
 ✔ [base 2/3] RUN apt-get install -y gcc                      12.4s
 ✔ [web 1/4] COPY . /app                                     CACHED
 ⠹ [web 2/4] RUN npm ci                                        4.1s
   │ added 120 packages
"""

from __future__ import annotations

import os
import threading
import unicodedata

from nakagin.cli.building.board import Board
from nakagin.cli.building.report import closing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from nakagin.cli.building.board import Event, Step

_TICK = 0.1
_TAIL = 6
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_MARKS = {"cached": "✔", "done": "✔", "failed": "✘"}
_BOLD, _DIM, _RED, _GREEN, _BLUE, _YELLOW = "1", "2", "31", "32", "34", "33"
_TONES = {"done": _GREEN, "cached": _BLUE, "failed": _RED}


class Screen:
    """Draws on `output`, a terminal; `closed` at the end."""

    def __init__(self, output: TextIO, *, colour: bool | None = None) -> None:
        self._output = output
        self._colour = not os.environ.get("NO_COLOR") if colour is None else colour
        self._board = Board()
        self._drawn = 0
        self._turn = 0
        self._still = False
        """Whether somebody else has the terminal: until the next event nothing is drawn."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._ticker.start()

    def feed(self, event: Event) -> None:
        with self._lock:
            step, _ = self._board.feed(event)
            # A cached step has ended when it says so; a run one when it is done.
            if step is not None and event["event"] in ("done", "failed"):
                why = (
                    [self._painted(fitting(f"   {step.reason}", self._width()), _DIM)] if step.reason else []
                )
                self._over([self._line(step), *why])
            self._still = event["event"] == "let in"
            if self._still:
                self._drawn_away()

    def message(self, text: str) -> None:
        """Something that is no event: the words of a pull or push."""
        with self._lock:
            self._over([text.rstrip("\n")[: self._width()]])

    def close(self) -> None:
        self._stop.set()
        self._ticker.join()
        with self._lock:
            board = self._board
            cut = [self._line(step) for step in board.running]
            self._drawn_away()
            total = self._painted(f"[+] Building {board.now() - board.began:.1f}s ({self._count()})", _BOLD)
            self._write([*cut, total, *(self._toned(line) for line in closing(board))])

    # --- Drawing

    def _tick(self) -> None:
        while not self._stop.wait(_TICK):
            with self._lock:
                if self._still:
                    continue
                self._turn += 1
                self._drawn_away()
                self._drawn = self._write(self._picture())

    def _over(self, lines: list[str]) -> None:
        """Lines that stay, above the picture."""
        self._drawn_away()
        self._write(lines)
        self._drawn = self._write(self._picture())

    def _drawn_away(self) -> None:
        if self._drawn:
            self._output.write(f"\x1b[{self._drawn}A\r\x1b[J")
            self._drawn = 0

    def _write(self, lines: list[str]) -> int:
        self._output.write("".join(f"{line}\n" for line in lines))
        self._output.flush()
        return len(lines)

    def _picture(self) -> list[str]:
        board, rows = self._board, self._size().lines
        running = board.running[: max(1, rows - 3)]
        head = f"[+] Building {board.now() - board.began:.1f}s ({self._count()})"
        found = [self._painted(head, _BOLD)]
        room = max(0, rows - 2 - len(running)) // max(1, len(running))
        for step in running:
            found.append(self._line(step))
            tail = list(step.lines)[-min(_TAIL, room) :] if room else []
            found += [self._painted(fitting(f"   │ {line}", self._width()), _DIM) for line in tail]
        return found

    def _count(self) -> str:
        return f"{self._board.ended}/{max(self._board.planned, len(self._board.steps))}"

    def _line(self, step: Step) -> str:
        mark = _MARKS.get(step.state, _SPINNER[self._turn % len(_SPINNER)])
        seconds = step.seconds if step.state != "running" else self._board.now() - step.began
        time = "CACHED" if step.state == "cached" else f"{seconds:.1f}s"
        width = self._width()
        words = fitting(f" {mark} {step.title}", width - len(time) - 1)
        gap = " " * max(1, width - columns(words) - len(time))
        return self._painted(words + gap + time, _TONES.get(step.state, ""))

    def _toned(self, line: str) -> str:
        if line.startswith("WARNING"):
            return self._painted(line, _YELLOW)
        return self._painted(line, _RED) if ">>>" in line else line

    def _painted(self, text: str, tone: str) -> str:
        return f"\x1b[{tone}m{text}\x1b[0m" if self._colour and tone else text

    def _width(self) -> int:
        """One column stays free: a line that fills all of them makes some terminals begin another."""
        return max(20, self._size().columns - 1)

    def _size(self) -> os.terminal_size:
        try:
            found = os.get_terminal_size(self._output.fileno())
        except OSError:
            return os.terminal_size((80, 24))
        return found if found.columns and found.lines else os.terminal_size((80, 24))


def columns(text: str) -> int:
    """How many columns a text takes: wide characters two, combining ones none."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each in text
    )


def fitting(text: str, width: int) -> str:
    """The text, or its beginning with an ellipsis, in that many columns."""
    if columns(text) <= width:
        return text
    taken, used = "", 0
    for each in text:
        used += columns(each)
        if used > width - 1:
            break
        taken += each
    return f"{taken}…"
