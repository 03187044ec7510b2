"""Containers that are started on a schedule: the label `nakagin.schedule` says when, `nakagin.schedule.zone` where.

One that still runs when its time comes is passed over; times that pass while no engine runs are not made up for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nakagin.containers.model import NEVER, nanoseconds
from nakagin.errors import NakaginError
from nakagin.spec.labels import SCHEDULE, SCHEDULE_ZONE

if TYPE_CHECKING:
    from nakagin.containers.shelf import Capsule, Shelf
    from nakagin.containers.watch import Watch
    from nakagin.spec.schedule import Schedule

log = logging.getLogger("nakagin.timetable")

#: Seconds after which the clock is looked at again, in case somebody set it.
_LOOK = 60.0


def schedule_of(labels: Mapping[str, str]) -> Schedule | None:
    """What the labels of a container say. Raises Invalid."""
    text = labels.get(SCHEDULE)
    if not text:
        return None
    from nakagin.spec.schedule import Schedule  # with its time zones: few engines need it

    return Schedule(text, labels.get(SCHEDULE_ZONE, ""))


class Timetable:
    """One engine's."""

    def __init__(self, shelf: Shelf, watch: Watch) -> None:
        self._shelf = shelf
        self._watch = watch
        self._changed = asyncio.Event()
        #: id → when it is started next, in seconds since the epoch
        self._due: dict[str, float] = {}
        self._starts: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Start what is due, for as long as the engine runs."""
        for capsule in self._shelf:
            self.enter(capsule)
        try:
            while True:
                patience = min(self._due.values(), default=None)
                if patience is not None:
                    patience = min(max(patience - time.time(), 0.0), _LOOK)
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), patience)
                self._start_due(time.time())
        finally:
            for task in self._starts:
                task.cancel()

    def enter(self, capsule: Capsule) -> None:
        """Take a container in, if it has a schedule."""
        schedule = schedule_of(capsule.record.config.labels)
        if schedule is None:
            return
        facts = capsule.record.facts
        began = capsule.record.created if facts.started_at == NEVER else facts.started_at
        # An interval goes on from the last start, also from one that an engine before this one made.
        after = (
            max(nanoseconds(began) / 1e9, time.time() - schedule.every / 1e9)
            if schedule.every
            else time.time()
        )
        self._due[capsule.id] = schedule.next(after)
        self._changed.set()

    def _start_due(self, now: float) -> None:
        for id in [id for id, due in self._due.items() if due <= now]:
            capsule = self._shelf.get(id)
            schedule = schedule_of(capsule.record.config.labels) if capsule else None
            if capsule is None or schedule is None:
                del self._due[id]
                continue
            self._due[id] = schedule.next(now)
            task = asyncio.create_task(self._start(capsule))
            self._starts.add(task)
            task.add_done_callback(self._starts.discard)

    async def _start(self, capsule: Capsule) -> None:
        async with capsule.lock:
            record = capsule.record
            if record.facts.intent != "kept":
                return
            if record.running or record.facts.restarting:
                log.info("%s still runs: it is not started", record.name)
                self._watch.publish(capsule, "schedule: still running")
                return
            try:
                await self._watch.start(capsule)
            except NakaginError as error:  # which is in the record, too
                log.warning("%s could not be started on its schedule: %s", record.name, error)
