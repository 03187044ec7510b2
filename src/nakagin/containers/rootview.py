"""A look into a container's root filesystem, running or not, from which no symlink leads out.

A running one is seen through its process; one that does not run is mounted for the moment, in a mount
namespace that nobody lives in, so that the machine's mount table never shows it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from nakagin.kernel import abi, mount, namespaces, paths

if TYPE_CHECKING:
    from typing import Self

    from nakagin.spec import runtime as oci

T = TypeVar("T")

_LARGEST_TEXT = 1 << 20
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class View:
    """An open root: `root` is a descriptor of its directory, to be used by any thread until `close`.

    The mount namespace is held too: without it the mounts on top of the root would be gone with their process.
    """

    __slots__ = ("_namespace", "root")

    def __init__(self, root: int, namespace: int) -> None:
        self.root = root
        self._namespace = namespace

    def close(self) -> None:
        """Let go of it; what was mounted for it is unmounted."""
        root, namespace = self.root, self._namespace
        self.root = self._namespace = -1
        if root >= 0:
            os.close(root)
            os.close(namespace)

    def __del__(self) -> None:
        self.close()  # a tar that nobody began to read

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def of_process(pid: int) -> View:
    """The root of a process. OSError where it is gone; the caller makes sure that it still is the one he means."""
    namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return View(os.open(f"/proc/{pid}/root", _DIRECTORY), namespace)
    except OSError:
        os.close(namespace)
        raise


def mounted(
    cwd: str, root_mounts: Sequence[oci.Mount], place: str, furnish: Callable[[int], None] | None = None
) -> View:
    """Mount a root at the directory `place`, unseen by anybody else. Blocking; raises OSError.

    `cwd` and `root_mounts` are what `Snapshots.mounts` gives; a tmpfs among them gets the directories upper/ and
    work/ for an overlay that follows. `furnish` gets the root's descriptor and may mount further things there.
    """
    outcome: list[View] = []
    failure: list[BaseException] = []

    def visit() -> None:
        try:
            # CLONE_NEWNS also takes this thread's working directory apart from the engine's.
            namespaces.unshare(abi.CLONE_NEWNS)
            mount.mount(None, "/", None, abi.MS_REC | abi.MS_PRIVATE)
            os.chdir(cwd)
            for each in root_mounts:
                _mount(each, place)
            root = os.open(place, _DIRECTORY)
            try:
                if furnish is not None:
                    furnish(root)
                outcome.append(View(root, os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)))
            except BaseException:
                os.close(root)
                raise
        except BaseException as error:  # noqa: BLE001  outermost frame of a thread: handed to the caller below
            failure.append(error)

    thread = threading.Thread(target=visit, name="rootview")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _mount(each: oci.Mount, place: str) -> None:
    data = ",".join(option for option in each["options"] if option not in {"bind", "rbind", "ro", "volatile"})
    flags = abi.MS_BIND | abi.MS_REC if each["type"] == "bind" else 0
    mount.mount(each["source"], place, None if flags else each["type"], flags, data)
    if each["type"] == "tmpfs":
        os.mkdir(f"{place}/upper", 0o755)
        os.mkdir(f"{place}/work", 0o700)


def look(cwd: str, root_mounts: Sequence[oci.Mount], place: str, work: Callable[[int], T]) -> T:
    """Mount a root for one call of `work(root_fd)`; see `mounted`. Raises what `work` raises, or OSError."""
    with mounted(cwd, root_mounts, place) as view:
        return work(view.root)


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
