"""A monitor before its container, and between two: it waits for the midwife's word, with a capsule made ahead.

fork of the zygote ──► waiting ──serve──► Monitor.run ──► end of the process
                          ▲                   │
                          └── by `returns` ───┘ where nothing of a plain container is left (decision 221)
"""

from __future__ import annotations

import _socket
import gc
import os
import signal
import sys

from nakagin.kernel import fds, process
from nakagin.monitor import delivery, protocol
from nakagin.monitor.monitor import Monitor
from nakagin.runtime import furnish, sync
from nakagin.spec.document import render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from nakagin.cgroups.layout import Layout
    from nakagin.kernel.automaton import Maker
    from nakagin.monitor.protocol import Message


def become_monitor(
    midwife: _socket.socket, returns: _socket.socket, maker: Maker, machine: Layout, descriptors: int
) -> NoReturn:
    """Be a monitor (in a fresh fork of the zygote): wait for a container, serve it, perhaps another, and end.

    `midwife` is the connection to wait at, `returns` where a new one is offered to her; so many `descriptors`
    are open now.
    """
    status = 0
    try:
        gc.disable()
        os.setsid()
        process.set_name("nakagin-monitor")
        capsule = _make_capsule(protocol.USUAL, maker, midwife) if protocol.makes_ahead(machine) else -1
        while (born := _await_container(midwife, maker, machine, capsule)) is not None:
            midwife.close()
            if not Monitor(*born, machine, maker).run():
                break
            del born
            gc.collect()
            if open_descriptors() != descriptors - 1:  # without that to the midwife
                break
            midwife, capsule = _offer(returns), -1
    except BaseException as error:  # noqa: BLE001  outermost loop of the process: nothing above could tell
        status = 1
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stderr.flush()
        os._exit(status)


def open_descriptors() -> int:
    """How many this process has, and one more for the look itself."""
    return len(os.listdir("/proc/self/fd"))


def _offer(returns: _socket.socket) -> _socket.socket:
    """Tell the midwife that here is a monitor without a container; the connection to wait at."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    try:
        fds.send_fds(returns, b"m", [theirs.fileno()], _socket.MSG_NOSIGNAL)
    except (BrokenPipeError, ConnectionResetError):
        pass  # she is gone, and so is the other end by now
    theirs.close()
    return ours


def _await_container(
    midwife: _socket.socket, maker: Maker, machine: Layout, capsule: int
) -> tuple[Message, list[int]] | None:
    """What the midwife, or a helper, hands over; None where there will be no container.

    `capsule` is the pidfd of the one that was made ahead, or -1.
    """
    while (received := protocol.receive(midwife)) is not None and received[0]["kind"] != "serve":
        message, given = received
        if capsule >= 0:
            _end(capsule)  # it was not the right one
        if message["kind"] == "launch":
            return _have_helped(message, given, midwife, machine)
        capsule = _make_capsule(message["flags"], maker, midwife, *given)
    if capsule >= 0:
        os.close(capsule)
    maker.release()
    return received


def _make_capsule(flags: int, maker: Maker, midwife: _socket.socket, cgroup: int = -1) -> int:
    """A child in new namespaces for the midwife to bring to life; its pidfd. She is told, or why there is none."""
    ours, theirs = sync.pair()
    pidfd = -1
    try:
        pid, pidfd = maker.make(flags, theirs.fileno(), cgroup)
        answer, given = pid.to_bytes(4, "little"), [pidfd, ours.fileno()]
    except OSError as error:
        failed = furnish.step_failed("make the container's first process", error)
        answer, given = render(protocol.error_document(failed)).encode(), []
    try:
        fds.send_fds(midwife, answer, given)
    except OSError:
        pass  # she is gone, and the next word from her will be the end
    ours.close()
    theirs.close()
    if cgroup >= 0:
        os.close(cgroup)
    return pidfd


def _end(capsule: int) -> None:
    process.pidfd_send_signal(capsule, signal.SIGKILL)
    process.wait_pidfd(capsule)
    os.close(capsule)


def _have_helped(
    request: Message, fds: list[int], midwife: _socket.socket, machine: Layout
) -> tuple[Message, list[int]] | None:
    """Let a helper bear the container, and await what it hands over."""
    process.set_subreaper()  # the container may have no init of its own
    ours, theirs = protocol.pair()
    helper = os.fork()
    if helper == 0:
        midwife.close()
        ours.close()
        delivery.help_monitor(request, fds, theirs, machine)
    theirs.close()
    for fd in fds:
        os.close(fd)
    born = protocol.receive(ours)
    os.waitpid(helper, 0)
    ours.close()
    if born is not None:
        born[0]["helped"] = True  # as a subreaper this process is not what it was
    return born
