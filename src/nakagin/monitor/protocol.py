"""Messages between engine, zygote and monitors: one JSON object a datagram, descriptors beside it.

    engine                        zygote                       monitor (one per container)
      │ launch + [control, …]       │                              │
      ├────────────────────────────>│ fork                         │
      │                             ├─────────────────────────────>│ create, attach the network, start
      │        started | failed                       (control)    │
      │<───────────────────────────────────────────────────────────┤
      │ {"kind", "seq", …} + fds                                   │
      ├───────────────────────────────────────────────────────────>│
      │ {"reply": seq, …} or {"reply": seq, "error": {…}}          │
      │<───────────────────────────────────────────────────────────┤
      │        oom | exec-exit | exit                              │
      │<───────────────────────────────────────────────────────────┤ cleans up, leaves

The socket is SOCK_SEQPACKET (unix(7)): a datagram arrives whole or not at all. An engine that was
restarted connects to `monitor.sock` in the container's run directory and speaks the same language.
"""

from __future__ import annotations

import array
import json
import os
import socket

from nakagin import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Message = dict[str, Any]

LARGEST = 4 << 20
# The kernel takes at most 253 descriptors in one message (SCM_MAX_FD, unix(7)).
_FDS_PER_DATAGRAM = 250

SOCKET_NAME = "monitor.sock"
FACTS_NAME = "monitor.json"
EXIT_NAME = "exit.json"


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


def send(sock: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Send one message; many descriptors travel ahead of it in datagrams of their own.

    Raises OSError (EMSGSIZE where the message is larger than the socket takes).
    """
    rest = list(fds)
    while len(rest) > _FDS_PER_DATAGRAM:
        _send_datagram(sock, b"+", rest[:_FDS_PER_DATAGRAM])
        rest = rest[_FDS_PER_DATAGRAM:]
    _send_datagram(sock, json.dumps(message, separators=(",", ":")).encode(), rest)


def _send_datagram(sock: socket.socket, data: bytes, fds: list[int]) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())] if fds else []
    sock.sendmsg([data], rights, socket.MSG_NOSIGNAL)


def receive(sock: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors (close-on-exec); None at the end of the connection.

    Raises BlockingIOError where the socket is non-blocking and nothing has come.
    """
    fds: list[int] = []
    while True:
        data, more = _receive_datagram(sock)
        fds += more
        if data == b"+":
            continue
        if not data:
            for fd in fds:
                os.close(fd)
            return None
        return json.loads(data), fds


def _receive_datagram(sock: socket.socket) -> tuple[bytes, list[int]]:
    fds = array.array("i")
    room = socket.CMSG_SPACE(_FDS_PER_DATAGRAM * fds.itemsize)
    try:
        data, rights, _, _ = sock.recvmsg(_next_size(sock), room, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return b"", []
    for level, kind, content in rights:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return data, list(fds)


def _next_size(sock: socket.socket) -> int:
    # Peeking with MSG_TRUNC tells the datagram's full length, so that no monitor keeps a 4 MiB buffer.
    return sock.recv_into(bytearray(1), 1, socket.MSG_PEEK | socket.MSG_TRUNC) or 1


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
