"""The progress of a build, in the form that --progress asks for, on standard error."""

from __future__ import annotations

import json
import os
import sys
from itertools import chain

from nakagin.cli.terminal import is_terminal
from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Protocol, TextIO

    from nakagin.cli.building.board import Event

    Message = dict[str, Any]

    class Viewer(Protocol):
        """What shows a build."""

        def feed(self, event: Event) -> None:
            """Show an event."""

        def message(self, text: str) -> None:
            """Show something that is no event."""

        def close(self) -> None:
            """Say what is to be said at the end."""


EVENT = "nakagin.event"
FORMS = ("auto", "plain", "tty", "rawjson", "quiet", "none")


def settle(progress: str, *, quiet: bool) -> str:
    """The form that is meant; Invalid where there is none of that name."""
    form = "quiet" if quiet else progress or os.environ.get("BUILDKIT_PROGRESS", "") or "auto"
    if form not in FORMS:
        raise Invalid(f"invalid progress form: {form!r}", hint=f"known are {', '.join(FORMS)}")
    if form == "auto":
        living = is_terminal(sys.stderr.fileno()) and os.environ.get("TERM") != "dumb"
        return "tty" if living else "plain"
    return form


def show(messages: Iterable[Message], form: str) -> None:
    """Take the messages to their end and show them. From an engine of another kind they come in its own words."""
    coming = iter(messages)
    first = next(coming, None)
    if first is None:
        return
    whole = chain([first], coming)
    if form in ("quiet", "none"):
        for _ in whole:
            pass
    elif first.get("id") == EVENT:
        _watch(whole, form)
    else:
        from nakagin.cli.progress import show_progress

        show_progress(whole, sys.stdout)


def _watch(messages: Iterator[Message], form: str) -> None:
    viewer = _viewer(form, sys.stderr)
    said: dict[str, str] = {}
    try:
        for message in messages:
            if message.get("id") == EVENT:
                event = message["aux"]
                viewer.message(event["text"]) if event["event"] == "noted" else viewer.feed(event)
                continue
            layer, status = str(message.get("id", "")), str(message.get("status", ""))
            if status and not message.get("progressDetail") and said.get(layer) != status:
                said[layer] = status if layer else ""
                viewer.message(f"{layer}: {status}" if layer else status)
    finally:
        viewer.close()


def _viewer(form: str, output: TextIO) -> Viewer:
    if form == "tty":
        from nakagin.cli.building.screen import Screen

        return Screen(output)
    if form == "rawjson":
        return _Raw(output)
    from nakagin.cli.building.plain import Plain

    return Plain(output)


class _Raw:
    """Every event as a line of JSON."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def feed(self, event: Event) -> None:
        self._output.write(json.dumps(event) + "\n")
        self._output.flush()

    def message(self, text: str) -> None:
        self.feed({"event": "said", "message": text})

    def close(self) -> None:
        pass
