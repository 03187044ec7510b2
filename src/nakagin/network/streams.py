"""One TCP connection of a container to the name server: questions one after the other (RFC 7766)."""

from __future__ import annotations

from nakagin.kernel.loop import GONE, READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from nakagin.kernel.loop import Loop
    from nakagin.network.doors import Door
    from nakagin.network.forwarding import Timers

    # Answers a question at a door, now or later, by calling with the answer (b"": none).
    Answer = Callable[[Door, bytes, Callable[[bytes], None]], None]

IDLE = 20.0  # seconds without a question until the connection is closed
_CHUNK = 4096
_UNSENT_AT_MOST = 1 << 18


class Conversation:
    """Reads questions off a connection that does not block, and writes their answers in the same order."""

    __slots__ = ("_answer", "_door", "_in", "_loop", "_out", "_silent_for", "_sock", "_timers", "_waiting")

    def __init__(self, loop: Loop, timers: Timers, door: Door, sock: socket.socket, answer: Answer) -> None:
        self._loop = loop
        self._timers = timers
        self._door = door
        self._sock = sock
        self._answer = answer
        self._in = b""
        self._out = b""
        self._waiting = False
        self._silent_for = 0
        door.streams.add(sock)
        loop.watch(sock.fileno(), READ, self._on_ready)
        timers.after(IDLE / 2, self._look)

    @property
    def _open(self) -> bool:
        return self._sock.fileno() >= 0

    def _look(self) -> None:
        """Twice in a row without a question: enough."""
        if not self._open:
            return
        self._silent_for += not self._waiting
        if self._silent_for >= 2:
            self._close()
        else:
            self._timers.after(IDLE / 2, self._look)

    def _on_ready(self, events: int) -> None:
        try:
            if events & WRITE and self._out:
                self._out = self._out[self._sock.send(self._out) :]
            if events & (READ | GONE):
                data = self._sock.recv(_CHUNK)
                if not data:
                    self._close()
                    return
                self._in += data
        except BlockingIOError:
            pass
        except OSError:
            self._close()
            return
        self._go_on()

    def _go_on(self) -> None:
        """The next question, if one is there and the last one is answered."""
        while self._open and not self._waiting and len(self._out) < _UNSENT_AT_MOST:
            length = int.from_bytes(self._in[:2], "big")
            if len(self._in) < 2 + length or len(self._in) < 2:
                break
            query, self._in = self._in[2 : 2 + length], self._in[2 + length :]
            self._waiting = True
            self._silent_for = 0
            self._answer(self._door, query, self._on_answer)
        if self._open:
            reading = READ if not self._waiting else 0
            self._loop.watch(self._sock.fileno(), reading | (WRITE if self._out else 0), self._on_ready)

    def _on_answer(self, reply: bytes) -> None:
        if not self._open:
            return
        if not reply:
            self._close()
            return
        self._out += len(reply).to_bytes(2, "big") + reply
        try:
            self._out = self._out[self._sock.send(self._out) :]
        except BlockingIOError:
            pass
        except OSError:
            self._close()
            return
        answered_later, self._waiting = self._waiting, False
        if answered_later:
            self._timers.after(0, self._go_on)

    def _close(self) -> None:
        if self._open:
            self._loop.forget(self._sock.fileno())
            self._door.streams.discard(self._sock)
            self._sock.close()
