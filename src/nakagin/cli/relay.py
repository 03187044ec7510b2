"""Connects this process's standard streams and signals with a container's stream: one poll loop, no threads."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # the C module: the import of `signal` costs 5 ms for its enumerations
import os
import select
import sys

from nakagin.cli.terminal import DetachScanner, RawTerminal
from nakagin.client.frames import STDERR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from nakagin.client.hijack import Stream

_PIECE = 64 * 1024
# Not the caller's to pass on: children of ours, terminal size, broken pipes, and what cannot be caught.
_NOT_PROXIED = frozenset(
    {signal.SIGCHLD, signal.SIGPIPE, signal.SIGWINCH, signal.SIGURG, signal.SIGKILL, signal.SIGSTOP}
)
_ENDING = (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT)


class Interrupted(BaseException):
    """A signal told this process to end; `code` is 128 + its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


class Signals:
    """While entered, signals become numbers in a pipe that the relay polls.

    `proxy` gets each signal's name ("SIGTERM") to pass on; without it, the signals that end a process raise
    Interrupted in the relay, so that the terminal is restored. `resized` is called on SIGWINCH.
    """

    def __init__(self, proxy: Callable[[str], None] | None, resized: Callable[[], None] | None) -> None:
        self._proxy = proxy
        self._resized = resized
        self._before: dict[int, object] = {}
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def fileno(self) -> int:
        """The pipe to poll."""
        return self._reader

    def __enter__(self) -> Self:
        wanted = set(_ENDING)
        if self._proxy is not None:
            wanted = {number for number in signal.valid_signals() if number not in _NOT_PROXIED}
        if self._resized is not None:
            wanted.add(signal.SIGWINCH)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in wanted:
            try:
                self._before[number] = signal.signal(number, _noted)
            except OSError:  # real-time signals that the C library keeps for itself
                continue
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        os.close(self._reader)
        os.close(self._writer)

    def deliver(self) -> None:
        """Act on the signals that have arrived."""
        for number in os.read(self._reader, 128):
            if number == signal.SIGWINCH:
                if self._resized is not None:
                    self._resized()
            elif self._proxy is not None:
                self._proxy(signal_name(number))
            else:
                raise Interrupted(number)


def _noted(_number: int, _frame: object) -> None:
    """The wakeup pipe has it."""


def signal_name(number: int) -> str:
    """ "SIGTERM"; real-time signals have no name here and go by number."""
    names = {value: name for name, value in vars(signal).items() if name[:3] == "SIG" and name[3] != "_"}
    return str(names.get(number, number))


class Relay:
    """Standard input → stream, stream → standard output and error, until the stream ends or the user detaches."""

    def __init__(
        self, stream: Stream, signals: Signals, *, stdin: int | None, detach_keys: bytes | None
    ) -> None:
        self._stream = stream
        self._signals = signals
        self._stdin = stdin
        self._scanner = DetachScanner(detach_keys) if detach_keys else None
        self._pending = b""
        self._closing = False
        self._poll = select.poll()

    def run(self) -> bool:
        """True when the user detached, false when the container's output ended. Interrupted on a signal to end."""
        sys.stdout.flush()
        self._poll.register(self._stream, select.POLLIN)
        self._poll.register(self._signals, select.POLLIN)
        if self._stdin is not None:
            self._poll.register(self._stdin, select.POLLIN)
        while True:
            ready = dict(self._poll.poll(0 if self._stream.ready else None))
            if self._signals.fileno() in ready:
                self._signals.deliver()
            if (self._stdin in ready and self._read_input()) or not self._flush():
                return True
            if (
                self._stream.ready or ready.get(self._stream.fileno(), 0) & ~select.POLLOUT
            ) and self._output():
                return False

    def _read_input(self) -> bool:
        """Take typed bytes; true when the detach keys were among them."""
        assert self._stdin is not None
        try:
            data = os.read(self._stdin, _PIECE)
        except OSError:  # EIO: the terminal is gone, EBADF: there never was one
            data = b""
        detached = False
        if self._scanner is not None:
            passed, detached = self._scanner.feed(data)
        else:
            passed = data
        self._pending += passed
        if not data:
            self._closing = True
        if not data or len(self._pending) > _PIECE:
            # Stop reading: at the end, and while the container does not take what is there already.
            self._poll.unregister(self._stdin)
        return detached

    def _flush(self) -> bool:
        """Send what the container takes now, and its end of input after that."""
        was_full = len(self._pending) > _PIECE
        if self._pending:
            try:
                self._pending = self._pending[self._stream.send_some(self._pending) :]
            except OSError:  # nobody reads in there any more; the output still counts
                self._pending, self._closing = b"", True
        if self._closing and not self._pending and self._stdin is not None:
            self._stream.close_write()
            self._stdin = None
        elif was_full and len(self._pending) <= _PIECE and self._stdin is not None and not self._closing:
            self._poll.register(self._stdin, select.POLLIN)
        self._poll.modify(self._stream, select.POLLIN | (select.POLLOUT if self._pending else 0))
        return True

    def _output(self) -> bool:
        """Pass on what the container wrote; true at the end of its output."""
        pieces = self._stream.receive()
        if pieces is None:
            return True
        for kind, piece in pieces:
            _write_all(2 if kind == STDERR else 1, piece)
        return False


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def interact(
    stream: Stream,
    *,
    stdin: bool,
    tty: bool,
    detach_keys: bytes | None,
    proxy: Callable[[str], None] | None,
    resized: Callable[[], None] | None,
    begin: Callable[[], None],
) -> bool:
    """Relay in the terminal mode that fits; `begin` (the start of the container) runs once all is ready.

    True when the user detached. The terminal is restored on every way out.
    """
    raw = RawTerminal(0 if tty and stdin else None)
    with Signals(None if tty else proxy, resized if tty else None) as signals:
        begin()
        with raw:
            relay = Relay(
                stream, signals, stdin=0 if stdin else None, detach_keys=detach_keys if tty else None
            )
            return relay.run()
