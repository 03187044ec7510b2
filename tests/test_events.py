"""Events are told to who listens, in order, filtered as Docker filters them."""

from __future__ import annotations

import asyncio
import time

import pytest

from nakagin.errors import Invalid, Unavailable
from nakagin.events import BACKLOG, Event, EventBus, EventFilter


def event(type: str = "container", action: str = "start", id: str = "abc", **attributes: str) -> Event:
    return Event(type, action, id, attributes, 1)


def test_document() -> None:
    document = event(image="busybox", name="web").document()
    assert document["Actor"] == {"ID": "abc", "Attributes": {"image": "busybox", "name": "web"}}
    assert (document["status"], document["id"], document["from"]) == ("start", "abc", "busybox")
    assert "status" not in event("network", "connect").document()


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({}, True),
        ({"type": ["container"]}, True),
        ({"type": ["image", "container"], "event": ["start"]}, True),
        ({"event": ["exec_create"]}, False),
        ({"container": ["web"]}, True),
        ({"container": ["ab"]}, True),
        ({"container": ["db"]}, False),
        ({"image": ["busybox"]}, True),
        ({"image": ["busybox:v1"]}, True),
        ({"image": ["debian"]}, False),
        ({"label": ["tier=front"]}, True),
        ({"label": ["tier=front", "missing"]}, False),
        ({"volume": ["web"]}, False),
        ({"scope": ["local"]}, True),
        ({"type": []}, True),
    ],
)
def test_filters(filters: dict[str, list[str]], kept: bool) -> None:
    assert EventFilter(filters)(event(image="busybox:v1", name="web", tier="front")) is kept


def test_an_action_with_words_is_chosen_by_its_verb() -> None:
    assert EventFilter({"event": ["exec_start"]})(event(action="exec_start: sh"))


def test_unknown_filters_are_refused() -> None:
    with pytest.raises(Invalid, match="invalid filter 'colour'"):
        EventFilter({"colour": ["red"]})


async def test_remembered_and_live_events_come_in_order_and_once() -> None:
    bus = EventBus()
    first = bus.publish("container", "create", "1")
    found = bus.subscribe(since_ns=first.time_ns)
    bus.publish("container", "start", "1")
    await asyncio.to_thread(bus.publish, "volume", "destroy", "v")
    async with asyncio.timeout(5):
        got = [await anext(found) for _ in range(3)]
    assert [each.action for each in got] == ["create", "start", "destroy"]
    assert sorted({each.time_ns for each in got}) == [each.time_ns for each in got]
    assert bus.listeners == 1


async def test_until_ends_the_stream() -> None:
    bus = EventBus()
    bus.publish("container", "create", "1")
    soon = time.time_ns() + 50_000_000
    async with asyncio.timeout(5):
        assert [each.action async for each in bus.subscribe(since_ns=0, until_ns=soon)] == ["create"]
        assert [each async for each in bus.subscribe(until_ns=1)] == []
    assert bus.listeners == 0


async def test_who_does_not_read_is_told_what_it_missed_not_waited_for() -> None:
    bus = EventBus()
    found = bus.subscribe()
    for _ in range(BACKLOG + 5):
        bus.publish("container", "top", "1")
    with pytest.raises(Unavailable, match="behind"):
        async for _ in found:
            pass
