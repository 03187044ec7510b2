"""Words to and from the name server: one JSON object a datagram, descriptors beside it (SOCK_SEQPACKET).

    engine → begin, put*, look*, end       everything anew; answered by {"doors": [container ids]}
    engine → put | drop | look | forget    one change; never answered, heard before the next question is
    engine → bridge                        answer on a bridge's gateway; answered
    engine → counters                      answered
    monitor → open + [namespace, pidfd]    a door for the container that is about to start; answered
    engine ← may | resolved                a question of a guarded network; answered by decided

Import-light: the monitor knocks with it.
"""

from __future__ import annotations

import os
import socket
from errno import ECONNREFUSED

from nakagin.kernel import fds as descriptors
from nakagin.spec.document import parse, render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Message = dict[str, Any]

SOCKET_NAME = "names.sock"
LARGEST = 1 << 20
# The most that the name server reads: it looks for words of the engine before every batch of questions.
LARGEST_WORD = 1 << 16
# How long a start waits for its container's door, in seconds: without one the container has no names, but runs.
PATIENCE = 3.0


def connect(path: str) -> socket.socket:
    """A connection to the name server that listens at `path`, which may be of any length. Raises OSError."""
    folder, name = os.path.split(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    # The path may be longer than sun_path holds (108 bytes, unix(7)): go by the directory's descriptor.
    directory = -1
    try:
        directory = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        sock.connect(f"/proc/self/fd/{directory}/{name}")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
    except OSError:
        sock.close()
        raise
    finally:
        if directory >= 0:
            os.close(directory)
    return sock


def send(sock: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Send one message. Raises OSError."""
    descriptors.send_fds(sock, render(message).encode(), fds, socket.MSG_NOSIGNAL)


def receive(sock: socket.socket, size: int = LARGEST) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors; None at the end. Raises BlockingIOError where none has come."""
    try:
        data, fds = descriptors.receive_fds(sock, size, 8)
    except ConnectionResetError:
        return None
    return (parse(data), fds) if data else None


class Knock:
    """A door was asked for in the network namespace of process `pid`; `opened` waits until it is open.

    In between, whoever knocked can do other things: the name server is another process. Both raise OSError.
    Not before lo is up there: a socket that is bound to an address of an empty routing table answers from another.
    """

    __slots__ = ("_sock",)

    def __init__(self, path: str, container: str, pid: int) -> None:
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        life = -1
        try:
            life = os.pidfd_open(pid)
            self._sock = connect(path)
            try:
                self._sock.settimeout(PATIENCE)
                send(self._sock, {"do": "open", "id": container}, (namespace, life))
            except OSError:
                self._sock.close()
                raise
        finally:
            os.close(namespace)
            if life >= 0:
                os.close(life)

    def opened(self) -> None:
        """Hear the answer."""
        with self._sock:
            answer = receive(self._sock)
        if answer is None or "error" in answer[0]:
            raise OSError(ECONNREFUSED, answer[0]["error"] if answer else "the name server has ended")

    def close(self) -> None:
        """Do without the answer."""
        self._sock.close()
