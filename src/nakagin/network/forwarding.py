"""Questions that are for others: asked of all servers at once, the best answer passed on.

    UDP   one socket for each question and server: the kernel chooses its port, the id is random (RFC 5452);
          after a second without an answer it is sent once more
    TCP   one connection for each question and server (RFC 7766)

An answer with records wins at once. "No such name", or nothing of that kind, wins at once from the first
server of the list and after a short grace from another (a private server may stand beside a public one);
errors count only when every server had one.
"""

from __future__ import annotations

import heapq
import itertools
import os
import socket
import time
from errno import EADDRNOTAVAIL, EHOSTUNREACH, EINPROGRESS, ENETUNREACH

from nakagin.kernel.loop import READ, WRITE
from nakagin.network import dns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.kernel.loop import Loop

    Done = Callable[[bytes], None]
    # Makes a socket of (family, kind) in one network namespace.
    Opener = Callable[[int, int], socket.socket]

PORT = 53
TIMEOUT = 4.5  # seconds; a client's resolver gives up after 5 (resolv.conf(5))
RETRY = 1.0
GRACE = 0.25

_NO_WAY = {EADDRNOTAVAIL, EHOSTUNREACH, ENETUNREACH}


class Timers:
    """Calls functions at their time; a call that is not wanted any more is told apart by its owner."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (time.monotonic() + seconds, next(self._numbers), call))

    def run(self) -> float:
        """Make the calls that are due; seconds until the next one, -1 where there is none."""
        while self._heap:
            wait = self._heap[0][0] - time.monotonic()
            if wait > 0:
                return wait
            heapq.heappop(self._heap)[2]()
        return -1


class Server:
    """What is known of one server, for `nakagin network names`."""

    __slots__ = ("address", "answered", "asked", "error", "seconds", "won")

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked = 0
        self.answered = 0
        self.won = 0
        self.seconds = 0.0  # until the answer, summed
        self.error = ""

    def document(self) -> dict[str, object]:
        """As the API shows it; the mean time in milliseconds."""
        mean = round(1000 * self.seconds / self.answered, 2) if self.answered else 0
        return {
            "Address": self.address,
            "Asked": self.asked,
            "Answered": self.answered,
            "Won": self.won,
            "Milliseconds": mean,
            "LastError": self.error,
        }


class Inquiry:
    """One question to several servers; `done(reply)` is called once, with b"" where nobody answered.

    Each server comes with the openers to try: the next one where there is no way to it from the first's place.
    """

    def __init__(
        self,
        loop: Loop,
        timers: Timers,
        query: bytes,
        servers: Sequence[tuple[Server, Sequence[Opener]]],
        done: Done,
        *,
        stream: bool,
    ) -> None:
        self._loop = loop
        self._timers = timers
        self._done = done
        self._began = time.monotonic()
        self._asked_id = query[:2]
        # Our own id: a stranger that sees the client's query cannot forge the answer to ours.
        self.query = os.urandom(2) + query[2:]
        self._best = b""
        self._winner: Server | None = None
        self._open: dict[int, _Datagrams | _Stream] = {}
        self._finished = False
        self._first = servers[0][0] if servers else None
        for server, openers in servers:
            server.asked += 1
            self._begin(server, openers, _Stream if stream else _Datagrams)
        if not self._open:
            timers.after(0, self._finish)
            return
        timers.after(TIMEOUT, self._on_timeout)
        if not stream:
            timers.after(RETRY, self._ask_again)

    def _begin(self, server: Server, openers: Sequence[Opener], kind: type[_Datagrams | _Stream]) -> None:
        family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
        for each in openers:
            try:
                asking = kind(self, server, each(family, kind.kind))
            except OSError as error:
                server.error = error.strerror or str(error)
                if error.errno not in _NO_WAY:
                    return
            else:
                self._open[asking.sock.fileno()] = asking
                self.watch(asking)
                return

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        self._done = lambda _: None
        self._finish()

    def watch(self, asking: _Datagrams | _Stream) -> None:
        """Await what this one awaits now."""
        self._loop.watch(asking.sock.fileno(), asking.events, asking.on_ready)

    def failed(self, asking: _Datagrams | _Stream, why: str) -> None:
        """One server will not answer."""
        asking.server.error = why
        self._close(asking)

    def heard(self, asking: _Datagrams | _Stream, reply: bytes) -> None:
        """One server's answer; those that answer something else are not heard at all."""
        if not dns.is_answer(self.query, reply):
            asking.server.error = "answered another question"
            return
        server = asking.server
        server.answered += 1
        server.seconds += time.monotonic() - self._began
        if not dns.is_settled(reply):
            server.error = f"response code {dns.code_of(reply)}"
            self._best = self._best or reply
            self._winner = self._winner or server
            self._close(asking)
            return
        if not self._best or not dns.is_settled(self._best):
            self._best, self._winner = reply, server
        if dns.has_records(reply) or server is self._first:
            self._best, self._winner = reply, server
            self._finish()
            return
        self._timers.after(GRACE, self._finish)
        self._close(asking)

    def _close(self, asking: _Datagrams | _Stream) -> None:
        if self._open.pop(asking.sock.fileno(), None) is not None:
            self._loop.forget(asking.sock.fileno())
            asking.sock.close()
        if not self._open:
            self._finish()

    def _ask_again(self) -> None:
        for each in list(self._open.values()):
            if isinstance(each, _Datagrams):
                each.ask()

    def _on_timeout(self) -> None:
        for each in self._open.values():
            each.server.error = "no answer"
        self._finish()

    def _finish(self) -> None:
        if self._finished:
            return
        self._finished = True
        for each in self._open.values():
            self._loop.forget(each.sock.fileno())
            each.sock.close()
        self._open.clear()
        if self._winner is not None and dns.is_settled(self._best):
            self._winner.won += 1
        self._done(self._asked_id + self._best[2:] if self._best else b"")


