"""A build for logs and pipes: every line once, with the number of its step, as they come."""

from __future__ import annotations

from nakagin.cli.building.board import Board
from nakagin.cli.building.report import closing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from nakagin.cli.building.board import Event, Step


class Plain:
    """Writes to `output`; `closed` at the end."""

    def __init__(self, output: TextIO) -> None:
        self._board = Board()
        self._output = output

    def feed(self, event: Event) -> None:
        step, lines = self._board.feed(event)
        if step is not None:
            self._of_step(step, str(event["event"]), lines)
        self._output.flush()

    def message(self, text: str) -> None:
        """Something that is no event: the words of a pull or push."""
        self._output.write(text if text.endswith("\n") else f"{text}\n")
        self._output.flush()

    def close(self) -> None:
        for line in closing(self._board):
            self._output.write(f"{line}\n")
        self._output.flush()

    def _of_step(self, step: Step, event: str, lines: list[str]) -> None:
        write, number = self._output.write, step.number
        seconds = self._board.now() - step.began
        if event == "begun":
            write(f"#{number} {step.title}\n")
        for line in lines:
            write(f"#{number} {seconds:.3f} {line}\n".replace(" \n", "\n"))
        if event == "explained":
            write(f"#{number} {step.reason}\n")
        if event == "cached":
            write(f"#{number} CACHED\n")
        elif event == "failed":
            write(f"#{number} ERROR {step.seconds:.1f}s\n")
        elif event == "done":
            write("\n" if step.state == "cached" else f"#{number} DONE {step.seconds:.1f}s\n\n")
