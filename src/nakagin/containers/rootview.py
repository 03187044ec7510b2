"""A look into a container's root filesystem, running or not, from which no symlink leads out.

A running one is seen through its process; one that does not run is mounted for the moment, in a mount
namespace that only the looking thread has, so that the machine's mount table never shows it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from nakagin.kernel import abi, mount, namespaces, paths

if TYPE_CHECKING:
    from nakagin.spec import runtime as oci

T = TypeVar("T")

_LARGEST_TEXT = 1 << 20


def open_running(pid: int) -> int:
    """A descriptor of the root directory of the process `pid`."""
    return os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def look(cwd: str, root_mounts: Sequence[oci.Mount], place: str, work: Callable[[int], T]) -> T:
    """Mount a root at the directory `place` for one call of `work(root_fd)`, unseen by anybody else. Blocking.

    `cwd` and `root_mounts` are what `Snapshots.mounts` gives. Raises what `work` raises, or OSError.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    def visit() -> None:
        try:
            # CLONE_NEWNS also takes this thread's working directory apart from the engine's.
            namespaces.unshare(abi.CLONE_NEWNS)
            mount.mount(None, "/", None, abi.MS_REC | abi.MS_PRIVATE)
            os.chdir(cwd)
            for each in root_mounts:
                data = ",".join(
                    option for option in each["options"] if option not in {"bind", "rbind", "ro", "volatile"}
                )
                flags = abi.MS_BIND | abi.MS_REC if each["type"] == "bind" else 0
                mount.mount(each["source"], place, None if flags else each["type"], flags, data)
            root = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                outcome.append(work(root))
            finally:
                os.close(root)
        except BaseException as error:  # noqa: BLE001  outermost frame of a thread: handed to the caller below
            failure.append(error)

    thread = threading.Thread(target=visit, name="rootview")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def read_text(root: int, path: str) -> str:
    """The text of a file inside; "" where there is none, at most a megabyte."""
    try:
        fd = paths.open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(fd, "rb") as file:
        return file.read(_LARGEST_TEXT).decode("utf-8", "replace")


def read_accounts(root: int) -> tuple[str, str]:
    """The texts of /etc/passwd and /etc/group inside."""
    return read_text(root, "etc/passwd"), read_text(root, "etc/group")
