"""Work that several pulls want at once is done once: they join it, hear how it goes, and get its result.

The last one to leave before the end stops the work.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nakagin.tasks import drop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from nakagin.images.progress import State

Result = TypeVar("Result")


class Work(Generic[Result]):
    """One piece of work under way. Its task calls `tell`; whoever joined hears it, and first the last word said."""

    def __init__(self) -> None:
        self.said: State | None = None
        self._listeners: list[Callable[[State], None]] = []
        self._task: asyncio.Task[Result] | None = None

    def tell(self, state: State) -> None:
        """Say how it goes."""
        self.said = state
        for listener in self._listeners:
            listener(state)

    def begin(self, deed: Coroutine[Any, Any, Result], ended: Callable[[], None]) -> None:
        """Start the task; `ended` is called when it is over."""
        self._task = asyncio.get_running_loop().create_task(deed)
        self._task.add_done_callback(lambda task: ended())

    async def join(self, listener: Callable[[State], None]) -> Result:
        """Its result. Leaving (by being cancelled) stops the work where nobody else is left."""
        assert self._task is not None
        if self.said is not None:
            listener(self.said)
        self._listeners.append(listener)
        try:
            return await asyncio.shield(self._task)
        finally:
            self._listeners.remove(listener)
            if not self._listeners and not self._task.done():
                await drop(self._task)


class Sharing:
    """All work under way, by key."""

    def __init__(self) -> None:
        self._works: dict[str, Work[Any]] = {}

    def work(self, key: str, deed: Callable[[Work[Result]], Coroutine[Any, Any, Result]]) -> Work[Result]:
        """The work under `key`, started with `deed` where nobody is at it."""
        found: Work[Result] | None = self._works.get(key)
        if found is None:
            found = self._works[key] = Work()
            work = found
            found.begin(deed(work), lambda: self._ended(key, work))
        return found

    def find(self, key: str) -> Work[Any] | None:
        """The work under `key`, if somebody is at it."""
        return self._works.get(key)

    def _ended(self, key: str, work: Work[Any]) -> None:
        if self._works.get(key) is work:
            del self._works[key]
