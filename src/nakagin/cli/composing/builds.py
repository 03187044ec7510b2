"""Builds of several services at once, shown as one: steps are counted through, and named after their services."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

from nakagin.cli.building.show import EVENT, settle, show
from nakagin.cli.composing.building import messages_of
from nakagin.cli.composing.context import Compose
from nakagin.compose.execute import AT_ONCE, Execution
from nakagin.compose.model import Project
from nakagin.compose.observe import State, is_ours
from nakagin.compose.supply import plan_builds

Message = dict[str, Any]
#: What a build tells; an error or None at the end of all of them.
Told = SimpleQueue[tuple[str, Message] | BaseException | None]


def build_all(
    compose: Compose, project: Project, names: Sequence[str], words: Sequence[str], form: str
) -> None:
    """Build the images of these services, those first from which others are built. Raises the first failure.

    An engine of another kind tells all in sentences of its own, which can only be read one build after the other.
    """
    told: Told = SimpleQueue()

    def build(built: Project, name: str) -> Iterator[Message]:
        try:
            for message in messages_of(compose, built, name, words):
                told.put((name, message))
        except BaseException as error:
            told.put(error)  # the other builds are left to the engine, which ends them with our connection
            raise
        return iter(())

    at_once = (compose.at_once or AT_ONCE) if is_ours(compose.client) else 1
    execution = Execution(project, State(), compose.connect, at_once=at_once, build=build)

    def work() -> None:
        try:
            execution.run(plan_builds(project, names))
        except BaseException as error:  # noqa: BLE001  (carried to whoever reads)
            told.put(error)
        else:
            told.put(None)

    threading.Thread(target=work, daemon=True).start()
    coming = _until_the_end(told)
    show(joined(coming) if len(names) > 1 else (message for _, message in coming), settle(form, quiet=False))


def _until_the_end(told: Told) -> Iterator[tuple[str, Message]]:
    while (each := told.get()) is not None:
        if isinstance(each, BaseException):
            raise each
        yield each


def joined(told: Iterable[tuple[str, Message]]) -> Iterator[Message]:
    """(service, what its build tells) of several builds as what one build would tell."""
    numbers: dict[tuple[str, int], int] = {}
    planned: dict[str, int] = {}
    for name, message in told:
        if message.get("id") != EVENT:
            yield {**message, "id": f"{name} {message['id']}"} if message.get("id") else message
            continue
        event = dict(message["aux"])
        if number := int(event.get("number") or 0):
            event["number"] = numbers.setdefault((name, number), len(numbers) + 1)
        match event["event"]:
            case "planned":
                planned[name] = int(event["steps"])
                event["steps"] = sum(planned.values())
            case "begun":
                event["stage"] = f"{name} {event.get('stage', '')}".rstrip()
            case "warning":
                event["message"] = f"{name}: {event['message']}"
        yield {**message, "aux": event}
