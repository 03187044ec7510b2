"""What happened: events in Docker's words, the recent ones kept in memory, and who listens to them.

Rooms publish; the API's /events reads. A listener that does not read is dropped, never waited for.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from nakagin.errors import Invalid, Unavailable
from nakagin.spec.labels import has_labels

HISTORY = 256
BACKLOG = 4096


class Event(msgspec.Struct, frozen=True):
    """One event; `type` is "container", "image", "volume", "network" or "daemon"."""

    type: str
    action: str
    id: str
    attributes: dict[str, str]
    time_ns: int

    def document(self) -> dict[str, Any]:
        """The event as GET /events sends it, with the old fields of container and image events."""
        document: dict[str, Any] = {
            "Type": self.type,
            "Action": self.action,
            "Actor": {"ID": self.id, "Attributes": self.attributes},
            "scope": "local",
            "time": self.time_ns // 1_000_000_000,
            "timeNano": self.time_ns,
        }
        if self.type in ("container", "image"):
            document["status"] = self.action
            document["id"] = self.id
        if self.type == "container" and (image := self.attributes.get("image")):
            document["from"] = image
        return document


class EventFilter:
    """Docker's filters: every key must match, any value of a key suffices."""

    _BY_NOUN = (
        "container",
        "image",
        "volume",
        "network",
        "daemon",
        "plugin",
        "node",
        "service",
        "secret",
        "config",
    )

    def __init__(self, filters: Mapping[str, Sequence[str]] | None) -> None:
        self._filters = {key: tuple(values) for key, values in (filters or {}).items() if values}
        known = {"event", "label", "scope", "type", *self._BY_NOUN}
        for key in self._filters:
            if key not in known:
                raise Invalid(f"invalid filter '{key}'", hint=f"known filters: {', '.join(sorted(known))}")

    def __call__(self, event: Event) -> bool:
        return all(self._matches(event, key, values) for key, values in self._filters.items())

    def _matches(self, event: Event, key: str, values: Sequence[str]) -> bool:
        if key == "event":
            return any(event.action == value or event.action.startswith(value + ":") for value in values)
        if key == "type":
            return event.type in values
        if key == "scope":
            return "local" in values
        if key == "label":
            return has_labels(event.attributes, values)
        return _names(event, key, values)


def _names(event: Event, noun: str, values: Sequence[str]) -> bool:
    """Whether the event is about an object of this noun with one of these ids, id prefixes or names."""
    if event.type != noun:
        # `--filter image=x` also selects the container events of that image, as in Docker.
        return noun == "image" and event.type == "container" and _image_matches(event, values)
    name = event.attributes.get("name", "")
    if noun == "image" and _image_matches(event, values):
        return True
    return any(value.lstrip("/") == name or (value and event.id.startswith(value)) for value in values)


def _image_matches(event: Event, values: Sequence[str]) -> bool:
    names = {event.id, event.attributes.get("image", ""), event.attributes.get("name", "")}
    short = {name.rsplit(":", 1)[0] for name in names if "/" not in name.rsplit(":", 1)[-1]}
    return any(value in names or value in short for value in values)


class EventBus:
    """Publishes to every subscriber of this process and remembers the last `HISTORY` events."""

    def __init__(self) -> None:
        self._history: deque[Event] = deque(maxlen=HISTORY)
        self._subscribers: set[_Subscription] = set()
        self._last_ns = 0
        self.published = 0
        self._thread = threading.get_ident()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def listeners(self) -> int:
        """How many subscriptions are open now."""
        return len(self._subscribers)

    def publish(
        self,
        type: str,
        action: str,
        id: str,
        attributes: Mapping[str, str] | None = None,
    ) -> Event:
        """Tell everyone; times are strictly rising, so that `since` never skips or repeats one."""
        self._last_ns = max(time.time_ns(), self._last_ns + 1)
        event = Event(type, action, id, dict(attributes or {}), self._last_ns)
        self._history.append(event)
        self.published += 1
        if self._loop is None or threading.get_ident() == self._thread:
            self._offer(event)
        else:
            self._loop.call_soon_threadsafe(self._offer, event)
        return event

    def _offer(self, event: Event) -> None:
        for subscriber in tuple(self._subscribers):
            subscriber.offer(event)

    def history(self, since_ns: int, until_ns: int | None = None) -> list[Event]:
        """The remembered events with since_ns <= time <= until_ns, oldest first."""
        return [
            event
            for event in self._history
            if event.time_ns >= since_ns and (until_ns is None or event.time_ns <= until_ns)
        ]

    def subscribe(
        self,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> AsyncIterator[Event]:
        """Events from now on (after the remembered ones from `since_ns`), ending at `until_ns` (epoch, ns).

        The subscription is open when the call returns, so nothing published between the call and the first
        read is missed. Close it with `aclose()`. Raises Invalid for an unknown filter.
        """
        subscription = _Subscription(EventFilter(filters))
        for event in self.history(since_ns, until_ns) if since_ns is not None else ():
            subscription.offer(event)
        self._thread, self._loop = threading.get_ident(), asyncio.get_running_loop()
        self._subscribers.add(subscription)
        return self._deliver(subscription, until_ns)

    async def _deliver(self, subscription: _Subscription, until_ns: int | None) -> AsyncIterator[Event]:
        try:
            while True:
                remaining = None if until_ns is None else (until_ns - time.time_ns()) / 1e9
                event = await subscription.take(remaining)
                if event is None or (until_ns is not None and event.time_ns > until_ns):
                    return
                yield event
        finally:
            self._subscribers.discard(subscription)


class _Subscription:
    """A bounded queue of the events that pass one filter."""

    def __init__(self, chosen: EventFilter) -> None:
        self._chosen = chosen
        self._queue: asyncio.Queue[Event] = asyncio.Queue()
        self._lost = False

    def offer(self, event: Event) -> None:
        if not self._chosen(event):
            return
        if self._queue.qsize() >= BACKLOG:
            self._lost = True
            return
        self._queue.put_nowait(event)

    async def take(self, patience: float | None) -> Event | None:
        """The next event; None when `patience` seconds have passed; Unavailable when events were lost."""
        if not self._queue.empty():
            return self._queue.get_nowait()
        if self._lost:
            raise Unavailable(
                f"this listener fell more than {BACKLOG} events behind", hint="read faster, or filter"
            )
        if patience is not None and patience <= 0:
            return None
        try:
            return await asyncio.wait_for(self._queue.get(), patience)
        except TimeoutError:
            return None
