"""The midwife: one process per engine that brings plain containers to life, one after the other.

    engine             midwife              zygote    monitor                  automaton
      │ launch + fds      │ + socket          │          │                         │
      ├──────────────────>├──────────────────>│ fork     │                         │
      │                   │                   ├─────────>│                         │
      │                   │ attend            │          │ clone3                  │
      │                   ├─────────────────────────────>├────────────────────────>│
      │                   │ scripts: runtime/outside.py  │                         │ execve
      │                   ├───────────────────────────────────────────────────────>│
      │          started  │ serve + fds       │          │
      │<──────────────────┤─────────────────────────────>│ stays with the container

It lives long, so its code is warm and its memory its own. A container that is not plain is handed to the
monitor as it came: a helper of the monitor's own bears it (delivery.py).
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys

from nakagin.errors import StepFailed
from nakagin.kernel import fds, heap, process
from nakagin.kernel.automaton import Automaton
from nakagin.monitor import delivery, protocol
from nakagin.runtime import become
from nakagin.runtime.outside import Misfit, Outside
from nakagin.spec.document import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, TypeVar

    from nakagin.cgroups.layout import Layout
    from nakagin.kernel.automaton import Maker
    from nakagin.monitor.protocol import Message

    T = TypeVar("T")

# How many monitors wait at most, and how many milliseconds without a request until only a fresh one does, and after as
# many more what births took of memory is given back.
MOST = 3
REST = 1000
# How long no request must come before the next monitor is forked ahead, in milliseconds: a fork at once
# would take the processor from the start that is under way.
QUIET = 15


def main(
    engine: socket.socket, zygote: socket.socket, returned: socket.socket, maker: Maker, machine: Layout
) -> NoReturn:
    """Be the midwife (in a fork of the zygote) until the engine is gone.

    By `returned` come monitors whose container has ended (decision 221).
    """
    status = 0
    try:
        process.set_name("nakagin-midwife")
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        Midwife(engine, zygote, returned, maker.base, machine).serve()
    except BaseException as error:  # noqa: BLE001  outermost frame of the process: nothing above could tell
        status = 1
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stderr.flush()
        os._exit(status)


class _Gone(Exception):
    """The monitor in waiting was killed."""


class _Attendant:
    """A monitor in waiting. `is_fresh`: it has served nobody yet, and makes a capsule without being asked."""

    __slots__ = ("_ahead", "_base", "_sock", "is_fresh")

    def __init__(self, sock: socket.socket, base: int, *, is_fresh: bool) -> None:
        self._base = base
        self._sock = sock
        self._ahead = False
        self.is_fresh = is_fresh

    def expect_capsule(self) -> None:
        """One of the usual namespaces will come: made by itself, or now, as it is asked for. Raises _Gone."""
        if not self.is_fresh:
            self.tell({"kind": "attend", "flags": protocol.USUAL}, [])
        self._ahead = True

    def capsule(self, flags: int, cgroup: int) -> Automaton:
        """An automaton in the namespaces `flags`, a child of the monitor. Raises _Gone, StepFailed."""
        made = self._made_ahead()
        if made and flags == protocol.USUAL and cgroup < 0:
            return made
        if made:
            made.close()
        self.tell({"kind": "attend", "flags": flags}, [cgroup] if cgroup >= 0 else [])
        return self._made()

    def launch(self, request: Message, given: list[int]) -> None:
        """Leave the container to it. Raises _Gone."""
        # Read in any case: a socket that is closed with something unread takes the other side's messages along.
        if made := self._made_ahead():
            made.close()
        self.tell({**request, "kind": "launch"}, given)

    def _made_ahead(self) -> Automaton | None:
        if not self._ahead:
            return None
        self._ahead = False
        made = self._made()
        end = select.poll()
        end.register(self._sock, 0)
        if end.poll(0):  # the monitor was killed since, and its capsule with it
            made.close()
            raise _Gone
        return made

    def _made(self) -> Automaton:
        try:
            message, given = fds.receive_fds(self._sock, 65536, 2)
        except ConnectionResetError:  # it was killed before it read what it was told
            raise _Gone from None
        if not message:
            raise _Gone
        if not given:
            raise protocol.error_from(parse(message))
        pidfd, own = given
        return Automaton(int.from_bytes(message, "little"), pidfd, socket.socket(fileno=own), self._base)

    def tell(self, message: Message, given: list[int]) -> None:
        """Raises _Gone."""
        try:
            protocol.send(self._sock, message, given)
        except (BrokenPipeError, ConnectionResetError):
            raise _Gone from None

    def close(self) -> None:
        """Without a container it ends."""
        self._sock.close()


class Midwife:
    """Serves the engine's requests; always has, or soon will have, a monitor in waiting (more under load)."""

    def __init__(
        self,
        engine: socket.socket,
        zygote: socket.socket,
        returned: socket.socket,
        base: int,
        machine: Layout,
    ) -> None:
        self._engine = engine
        self._zygote = zygote
        self._returned = returned
        self._base = base
        self._machine = machine
        self._outside = Outside(self._capsule)
        self._waiting: list[_Attendant] = []
        self._rests = False
        self._requests = select.poll()
        self._requests.register(engine, select.POLLIN)
        # It goes in and out of containers' roots, and must never find code there.
        become.forbid_imports()

    def serve(self) -> None:
        """Bring to life what the engine asks for, until the engine is gone, or the zygote."""
        protocol.send(self._engine, {"event": "ready"})
        events = select.poll()
        events.register(self._engine, select.POLLIN)
        events.register(self._returned, select.POLLIN)
        events.register(self._zygote, 0)  # its end is told all the same
        while True:
            ready = [fd for fd, _ in events.poll(self._patience())]
            if not ready:
                self._rest()
            if self._zygote.fileno() in ready:
                return
            if self._returned.fileno() in ready:
                self._rests = False
                self._take_back()
            if self._engine.fileno() not in ready:
                continue
            received = protocol.receive(self._engine)
            if received is None:
                return
            # Where further requests wait, the next monitor is forked while this one gets its container.
            while len(self._waiting) < (2 if self._requests.poll(0) else 1):
                if not self._take_back():
                    self._waiting.append(self._fresh())
            self._rests = False
            self._launch(*received)
            for fd in received[1]:
                os.close(fd)

    def _patience(self) -> int | None:
        """How long nothing must come before those in waiting are looked after, in milliseconds; None: for ever."""
        if not self._waiting:
            return QUIET
        return None if self._rests else REST

    def _rest(self) -> None:
        if len(self._waiting) == 1 and self._waiting[0].is_fresh:
            heap.trim()
            self._rests = True
        else:
            self._renew()

    def _renew(self) -> None:
        """One fresh monitor waits: a container that stays shall have a small one."""
        fresh = next((each for each in self._waiting if each.is_fresh), None) or self._fresh()
        for each in self._waiting:
            if each is not fresh:
                each.close()
        self._waiting = [fresh]

    def _fresh(self) -> _Attendant:
        ours, theirs = protocol.pair()
        with theirs:
            fds.send_fds(self._zygote, b"m", [theirs.fileno()])
        return self._attendant(ours, is_fresh=True)

    def _attendant(self, sock: socket.socket, *, is_fresh: bool) -> _Attendant:
        made = _Attendant(sock, self._base, is_fresh=is_fresh)
        if protocol.makes_ahead(self._machine):
            made.expect_capsule()
        return made

    def _take_back(self) -> bool:
        """Let a monitor wait whose container has ended, or leave where enough do; False where there is none."""
        try:
            _, given = fds.receive_fds(self._returned, 1, 1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        if not given:
            return False
        sock = protocol.prepare(socket.socket(fileno=given[0]))
        try:
            if len(self._waiting) < MOST:
                self._waiting.append(self._attendant(sock, is_fresh=False))
                return True
        except _Gone:
            pass
        sock.close()
        return True

    def _launch(self, request: Message, given: list[int]) -> None:
        try:
            delivery.deliver(request, given, self._machine, self._hand_over, self._outside)
        except Misfit:
            self._with_attendant(lambda attendant: attendant.launch(request, given))
        finally:
            self._waiting.pop(0).close()

    def _hand_over(self, message: Message, given: list[int]) -> None:
        try:
            self._waiting[0].tell(message, given)
        except _Gone:
            pass  # the container died with it, and the engine hears of that

    def _capsule(self, flags: int, cgroup: int) -> Automaton:
        return self._with_attendant(lambda attendant: attendant.capsule(flags, cgroup))

    def _with_attendant(self, deed: Callable[[_Attendant], T]) -> T:
        """Do it with the monitor in waiting, or with a fresh one where that was killed while it waited."""
        try:
            return deed(self._waiting[0])
        except _Gone:
            self._waiting[0].close()
            self._waiting[0] = self._fresh()
        try:
            return deed(self._waiting[0])
        except _Gone:
            raise StepFailed("make the container's first process", "its monitor died") from None
