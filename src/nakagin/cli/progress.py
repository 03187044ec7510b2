"""Progress of pulls, pushes and loads: one living line for each layer on a terminal, else each change of state once."""

from __future__ import annotations

import os

from nakagin.cli.quantities import human_size
from nakagin.cli.terminal import is_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TextIO

    Message = dict[str, Any]

_BAR = 30


def show_progress(messages: Iterable[Message], output: TextIO, *, quiet: bool = False) -> None:
    """Take the messages to their end, showing them unless `quiet`."""
    if quiet:
        for _ in messages:
            pass
    elif is_terminal(output.fileno()) and os.environ.get("TERM") != "dumb":
        _live(messages, output)
    else:
        _plain(messages, output)


def _plain(messages: Iterable[Message], output: TextIO) -> None:
    shown: dict[str, str] = {}
    for message in messages:
        if "stream" in message:
            output.write(str(message["stream"]))
            continue
        status, layer = str(message.get("status", "")), str(message.get("id", ""))
        if not status or message.get("progressDetail") or shown.get(layer) == status:
            continue
        if layer:
            shown[layer] = status
        output.write(f"{layer}: {status}\n" if layer else f"{status}\n")
        output.flush()


def _live(messages: Iterable[Message], output: TextIO) -> None:
    """Lines of layers are written over in place; those above them scroll by as usual."""
    lines: list[str] = []
    for message in messages:
        status, layer = str(message.get("status", "")), str(message.get("id", ""))
        if "stream" in message:
            output.write(str(message["stream"]))
            lines.clear()
        elif (layer and "progressDetail" in message) or message.get("progressDetail"):
            if layer not in lines:
                lines.append(layer)
                output.write("\n")
            up = len(lines) - lines.index(layer)
            width, height = _size(output)
            if up < height:  # else it has scrolled out of reach
                output.write(f"\x1b[{up}A\r\x1b[2K{line(layer, status, message['progressDetail'], width)}")
                output.write(f"\x1b[{up}B\r")
        elif status:
            output.write(f"{layer}: {status}\n" if layer else f"{status}\n")
            lines.clear()
        output.flush()


def line(layer: str, status: str, detail: Message | None, width: int) -> str:
    """One layer's line, not longer than the terminal is wide, as a longer one would break the picture."""
    current, total = int((detail or {}).get("current", 0)), int((detail or {}).get("total", 0))
    text = f"{layer}: {status}" if layer else status
    if total > 0:
        filled = min(current, total) * _BAR // total
        text = f"{text:<26} {'━' * filled}{'─' * (_BAR - filled)} {human_size(current)}/{human_size(total)}"
    return text[: max(width - 1, 20)]


def _size(output: TextIO) -> tuple[int, int]:
    """Columns and lines of the terminal; what it does not tell is as it mostly is."""
    try:
        size = os.get_terminal_size(output.fileno())
    except OSError:
        return 80, 24
    return size.columns or 80, size.lines or 24
