"""Waiting for containers by what the engine tells of them; nothing is asked over and over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from nakagin.errors import NakaginError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.client import Client

Document = dict[str, Any]


class Unmet(NakaginError):
    """A container came to a state from which what was waited for cannot come."""


def wait_for(client: Client, id: str, name: str, condition: str, seconds: int = 0) -> None:
    """Until a container is as `condition` (of depends_on, or "running_or_healthy") says. Raises Unmet.

    So it does after `seconds`, unless they are 0.
    """
    wanted = _CONDITIONS.get(condition, _running)
    await_state(client, id, lambda state: wanted(name, state), seconds)


def await_state(client: Client, id: str, met: Callable[[Document], bool], seconds: int = 0) -> None:
    """Until `met` of the container's State document holds; it may raise Unmet. NotFound where it goes away."""
    for _, state in _states(client, id, seconds):
        if met(state):
            return
    raise Unmet(
        f"not ready after {seconds} seconds" if seconds else "the engine stopped telling what happens"
    )


def watch_over(client: Client, id: str, name: str, seconds: float) -> None:
    """Return after `seconds` in which the container did not fail. Raises Unmet when it ended or became unhealthy."""
    for action, state in _states(client, id, seconds):
        _running_or_healthy(name, state)
        if action == "die" or not state.get("Running"):
            raise Unmet(
                f"container {name} exited ({state.get('ExitCode')})", hint=f"see its output with: logs {name}"
            )


def _states(client: Client, id: str, seconds: float) -> Iterator[tuple[str, Document]]:
    """("", its State now), then (action, State) at each change; for `seconds`, or for ever where they are 0.

    Raises NotFound where it goes away.
    """
    # Open before the look, so that nothing is missed between the two.
    until = f"{time.time() + seconds:.3f}" if seconds else None
    with client.events_stream(filters={"container": [id], "type": ["container"]}, until=until) as stream:
        yield "", client.containers.refer(id).inspect()["State"]
        for event in stream.documents():
            action = str(event.get("Action", event.get("status", "")))
            if action == "destroy":
                raise NotFound(f"container {id[:12]} was removed while it was waited for")
            if action.startswith(("health_status", "die", "start", "kill", "oom")):
                yield action, client.containers.refer(id).inspect()["State"]


def _running(name: str, state: Document) -> bool:
    if state.get("Status") in ("exited", "dead") and not state.get("Restarting"):
        raise Unmet(
            f"container {name} exited ({state.get('ExitCode')})", hint=f"see its output with: logs {name}"
        )
    return bool(state.get("Running"))


def _ended_well(name: str, state: Document) -> bool:
    if state.get("Running") or state.get("Restarting") or state.get("Status") == "created":
        return False
    if code := state.get("ExitCode"):
        raise Unmet(f"container {name} exited ({code})", hint=f"see its output with: logs {name}")
    return True


def _healthy(name: str, state: Document) -> bool:
    health = (state.get("Health") or {}).get("Status")
    if health in (None, "none"):
        raise Unmet(
            f"container {name} has no healthcheck configured", hint="add a healthcheck to the service"
        )
    if health == "unhealthy":
        last = (state["Health"].get("Log") or [{}])[-1]
        words = str(last.get("Output", "")).strip()[-200:]
        raise Unmet(f"container {name} is unhealthy", hint=f"its last check said: {words}" if words else None)
    if not state.get("Running"):
        _running(name, state)
    return bool(health == "healthy")


def _running_or_healthy(name: str, state: Document) -> bool:
    if (state.get("Health") or {}).get("Status") in (None, "none"):
        return _running(name, state)
    return _healthy(name, state)


_CONDITIONS = {
    "service_healthy": _healthy,
    "running_or_healthy": _running_or_healthy,
    "service_completed_successfully": _ended_well,
}
