"""Where a container and other processes meet: the start socket, the console socket, the pid file."""

from __future__ import annotations

import _socket
import os

from nakagin.errors import StepFailed
from nakagin.kernel import fds
from nakagin.runtime import sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.runtime.state import Folder


def listen(folder: Folder) -> _socket.socket:
    """The socket by which another process will start the container. Raises OSError."""
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    with_fd = os.open(folder.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        socket.bind(f"/proc/self/fd/{with_fd}/start")  # a socket's path holds 107 bytes at most
    finally:
        os.close(with_fd)
    socket.listen(1)
    return socket


def call(folder: Folder) -> sync.Channel:
    """The channel to a first process that another call of the runtime created. Raises StepFailed."""
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    with_fd = os.open(folder.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        socket.connect(f"/proc/self/fd/{with_fd}/start")
    except OSError as error:
        socket.close()
        raise StepFailed(
            "start the container", error.strerror or str(error), errno=error.errno or 0
        ) from None
    finally:
        os.close(with_fd)
    return sync.Channel(socket)


def send_terminal(path: str, master: int) -> None:
    """Send the terminal's master to the console socket at `path` and close it here. Raises StepFailed."""
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        socket.connect(path)
        fds.send_fds(socket, b"/dev/ptmx", [master])
    except OSError as error:
        step = f"send the terminal to {path}"
        raise StepFailed(step, error.strerror or str(error), errno=error.errno or 0) from None
    finally:
        socket.close()
    os.close(master)


def write_pid_file(path: str, pid: int) -> None:
    """Write the pid; a reader sees the whole number or no file. Raises StepFailed."""
    temporary = f"{path}.{pid}"
    try:
        with open(temporary, "w") as file:
            file.write(str(pid))
        os.rename(temporary, path)
    except OSError as error:
        raise StepFailed(f"write {path}", error.strerror or "", errno=error.errno or 0) from None