class _Datagrams:
    """One server asked by UDP."""

    events = READ
    kind = socket.SOCK_DGRAM

    def __init__(self, inquiry: Inquiry, server: Server, sock: socket.socket) -> None:
        self._inquiry = inquiry
        self.server = server
        self.sock = sock
        try:
            # Connected: the kernel drops what comes from elsewhere, and tells of a closed port.
            sock.connect((server.address, PORT))
            sock.send(inquiry.query)
        except OSError:
            sock.close()
            raise

    def ask(self) -> None:
        try:
            self.sock.send(self._inquiry.query)
        except OSError as error:
            self._inquiry.failed(self, error.strerror or str(error))

    def on_ready(self, _: int) -> None:
        try:
            reply = self.sock.recv(dns.LARGEST_STREAM)
        except BlockingIOError:
            return
        except OSError as error:
            self._inquiry.failed(self, error.strerror or str(error))
            return
        self._inquiry.heard(self, reply)


class _Stream:
    """One server asked by TCP."""

    kind = socket.SOCK_STREAM

    def __init__(self, inquiry: Inquiry, server: Server, sock: socket.socket) -> None:
        self._inquiry = inquiry
        self.server = server
        self.sock = sock
        self.events = WRITE
        self._out = len(inquiry.query).to_bytes(2, "big") + inquiry.query
        self._in = b""
        if (error := sock.connect_ex((server.address, PORT))) not in {0, EINPROGRESS}:
            sock.close()
            raise OSError(error, os.strerror(error))

    def on_ready(self, _: int) -> None:
        try:
            if self.events == WRITE:
                self._send()
            else:
                self._receive()
        except BlockingIOError:
            return
        except OSError as error:
            self._inquiry.failed(self, error.strerror or str(error))

    def _send(self) -> None:
        if error := self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        self._out = self._out[self.sock.send(self._out) :]
        if not self._out:
            self.events = READ
            self._inquiry.watch(self)

    def _receive(self) -> None:
        data = self.sock.recv(dns.LARGEST_STREAM)
        if not data:
            raise ConnectionResetError(104, "connection closed")
        self._in += data
        length = int.from_bytes(self._in[:2], "big")
        if len(self._in) >= 2 + length > 2:
            reply = self._in[2 : 2 + length]
            self._in = b""
            self._inquiry.heard(self, reply)
            if self.sock.fileno() >= 0:
                self._inquiry.failed(self, "answered another question")


def open_socket(family: int, kind: int) -> socket.socket:
    """A socket that does not block, in the present network namespace."""
    return socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
