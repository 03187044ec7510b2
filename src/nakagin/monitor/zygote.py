"""The zygote: everything a monitor needs is imported here once; then it only forks.

It leaves when the engine's socket closes. Monitors are not its concern after the fork: the kernel reaps
them (SIGCHLD ignored) and they answer for themselves.
"""

from __future__ import annotations

import gc
import os
import signal
import socket

from nakagin.cgroups import layout
from nakagin.kernel import process
from nakagin.monitor import monitor, protocol
from nakagin.runtime import seal


def main(fd: int) -> None:
    """Serve launch requests that come in on the SOCK_SEQPACKET socket `fd` until the engine is gone."""
    seal.reexec([fd])
    engine = socket.socket(fileno=fd)
    os.set_inheritable(fd, False)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process.set_name("nakagin-zygote")
    machine = layout.detect()
    gc.collect()
    gc.freeze()
    protocol.send(engine, {"event": "ready"})
    while (received := protocol.receive(engine)) is not None:
        request, fds = received
        if os.fork() == 0:
            engine.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            monitor.main(request, fds, machine)
        for each in fds:
            os.close(each)
