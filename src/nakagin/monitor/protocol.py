"""Messages between engine, midwife and monitors: one JSON object a datagram, descriptors beside it.

    engine                        midwife                      monitor (one per container)
      │ launch + [control, …]       │                              │
      ├────────────────────────────>│ (see midwife.py)             │
      │        started | failed     │ serve + [listener, …]        │
      │<────────────────────────────┼─────────────────────────────>│
      │ {"kind", "seq", …} + fds    (control)                      │
      ├───────────────────────────────────────────────────────────>│
      │ {"reply": seq, …} or {"reply": seq, "error": {…}}          │
      │<───────────────────────────────────────────────────────────┤
      │        oom | exec-exit | exit                              │
      │<───────────────────────────────────────────────────────────┤ removes cgroup and runtime state
      │                                               cleared      │
      │<───────────────────────────────────────────────────────────┤ leaves, or waits for another container,
                                                                     when clients have read the rest

The socket is SOCK_SEQPACKET (unix(7)): a datagram arrives whole or not at all. An engine that was
restarted connects to `monitor.sock` in the container's run directory and speaks the same language; the
first that it hears is "execs", where there are any or some ended while nobody listened, and "oom" likewise.
"""

from __future__ import annotations

import os
import socket

from nakagin import errors
from nakagin.kernel import abi
from nakagin.kernel import fds as kernel_fds
from nakagin.spec.document import parse, render

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence
    from typing import Any

    from nakagin.cgroups.layout import Layout

    Message = dict[str, Any]

LARGEST = 4 << 20
# The kernel takes at most 253 descriptors in one message (SCM_MAX_FD, unix(7)).
_FDS_PER_DATAGRAM = 250
# Numbers, not the enums of `socket`: their arithmetic would make a monitor touch (and so own) more memory.
_NO_SIGNAL = int(socket.MSG_NOSIGNAL)
_PEEK = int(socket.MSG_PEEK | socket.MSG_TRUNC)

SOCKET_NAME = "monitor.sock"
EXIT_NAME = "exit.json"

# The namespaces of a capsule that is made ahead of the request: those that nearly every container has. The mount
# namespace is not among them: it would lack what is mounted on the host from then on (see runtime/outside.py).
USUAL = abi.CLONE_NEWPID | abi.CLONE_NEWIPC | abi.CLONE_NEWUTS | abi.CLONE_NEWNET


def makes_ahead(machine: Layout) -> bool:
    """Whether monitors make a capsule ahead. Under cgroup v2 it must be born in its group, which does not exist yet."""
    return machine.mode != "v2"


def prepare(sock: socket.socket) -> socket.socket:
    """Give `sock` room for the largest message, as far as the machine permits."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, 32, LARGEST)  # SO_SNDBUFFORCE has no name in Python
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
    return sock


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected control sockets."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    return prepare(one), prepare(other)


def send(sock: _socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Send one message; many descriptors travel ahead of it in datagrams of their own.

    Raises OSError (EMSGSIZE where the message is larger than the socket takes).
    """
    rest = list(fds)
    while len(rest) > _FDS_PER_DATAGRAM:
        kernel_fds.send_fds(sock, b"+", rest[:_FDS_PER_DATAGRAM], _NO_SIGNAL)
        rest = rest[_FDS_PER_DATAGRAM:]
    text = render(message).encode()
    kernel_fds.send_fds(sock, text, rest, _NO_SIGNAL)


def receive(sock: _socket.socket) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors (close-on-exec); None at the end of the connection.

    Raises BlockingIOError where the socket is non-blocking and nothing has come.
    """
    fds: list[int] = []
    while True:
        try:
            data, more = kernel_fds.receive_fds(sock, _next_size(sock), _FDS_PER_DATAGRAM)
        except ConnectionResetError:
            data, more = b"", []
        fds += more
        if data == b"+":
            continue
        if not data:
            for fd in fds:
                os.close(fd)
            return None
        return parse(data), fds


def _next_size(sock: _socket.socket) -> int:
    # Peeking with MSG_TRUNC tells the datagram's full length, so that no monitor keeps a 4 MiB buffer.
    return sock.recv_into(bytearray(1), 1, _PEEK) or 1


def error_document(error: BaseException) -> Message:
    """`error` as JSON, for the other side to raise again."""
    document: Message = {"class": type(error).__name__, "message": str(error)}
    if isinstance(error, errors.StepFailed):
        document |= {"step": error.step, "cause": error.cause, "errno": error.errno}
    if isinstance(error, errors.NakaginError):
        document |= {"message": error.message, "hint": error.hint}
    return document


def error_from(document: Message) -> errors.NakaginError:
    """The error that `error_document` wrote; what is no Nakagin error becomes StepFailed."""
    hint = document.get("hint")
    found: type[errors.NakaginError] | None = getattr(errors, document["class"], None)
    if found is None:
        return errors.StepFailed("monitor", document["message"])
    if issubclass(found, errors.StepFailed):
        return found(document["step"], document["cause"], errno=document["errno"], hint=hint)
    return found(document["message"], hint=hint)
