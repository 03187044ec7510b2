"""Wakes those who follow logs: one inotify instance for all of a loop, as a user may have few of them."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from nakagin.kernel import inotify


class Watcher:
    """The folders that are watched, and who waits for which; holds a descriptor only while somebody does."""

    def __init__(self) -> None:
        self._fd = -1
        self._waiting: dict[int, set[asyncio.Event]] = {}

    @contextmanager
    def changes(self, folder: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever something in `folder` is written, made or renamed."""
        event = asyncio.Event()
        if self._fd < 0:
            self._fd = inotify.instance()
            asyncio.get_running_loop().add_reader(self._fd, self._read)
        try:
            number = inotify.watch(self._fd, folder, inotify.MODIFY | inotify.CREATE | inotify.MOVED_TO)
            self._waiting.setdefault(number, set()).add(event)
            try:
                yield event
            finally:
                waiting = self._waiting[number]
                waiting.discard(event)
                if not waiting:
                    del self._waiting[number]
                    inotify.unwatch(self._fd, number)
        finally:
            if not self._waiting:
                self._close()

    def _read(self) -> None:
        for number in inotify.happened(self._fd):
            for event in self._waiting.get(number, ()):
                event.set()

    def _close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1


_of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Watcher] = weakref.WeakKeyDictionary()


def watcher() -> Watcher:
    """The running loop's."""
    loop = asyncio.get_running_loop()
    found = _of_loops.get(loop)
    if found is None:
        found = _of_loops[loop] = Watcher()
    return found
