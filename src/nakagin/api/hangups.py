"""Noticing clients that have gone without a word."""

from __future__ import annotations

import asyncio
import select
import weakref


class Hangups:
    """Notices clients that went away altogether after the end of their input.

    To a reader, a half-closed and a closed connection look the same; epoll without any asked-for event
    reports only the latter (EPOLLHUP, EPOLLERR). One epoll, itself polled by the loop, serves all clients.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._epoll = select.epoll()
        self._clients: dict[int, weakref.ref[asyncio.Transport]] = {}
        loop.add_reader(self._epoll.fileno(), self._report)

    def watch(self, transport: asyncio.Transport) -> None:
        """Abort `transport` when its client has gone altogether."""
        number = transport.get_extra_info("socket").fileno()
        if number >= 0:
            self._clients[number] = weakref.ref(transport)
            try:
                self._epoll.register(number, 0)
            except FileExistsError:
                self._epoll.modify(number, 0)

    def _report(self) -> None:
        for number, _ in self._epoll.poll(0):
            self._epoll.unregister(number)
            reference = self._clients.pop(number, None)
            if reference is not None and (transport := reference()) is not None:
                transport.abort()


_of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hangups] = weakref.WeakKeyDictionary()


def hangups() -> Hangups:
    """The running loop's."""
    loop = asyncio.get_running_loop()
    found = _of_loops.get(loop)
    if found is None:
        found = _of_loops[loop] = Hangups(loop)
    return found
