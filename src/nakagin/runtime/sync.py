"""The conversation between the runtime and the process that becomes the container's first.

    runtime (host)                              init (the container to be)
    ─────────────                               ──────────────────────────
    clone3 into new namespaces ───────────────► waits
    id maps, rlimits, oom score
    GO ───────────────────────────────────────► joins its cgroup, makes and joins namespaces, mounts
    network (on_namespaces), at the same time
    runs prestart, createRuntime hooks ◄─────── FURNISHED           only with such hooks
    GO ───────────────────────────────────────► createContainer hooks, pivot_root
    GO, when the network is there ────────────► sysctls, limits, ids, capabilities, working directory
    receives the terminal, seccomp listener ◄── READY [terminal]    the container is "created"
    START ────────────────────────────────────► startContainer hooks, seccomp, last checks
              ◄──────────────────────────────── EXECUTING           then execve closes the socket
    end of file: the program runs ◄──────────── (close-on-exec)

At any time init may say FAILED {step, cause, errno, command} or WARNING text, and the launcher
(kernel/launcher.py) NOT_EXECUTED + errno. One message is one datagram: a letter and a body.
"""

from __future__ import annotations

import _socket
import os

from nakagin.errors import CommandFailed, StepFailed
from nakagin.kernel import fds
from nakagin.spec import document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GO = b"g"
FURNISHED = b"h"
READY = b"r"
START = b"s"
EXECUTING = b"k"
LISTENER = b"l"
BORN = b"b"
FAILED = b"f"
WARNING = b"w"
NOT_EXECUTED = b"x"
END = b""

_LONGEST = 65536


class Channel:
    """One end of the conversation. Owns its socket."""

    __slots__ = ("_socket",)

    def __init__(self, socket: _socket.socket) -> None:
        self._socket = socket

    def send(self, kind: bytes, body: bytes = b"", pass_fds: Sequence[int] = ()) -> None:
        """Send one message. Raises BrokenPipeError when the other side is gone."""
        fds.send_fds(self._socket, kind + body[: _LONGEST - 1], pass_fds)

    def receive(self) -> tuple[bytes, bytes, list[int]]:
        """(kind, body, descriptors); kind END when the other side has closed."""
        try:
            message, received = fds.receive_fds(self._socket, _LONGEST, 4)
        except ConnectionResetError:
            # The other side died before it read all; this is told once, its last words are still there.
            message, received = fds.receive_fds(self._socket, _LONGEST, 4)
        return message[:1], message[1:], received

    def await_go(self) -> None:
        """Wait for GO (or START); ends this process if the runtime is gone, for nobody wants it any more."""
        if self._socket.recv(1) not in (GO, START):
            raise EOFError("the runtime went away")

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket; a second time does nothing."""
        self._socket.close()


def pair() -> tuple[Channel, Channel]:
    """Two connected ends, close-on-exec."""
    kind = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC
    one, other = _socket.socketpair(_socket.AF_UNIX, kind)
    return Channel(one), Channel(other)


def expect(
    channel: Channel, wanted: Sequence[bytes], warn: Callable[[str], None]
) -> tuple[bytes, bytes, list[int]]:
    """The next message that is one of `wanted`; warnings are passed on, failures are raised.

    Raises StepFailed or CommandFailed as the other side found it, or StepFailed when it died.
    """
    while True:
        kind, body, received = channel.receive()
        if kind in wanted:
            return kind, body, received
        if kind == WARNING:
            warn(body.decode(errors="replace"))
        elif kind == FAILED:
            raise failure(body)
        elif kind == NOT_EXECUTED:
            raise not_executed(int.from_bytes(body[:4], "little"))
        elif kind == END:
            raise StepFailed("prepare the container", "its first process ended unexpectedly")


def failure_body(error: StepFailed) -> bytes:
    """A FAILED message's body."""
    facts = {
        "step": error.step,
        "cause": error.cause,
        "errno": error.errno,
        "hint": error.hint,
        "command": isinstance(error, CommandFailed),
    }
    return document.render(facts).encode()


def failure(body: bytes) -> StepFailed:
    """The error that a FAILED message tells of."""
    facts = document.parse(body)
    kind = CommandFailed if facts["command"] else StepFailed
    return kind(facts["step"], facts["cause"], errno=facts["errno"], hint=facts["hint"])


def not_executed(number: int, path: str = "") -> CommandFailed:
    """What the user reads when execve(2) failed with errno `number`."""
    hints = {
        2: "the file, or the interpreter that its first line names, does not exist",
        8: "it is no program for this machine; a script must begin with #!",
        13: "it is not executable for this user",
    }
    return CommandFailed(
        f"exec {path}".strip(), os.strerror(number).lower(), errno=number, hint=hints.get(number)
    )


def accept(listening: _socket.socket, number: int) -> Channel:
    """The channel, as the descriptor `number`, to whoever calls on the listening socket first; it must say START."""
    fd, _ = listening._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - the C class has no other name
    listening.close()
    if fd != number:
        os.dup2(fd, number, inheritable=False)
        os.close(fd)
    channel = Channel(_socket.socket(fileno=number))
    channel.await_go()
    return channel
