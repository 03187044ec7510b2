"""Hand a seccomp listener's descriptor to its agent (config-linux.md, "The Container Process State")."""

from __future__ import annotations

import _socket
import os

from nakagin.errors import StepFailed
from nakagin.kernel import fds, process
from nakagin.spec import document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.runtime.spawn import Child
    from nakagin.spec.runtime import ContainerProcessState, Seccomp, State


def hand_over(section: Seccomp, child: Child, number: int, state: State) -> None:
    """Fetch descriptor `number` of the child and send it with the state to the listener's socket."""
    path = section.get("listenerPath", "")
    step = f"pass the seccomp listener to {path}"
    message: ContainerProcessState = {
        "ociVersion": state["ociVersion"],
        "fds": ["seccompFd"],
        "pid": child.pid,
        "metadata": section.get("listenerMetadata", ""),
        "state": state,
    }
    try:
        fd = process.pidfd_getfd(child.pidfd, number)
        try:
            socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
            try:
                socket.connect(path)
                fds.send_fds(socket, document.render(message).encode(), [fd])
            finally:
                socket.close()
        finally:
            os.close(fd)
    except OSError as error:
        raise StepFailed(step, error.strerror or str(error), errno=error.errno or 0) from None
