"""Progress as Docker streams it: JSON objects with status, id and progressDetail, and the drawn bar. Pure.

The words are fixed: docker's command line, docker-py and many scripts look for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    Tell = Callable[[dict[str, Any]], None]
    """Takes one message of the stream."""

WAITING = "Waiting"
DOWNLOADING = "Downloading"
VERIFYING = "Verifying Checksum"
DOWNLOADED = "Download complete"
EXTRACTING = "Extracting"
COMPLETE = "Pull complete"
EXISTS = "Already exists"
FS_LAYER = "Pulling fs layer"
RETRYING = "Retrying"

PREPARING = "Preparing"
PUSHING = "Pushing"
PUSHED = "Pushed"
LAYER_EXISTS = "Layer already exists"
SKIPPED = "Skipped foreign layer"

_WIDTH = 50
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


class State(NamedTuple):
    """How far a piece of work is: Docker's word, and bytes of bytes where that says something."""

    status: str
    current: int = 0
    total: int = 0


def message(id: str, state: State) -> dict[str, Any]:
    """One line of a layer."""
    detail: dict[str, int] = {}
    document: dict[str, Any] = {"status": state.status, "progressDetail": detail, "id": id}
    if state.current or state.total:
        if state.current:
            detail["current"] = state.current
        if state.total:
            detail["total"] = state.total
        document["progress"] = bar(state.current, state.total)
    return document


def failure(text: str) -> dict[str, Any]:
    """The last line of a stream whose work failed."""
    return {"errorDetail": {"message": text}, "error": text}


def bar(current: int, total: int) -> str:
    """The line that old clients print: [====>   ]  1.2MB/3.4MB."""
    if total <= 0:
        return f"{human(current):>8}"
    current = min(current, total)
    filled = int(current / total * 100) // 2
    drawn = "=" * filled + ">" + " " * (_WIDTH - filled) if filled < _WIDTH else "=" * _WIDTH + ">"
    return f"[{drawn}]  {human(current):>8}/{human(total)}"


def human(size: float) -> str:
    """Four significant digits and a decimal unit: 1.234MB."""
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    return f"{size:.4g}{_UNITS[unit]}"


def short(digest: str) -> str:
    """The twelve digits that stand for a digest."""
    return digest.partition(":")[2][:12]
