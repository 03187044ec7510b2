"""What a build has to say when it is over: warnings with their lines, the page of an error, what was built."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nakagin.cli.building.board import Board, Event

_LAST = 20
_RULE = "------"
_SHORT = 12


def closing(board: Board) -> Iterator[str]:
    """The lines, in this order: warnings, then the image or the failed step."""
    for each in board.warnings:
        yield ""
        yield from _warning(each)
    if board.failure is not None:
        yield ""
        yield from _failure(board, board.failure)
        return
    for each in board.built:
        id = str(each["id"]).removeprefix("sha256:")
        yield f"Successfully built {id[:_SHORT]}"
        yield from (f"Successfully tagged {name}" for name in each.get("names", ()))


def _warning(event: Event) -> Iterator[str]:
    line = int(event.get("line") or 0)
    where = f" (line {line})" if line else ""
    yield f"WARNING {event['rule']}: {event['message']}{where}"
    if event.get("explanation"):
        yield f"  {event['explanation']}"
    yield from _indented(str(event.get("excerpt", "")))


def _failure(board: Board, event: Event) -> Iterator[str]:
    step = board.steps.get(int(event["number"]))
    if step is not None and step.lines:
        yield _RULE
        yield f" > {step.title}:"
        yield from (f"   {line}" for line in list(step.lines)[-_LAST:])
        yield _RULE
    yield from str(event.get("excerpt", "")).splitlines()
    if event.get("code"):
        yield meaning(int(event["code"]))
        yield "To look around in this state, build again with --on-error=shell"


def meaning(code: int) -> str:
    """An exit code in words."""
    if code == 126:
        return (
            "exit code 126: the command was found but can not be executed (a missing x bit, another platform)"
        )
    if code == 127:
        return "exit code 127: the command was not found in the image"
    if code == 137:
        return "exit code 137: it was killed (SIGKILL), perhaps for want of memory; see --memory"
    if code > 128:
        return f"exit code {code}: ended by signal {code - 128}"
    return f"exit code {code}"


def _indented(text: str) -> Iterator[str]:
    yield from (f"  {line}" for line in text.splitlines())
