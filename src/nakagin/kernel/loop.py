"""An event loop for small processes: epoll and one function per descriptor, nothing else."""

from __future__ import annotations

import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[int], None]

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
GONE = select.EPOLLHUP | select.EPOLLERR
# Events of one turn. By itself Python asks for a thousand, and has a buffer of 12 kB for them.
_AT_ONCE = 16


class Loop:
    """Calls `handler(events)` for each registered descriptor that is ready (epoll(7), level-triggered)."""

    __slots__ = ("_epoll", "_handlers")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}

    def watch(self, fd: int, events: int, handler: Handler) -> None:
        """Start, or change, what is awaited of `fd`; events 0 keeps only hang-up and error."""
        if fd in self._handlers:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        """Stop watching; must be called before the descriptor is closed. Unknown descriptors are fine."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def turn(self, timeout: float = -1) -> None:
        """Wait for events (seconds; -1: for ever) and handle one batch of them."""
        for fd, events in self._epoll.poll(timeout, _AT_ONCE):
            # An earlier handler of this batch may have closed the descriptor.
            handler = self._handlers.get(fd)
            if handler is not None:
                handler(events)

    def close(self) -> None:
        """Release the epoll descriptor."""
        self._epoll.close()
        self._handlers.clear()
