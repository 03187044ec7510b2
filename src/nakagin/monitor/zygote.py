"""The zygote: everything a monitor needs is imported here once; then it only forks, one monitor ahead.

It leaves when the engine's socket closes. Monitors are not its concern after the fork: the kernel reaps
them (SIGCHLD ignored) and they answer for themselves.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket

from nakagin.cgroups import layout
from nakagin.kernel import process
from nakagin.monitor import monitor, protocol
from nakagin.runtime import container, seal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.cgroups.layout import Layout
    from nakagin.monitor.protocol import Message


# How long no request must come before the next monitor is forked ahead, in milliseconds: a fork at once
# would take the processor from the start that is under way.
QUIET = 15


class _Spare:
    """A monitor that waits for its request on the other end of `sock`."""

    __slots__ = ("sock",)

    def __init__(self, engine: socket.socket, machine: Layout) -> None:
        self.sock, theirs = protocol.pair()
        if os.fork() == 0:
            engine.close()
            self.sock.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            monitor.become_monitor(theirs, machine)
        theirs.close()


def main(fd: int) -> None:
    """Serve launch requests that come in on the SOCK_SEQPACKET socket `fd` until the engine is gone."""
    seal.reexec([fd])
    engine = socket.socket(fileno=fd)
    os.set_inheritable(fd, False)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process.set_name("nakagin-zygote")
    container.preload()
    machine = layout.detect()
    gc.collect()
    gc.freeze()
    protocol.send(engine, {"event": "ready"})
    requests = select.poll()
    requests.register(engine, select.POLLIN)
    spare: _Spare | None = None
    while True:
        if spare is None and not requests.poll(QUIET):
            spare = _Spare(engine, machine)
        received = protocol.receive(engine)
        if received is None:
            return
        _hand_over(*received, spare or _Spare(engine, machine), engine, machine)
        spare = None


def _hand_over(
    request: Message, fds: list[int], spare: _Spare, engine: socket.socket, machine: Layout
) -> None:
    """Give the request to the waiting monitor, or to a fresh one where that was killed while it waited."""
    try:
        protocol.send(spare.sock, request, fds)
    except (BrokenPipeError, ConnectionResetError):
        spare.sock.close()
        spare = _Spare(engine, machine)
        protocol.send(spare.sock, request, fds)
    spare.sock.close()
    for each in fds:
        os.close(each)
