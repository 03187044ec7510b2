"""Where a container's output is written to: its file, another's log, both, and all of that without waiting."""

from __future__ import annotations

import _thread

from nakagin.monitor.logfile import Writer
from nakagin.monitor.logforward import Journal, Lines, Syslog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.monitor.logforward import Sink
    from nakagin.monitor.protocol import Message


def open_sink(wanted: Message) -> Sink | None:
    """What the launch request's "log" asks for (keys: monitor.protocol); None for no log."""
    sinks: list[Sink] = []
    if wanted["driver"] != "none":
        try:
            sinks.append(_file(wanted))
        except FileNotFoundError:
            return None  # the container is being removed while it starts: nothing must be made in its folder
    if forward := wanted.get("forward"):
        sinks.append(Lines(Syslog(forward) if forward["driver"] == "syslog" else Journal(forward)))
    if not sinks:
        return None
    sink = sinks[0] if len(sinks) == 1 else Both(sinks)
    return Ring(sink, wanted["buffer"]) if wanted.get("buffer") else sink


def _file(wanted: Message) -> Writer:
    return Writer(
        wanted["path"], max_size=wanted["max_size"], files=wanted["max_file"],
        compress=wanted.get("compress", False), attributes=wanted.get("attributes"),
    )  # fmt: skip


class Both:
    """Several sinks as one."""

    __slots__ = ("_sinks",)

    def __init__(self, sinks: list[Sink]) -> None:
        self._sinks = sinks

    def write(self, stream: str, data: bytes) -> None:
        """To each of them."""
        for sink in self._sinks:
            sink.write(stream, data)

    def clear(self) -> None:
        """Each of them."""
        for sink in self._sinks:
            sink.clear()

    def close(self) -> None:
        """Each of them."""
        for sink in self._sinks:
            sink.close()


class Ring:
    """mode=non-blocking: a thread writes, and output that finds `most` bytes waiting is dropped and counted."""

    __slots__ = ("_done", "_ended", "_filled", "_lock", "_lost", "_most", "_queue", "_sink", "_waiting")

    def __init__(self, sink: Sink, most: int) -> None:
        self._sink = sink
        self._most = most
        self._queue: list[tuple[str, bytes]] = []
        self._waiting = 0
        self._lost = 0
        self._ended = False
        self._lock = _thread.allocate_lock()  # held for the fields, never while the sink writes
        self._filled = _thread.allocate_lock()  # locked while there is nothing to do
        self._filled.acquire()
        self._done = _thread.allocate_lock()
        self._done.acquire()
        _thread.start_new_thread(self._work, ())

    def write(self, stream: str, data: bytes) -> None:
        """Leave it to the thread; never waits."""
        with self._lock:
            if self._waiting and self._waiting + len(data) > self._most:
                self._lost += len(data)
                return
            self._queue.append((stream, data))
            self._waiting += len(data)
            self._wake()

    def _wake(self) -> None:
        if self._filled.locked():
            self._filled.release()

    def _work(self) -> None:
        while True:
            self._filled.acquire()
            with self._lock:
                batch, self._queue, self._waiting = self._queue, [], 0
                lost, self._lost = self._lost, 0
                ended = self._ended
            for stream, data in batch:
                if stream:
                    self._sink.write(stream, data)
                else:
                    self._sink.clear()
            if lost:
                self._sink.write(
                    "stderr", f"[nakagin] {lost} bytes were lost here: the log was too slow\n".encode()
                )
            if ended:
                self._done.release()
                return

    def clear(self) -> None:
        """Left to the thread, too: what waits is written before, and so forgotten with the rest."""
        with self._lock:
            self._queue.append(("", b""))
            self._wake()

    def close(self) -> None:
        """Wait until what is there has been written."""
        with self._lock:
            self._ended = True
            self._wake()
        self._done.acquire()
        self._sink.close()
