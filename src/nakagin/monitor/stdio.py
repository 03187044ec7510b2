"""Carries the bytes of one process: its output to log and attached streams, their input to it.

Nothing is lost: the log is written first, and a client that reads slowly holds the process back, as a
full pipe would. A client that goes away is dropped. All descriptors given to this room belong to it.
"""

from __future__ import annotations

import os
import socket
import struct

from nakagin.kernel.loop import GONE, READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nakagin.kernel.loop import Loop
    from nakagin.monitor.logforward import Sink

CHUNK = 64 * 1024
# How much an attached client may lag behind before the process's output is left in its pipe.
LAG = 1 << 20

STDOUT = 1
STDERR = 2
_NAMES = {STDOUT: "stdout", STDERR: "stderr"}


class Stream:
    """One attached client: a connected stream socket.

    With `multiplexed` each piece is preceded by Docker's header (stream number, three zeros, length).
    """

    __slots__ = ("channels", "fd", "multiplexed", "pending", "reads", "sock")

    def __init__(self, fd: int, *, stdin: bool, stdout: bool, stderr: bool, multiplexed: bool) -> None:
        self.sock = socket.socket(fileno=fd)
        self.sock.setblocking(False)
        self.fd = fd
        self.channels = {STDOUT: stdout, STDERR: stderr}
        self.multiplexed = multiplexed
        self.reads = stdin
        self.pending = bytearray()

    def push(self, channel: int, data: bytes) -> None:
        """Queue output of `channel` for the client, where it wants that channel."""
        if not self.channels[channel]:
            return
        if self.multiplexed:
            self.pending += struct.pack(">BxxxL", channel, len(data))
        self.pending += data

    def flush(self) -> bool:
        """Write what the socket takes; False where the client is gone."""
        while self.pending:
            try:
                sent = self.sock.send(self.pending, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return True
            except OSError:
                return False
            del self.pending[:sent]
        return True


class Stdio:
    """The standard streams of one process and the clients attached to them.

    `outputs` maps a readable descriptor to STDOUT or STDERR (a terminal's master: STDOUT alone); `stdin` is
    the writable end (the same master with a terminal), or -1.
    """

    __slots__ = (
        "_clients", "_closing_stdin", "_input", "_log", "_loop", "_outputs", "_stalled", "_stdin",
        "_stdin_once", "_tty", "on_end",
    )  # fmt: skip

    def __init__(
        self,
        loop: Loop,
        *,
        outputs: dict[int, int],
        stdin: int,
        tty: bool,
        stdin_once: bool,
        log: Sink | None,
    ) -> None:
        self._loop = loop
        self._outputs = outputs
        self._stdin = stdin
        self._tty = tty
        self._stdin_once = stdin_once
        self._log = log
        self._clients: dict[int, Stream] = {}
        self._input = bytearray()
        self._closing_stdin = False
        self._stalled = False
        self.on_end: Callable[[], None] | None = None
        """Called when all output has ended, before the clients find that out."""
        for fd in {*outputs, stdin} - {-1}:
            os.set_blocking(fd, False)
        for fd in outputs:
            self._watch_output(fd)

    def attach(self, fd: int, *, stdin: bool, stdout: bool, stderr: bool) -> None:
        """Add a client on socket `fd`; where all output has ended, it finds the end of the stream."""
        client = Stream(
            fd, stdin=stdin and self._stdin >= 0, stdout=stdout, stderr=stderr, multiplexed=not self._tty
        )
        if not self._outputs:
            client.sock.close()
            return
        self._clients[fd] = client
        self._watch_client(client)

    def drain(self) -> None:
        """Take what the output pipes still hold and end them: their writers are dead, or no longer matter."""
        for fd in list(self._outputs):
            while fd in self._outputs and self._read_output(fd):
                pass
        for fd in list(self._outputs):
            self._end_output(fd)

    @property
    def idle(self) -> bool:
        """Whether all output has ended and every client has got all of it."""
        return not self._outputs and not self._clients

    def _watch_output(self, fd: int) -> None:
        if self._tty and fd == self._stdin:
            events = (0 if self._stalled else READ) | (WRITE if self._input else 0)
            self._loop.watch(fd, events, self._on_terminal)
            return

        def on_output(events: int) -> None:
            self._on_output(fd, events)

        self._loop.watch(fd, 0 if self._stalled else READ, on_output)

    def _on_terminal(self, events: int) -> None:
        if events & WRITE:
            self._feed()
        if events & (READ | GONE) and self._stdin in self._outputs:
            self._on_output(self._stdin, events)

    def _on_output(self, fd: int, events: int) -> None:
        if self._stalled and not events & READ:
            # Hang-up is reported even while we look away; leave the pipe until the clients have caught up.
            self._loop.forget(fd)
            return
        self._read_output(fd)

    def _read_output(self, fd: int) -> bool:
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # EIO: the last process has closed the terminal's other side
            data = b""
        if not data:
            self._end_output(fd)
            return False
        channel = self._outputs[fd]
        if self._log is not None:
            self._log.write(_NAMES[channel], data)
        for client in list(self._clients.values()):
            client.push(channel, data)
            self._flush(client)
        self._balance()
        return True

    def _end_output(self, fd: int) -> None:
        self._loop.forget(fd)
        del self._outputs[fd]
        if not (self._tty and fd == self._stdin):
            os.close(fd)
        if self._outputs:
            return
        self._close_stdin()
        if self.on_end is not None:
            self.on_end()
        for client in list(self._clients.values()):
            client.reads = False
            self._flush(client)

    def _watch_client(self, client: Stream) -> None:
        wants_input = client.reads and not self._closing_stdin and len(self._input) < CHUNK
        events = (READ if wants_input else 0) | (WRITE if client.pending else 0)
        self._loop.watch(client.fd, events, lambda ready: self._on_client(client, ready))

    def _on_client(self, client: Stream, events: int) -> None:
        if events & READ:
            self._read_client(client)
        elif events & GONE:
            self._drop(client)
            return
        if client.fd in self._clients:
            self._flush(client)
            self._balance()

    def _read_client(self, client: Stream) -> None:
        try:
            data = client.sock.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)
            return
        if data:
            self._input += data
            self._feed()
            return
        client.reads = False
        if self._stdin_once and not self._tty:
            self._closing_stdin = True
            self._feed()

    def _flush(self, client: Stream) -> None:
        alive = client.flush()
        if not alive or not (self._outputs or client.pending):
            self._drop(client)
        else:
            self._watch_client(client)

    def _drop(self, client: Stream) -> None:
        if self._clients.pop(client.fd, None) is None:
            return
        self._loop.forget(client.fd)
        client.sock.close()
        if client.reads and self._stdin_once and not self._tty:
            self._closing_stdin = True
            self._feed()
        self._balance()

    def _balance(self) -> None:
        stalled = any(len(client.pending) > LAG for client in self._clients.values())
        if stalled != self._stalled:
            self._stalled = stalled
            for fd in self._outputs:
                self._watch_output(fd)

    def _feed(self) -> None:
        if self._stdin < 0:
            self._input.clear()
            return
        while self._input:
            try:
                written = os.write(self._stdin, self._input)
            except BlockingIOError:
                break
            except OSError:  # the process has closed its input
                self._input.clear()
                break
            del self._input[:written]
        if self._input:
            self._await_stdin()
        elif self._closing_stdin:
            self._close_stdin()
        else:
            self._rest_stdin()
        for client in list(self._clients.values()):
            self._watch_client(client)

    def _await_stdin(self) -> None:
        if self._tty:
            self._watch_output(self._stdin)
        else:
            self._loop.watch(self._stdin, WRITE, lambda _: self._feed())

    def _rest_stdin(self) -> None:
        if not self._tty:
            self._loop.forget(self._stdin)
        elif self._stdin in self._outputs:
            self._watch_output(self._stdin)

    def _close_stdin(self) -> None:
        if self._stdin < 0:
            return
        self._loop.forget(self._stdin)
        os.close(self._stdin)
        self._stdin = -1
        self._input.clear()
