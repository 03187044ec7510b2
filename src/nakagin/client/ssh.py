"""Engines behind ssh: the system's own `ssh` runs `nakagin system dial-stdio` over there, and is our socket.

All connections to one host share one ssh connection (ControlMaster), which closes a minute after the last.
NAKAGIN_SSH names another program or adds options to it ("ssh -F file"), as GIT_SSH_COMMAND does for git.
"""

from __future__ import annotations

import os

from nakagin.errors import Denied, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from nakagin.client.endpoint import Endpoint
    from nakagin.errors import NakaginError

_TIMEOUT = 30
_PERSIST = 60
#: Seconds that ssh may take to end after its connection has.
_FAREWELL = 5.0
_NOT_FOUND = 127
_LONGEST = 4000
#: A socket's path has 107 bytes; ssh adds 17 while it makes it.
_LONGEST_PATH = 107 - 17
# What ssh says → whether it is the host's refusal, and what to do.
_KNOWN = (
    (
        "host key verification failed",
        True,
        "the host's key is unknown or has changed: connect once with `ssh` and check it",
    ),
    (
        "permission denied",
        True,
        "add your public key to the host's authorized_keys, or name your key in ~/.ssh/config",
    ),
    ("could not resolve hostname", False, "check the name of the host"),
    ("connection refused", False, "is an ssh server running there, and is the port right?"),
    ("connection timed out", False, "check the address and the network"),
    ("operation timed out", False, "check the address and the network"),
)


class Tunnel:
    """One ssh process; `socket` is its standard input and output."""

    __slots__ = ("_complaints", "_pid", "_status", "host", "socket")

    def __init__(self, endpoint: Endpoint, timeout: float | None) -> None:
        import socket

        self.host = endpoint.host
        self._status: int | None = None
        self._complaints = os.memfd_create("ssh", os.MFD_CLOEXEC)
        ours, theirs = socket.socketpair()
        shared = shared_path(endpoint)
        argv = command(endpoint, shared)
        fd = theirs.fileno()
        lock = _lock(shared)
        try:
            self._pid = os.posix_spawnp(
                argv[0], argv, os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, fd, 0),
                    (os.POSIX_SPAWN_DUP2, fd, 1),
                    (os.POSIX_SPAWN_DUP2, self._complaints, 2),
                ],
            )  # fmt: skip
        except FileNotFoundError:
            ours.close()
            os.close(self._complaints)
            raise Unavailable(
                f"cannot connect to {self.host}: no {argv[0]}", hint="install openssh-client"
            ) from None
        else:
            if lock >= 0:
                self._await_sharing(shared)
        finally:
            theirs.close()
            if lock >= 0:
                os.close(lock)
        ours.settimeout(timeout)
        self.socket: socket.socket = ours

    def _await_sharing(self, shared: str) -> None:
        """Let nobody else log in as long as this connection may become the shared one."""
        import time

        deadline = time.monotonic() + _PERSIST
        while not os.path.exists(shared) and time.monotonic() < deadline:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
                return
            time.sleep(0.005)

    def failure(self) -> NakaginError | None:
        """Why ssh has ended, or None where it ended well. Call it at the end of the stream."""
        status = self._wait()
        if status == 0:
            return None
        size = os.fstat(self._complaints).st_size
        text = (
            os.pread(self._complaints, _LONGEST, max(0, size - _LONGEST)).decode("utf-8", "replace").strip()
        )
        return explain(self.host, status, text)

    def _wait(self) -> int:
        if self._status is None:
            import time

            deadline = time.monotonic() + _FAREWELL
            while True:
                pid, status = os.waitpid(self._pid, os.WNOHANG)
                if pid:
                    self._status = os.waitstatus_to_exitcode(status)
                    break
                if time.monotonic() > deadline:
                    os.kill(self._pid, 15)
                time.sleep(0.002)
        return self._status

    def close(self) -> None:
        """End it; again is no error."""
        self.socket.close()
        if self._complaints >= 0:
            self._wait()
            os.close(self._complaints)
            self._complaints = -1


def explain(host: str, status: int, text: str) -> NakaginError:
    """ssh's exit code and last words as an error. Its own failures are 255, else they are the far command's."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    words = " ".join(lines[-4:])
    if status == _NOT_FOUND or "command not found" in words or "nakagin: not found" in words:
        return Unavailable(
            f"{host} has no nakagin",
            hint="install it there: `pip install nakagin`, and see that a non-interactive shell finds it",
        )
    lower = text.lower()
    for phrase, refused, hint in _KNOWN:
        if status == 255 and phrase in lower:
            kind = Denied if refused else Unavailable
            return kind(f"cannot connect to {host}: {words}", hint=hint)
    return Unavailable(f"the connection to {host} ended: {words or f'exit code {status}'}")


def command(endpoint: Endpoint, shared: str, words: Sequence[str] = ("system", "dial-stdio")) -> list[str]:
    """The ssh command line that runs `nakagin` with these words over there, by itself: that reaches the engine;
    `shared` is the shared connection's socket, or "". A path in the URL is the socket over there."""
    import shlex

    argv = shlex.split(os.environ.get("NAKAGIN_SSH", "")) or ["ssh"]
    argv += ["-T", "-o", f"ConnectTimeout={_TIMEOUT}"]
    if shared:
        argv += [
            "-o",
            "ControlMaster=auto",
            "-o",
            f"ControlPath={shared}",
            "-o",
            f"ControlPersist={_PERSIST}",
        ]
    if endpoint.user:
        argv += ["-l", endpoint.user]
    if endpoint.port:
        argv += ["-p", str(endpoint.port)]
    there = [
        "nakagin",
        *(["-H", f"unix://{endpoint.far_path}"] if endpoint.far_path else []),
        *words,
    ]
    return [*argv, "--", endpoint.host, shlex.join(there)]


def shared_path(endpoint: Endpoint) -> str:
    """The socket of the shared connection to a host, in a folder that is nobody else's. "": do not share."""
    import hashlib

    folder = os.path.join(os.environ.get("XDG_RUNTIME_DIR") or "/tmp", f"nakagin-ssh-{os.geteuid()}")  # noqa: S108
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    except OSError:
        return ""
    status = os.lstat(folder)
    # Somebody else's folder of that name in /tmp would give them our connections.
    if status.st_uid != os.geteuid() or status.st_mode & 0o170077 != 0o040000:
        return ""
    way = f"{endpoint.user}@{endpoint.host}:{endpoint.port} {os.environ.get('NAKAGIN_SSH', '')}"
    path = os.path.join(folder, hashlib.sha256(way.encode()).hexdigest()[:24])
    return path if len(path) <= _LONGEST_PATH else ""


def _lock(shared: str) -> int:
    """Where there is no shared connection yet: the right to make it (a descriptor), else -1. Waits for others."""
    if not shared or os.path.exists(shared):
        return -1
    import fcntl

    lock = os.open(f"{shared}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if os.path.exists(shared):  # somebody was first
        os.close(lock)
        return -1
    return lock
