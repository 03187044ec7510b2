"""User namespaces that only serve as an id mapping: for idmapped mounts, and the maps of a container."""

from __future__ import annotations

import os

from nakagin.kernel import abi, namespaces, process
from nakagin.runtime.steps import id_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.spec.runtime import IDMapping

_SIGKILL = 9


def user_namespace(uids: Sequence[IDMapping], gids: Sequence[IDMapping]) -> int:
    """A descriptor of a user namespace with these mappings, in which nobody lives. Raises OSError."""
    ready, waiting = os.pipe2(os.O_CLOEXEC)
    pid, pidfd = process.clone3(abi.CLONE_NEWUSER)
    if pid == 0:
        os.close(waiting)
        os.read(ready, 1)  # until the parent is done and closes its end
        os._exit(0)
    os.close(ready)
    try:
        write_maps(pid, id_map(uids), id_map(gids))
        return os.open(f"/proc/{pid}/ns/{namespaces.KINDS['user'][1]}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(waiting)
        process.pidfd_send_signal(pidfd, _SIGKILL)
        process.wait_pidfd(pidfd)
        os.close(pidfd)


def write_maps(pid: int, uid_map: str, gid_map: str) -> None:
    """Give the new user namespace of `pid` its ids (user_namespaces(7)).

    The gid map comes after "deny": an unprivileged writer may not map groups while setgroups(2) could
    still drop one that a file's permissions exclude.
    """
    if os.geteuid() != 0:
        from nakagin.runtime import rootless

        rootless.write_maps(pid, uid_map, gid_map)
        return
    _write(pid, "gid_map", gid_map)
    _write(pid, "uid_map", uid_map)


def _write(pid: int, name: str, text: str) -> None:
    path = f"/proc/{pid}/{name}"
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from None
    finally:
        os.close(fd)
