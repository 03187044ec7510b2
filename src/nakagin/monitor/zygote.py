"""The zygote: everything a monitor needs is imported here once; then it only forks.

First the midwife, which serves the engine, then a monitor whenever the midwife asks for one. It does nothing
else, so that what the monitors share with it stays shared. It leaves when the midwife does. Monitors are not
its concern after the fork: the kernel reaps them (SIGCHLD ignored) and they answer for themselves.
"""

from __future__ import annotations

import _socket
import gc
import os
import socket

from nakagin.cgroups import layout
from nakagin.kernel import automaton, fds, process
from nakagin.kernel.signals import table
from nakagin.monitor import midwife, protocol, waiting
from nakagin.runtime import ahead, seal

_filling: list[bytes] = []


def _fill_gaps() -> None:
    """Put small objects of every size (40 bytes are the object itself) where imports left room for them.

    What a fork makes would go there, and every page that it touches becomes its own: that was 60 to 100 kB of
    each monitor. Now it lies together on fresh pages.
    """
    for size in range(48, 513, 16):
        _filling.extend(bytes(size - 40) for _ in range(8192 // size))


def main(fd: int) -> None:
    """Serve launch requests that come in on the SOCK_SEQPACKET socket `fd` until the engine is gone."""
    seal.reexec([fd])
    engine = socket.socket(fileno=fd)
    os.set_inheritable(fd, False)
    table.signal(table.SIGCHLD, table.SIG_IGN)
    table.signal(table.SIGINT, table.SIG_IGN)
    process.set_name("nakagin-zygote")
    machine = layout.detect()
    ahead.preload(machine)
    maker = automaton.Maker()
    ours, theirs = protocol.pair()
    returns, returned = protocol.pair()
    gc.collect()
    _fill_gaps()
    gc.freeze()
    if os.fork() == 0:
        ours.close()
        returns.close()
        midwife.main(engine, theirs, returned, maker, machine)
    theirs.close()
    returned.close()
    engine.close()
    # A monitor has as many: its connection to the midwife is in the place of ours.
    descriptors = waiting.open_descriptors()
    while True:
        _, received = fds.receive_fds(ours, 1, 1)
        if not received:
            return
        if os.fork() == 0:
            ours.close()
            table.signal(table.SIGCHLD, table.SIG_DFL)
            # The C class: its Python subclass makes enums, and what a monitor touches is its own memory then.
            waiting.become_monitor(_socket.socket(fileno=received[0]), returns, maker, machine, descriptors)
        os.close(received[0])
