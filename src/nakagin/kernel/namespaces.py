"""Namespaces: join, leave, and look into them for a moment."""

from __future__ import annotations

import ctypes
import os

from nakagin.kernel import abi
from nakagin.kernel.libc import fail, function
from nakagin.kernel.mounttable import mount_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

# The OCI name -> (flag, file in /proc/PID/ns). The order is the one in which they are joined: the user
# namespace first, because it gives the rights over the others, and the mount namespace last, because
# the paths of the others are the old one's.
KINDS: dict[str, tuple[int, str]] = {
    "user": (abi.CLONE_NEWUSER, "user"),
    "cgroup": (abi.CLONE_NEWCGROUP, "cgroup"),
    "ipc": (abi.CLONE_NEWIPC, "ipc"),
    "uts": (abi.CLONE_NEWUTS, "uts"),
    "network": (abi.CLONE_NEWNET, "net"),
    "pid": (abi.CLONE_NEWPID, "pid"),
    "time": (abi.CLONE_NEWTIME, "time"),
    "mount": (abi.CLONE_NEWNS, "mnt"),
}

_setns = function("setns", ctypes.c_int, ctypes.c_int)
_unshare = function("unshare", ctypes.c_int)
_sethostname = function("sethostname", ctypes.c_char_p, ctypes.c_size_t)
_setdomainname = function("setdomainname", ctypes.c_char_p, ctypes.c_size_t)


def setns(fd: int, flags: int) -> None:
    """Join the namespace `fd`, or with a pidfd all namespaces in `flags` of that process at once."""
    if _setns(fd, flags) < 0:
        raise fail("setns")


def unshare(flags: int) -> None:
    """Move into new namespaces; new pid and time namespaces are for children only."""
    if _unshare(flags) < 0:
        raise fail("unshare")


def sethostname(name: str) -> None:
    """Set the host name of the present uts namespace."""
    encoded = os.fsencode(name)
    if _sethostname(encoded, len(encoded)) < 0:
        raise fail("sethostname")


def setdomainname(name: str) -> None:
    """Set the NIS domain name of the present uts namespace."""
    encoded = os.fsencode(name)
    if _setdomainname(encoded, len(encoded)) < 0:
        raise fail("setdomainname")


def is_in_chroot() -> bool:
    """Whether this process's root is another than its mount namespace's, to which setns(2) leads.

    Only a process of one thread with CAP_SYS_ADMIN and CAP_SYS_CHROOT can find out; for others it is False.
    """
    directory, own = _open_folder("."), _open_folder("/")
    try:
        namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(namespace, abi.CLONE_NEWNS)
        finally:
            os.close(namespace)
        try:
            top = _open_folder("/")
        finally:
            os.fchdir(own)
            os.chroot(".")
            os.fchdir(directory)
        try:
            return mount_id(top) != mount_id(own) or not os.path.sameopenfile(top, own)
        finally:
            os.close(top)
    except OSError:
        return False
    finally:
        os.close(directory)
        os.close(own)


def _open_folder(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


class _Visit:
    """Join on entry, come back on exit; for a single-threaded caller or a thread that may be lost."""

    __slots__ = ("_back", "_fd", "_file", "_flag")

    def __init__(self, fd: int, flag: int, file: str) -> None:
        self._fd = fd
        self._flag = flag
        self._file = file
        self._back = -1

    def __enter__(self) -> None:
        self._back = os.open(f"/proc/thread-self/ns/{self._file}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(self._fd, self._flag)
        except OSError:
            os.close(self._back)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            setns(self._back, self._flag)
        finally:
            os.close(self._back)


def in_network_namespace(fd: int) -> _Visit:
    """Sockets made in this `with` block belong to the network namespace `fd` (or the pidfd's)."""
    return _Visit(fd, abi.CLONE_NEWNET, "net")


def children_in_pid_namespace(fd: int) -> _Visit:
    """Children made in this `with` block live in the pid namespace `fd` (or the pidfd's)."""
    return _Visit(fd, abi.CLONE_NEWPID, "pid")


class Home:
    """The namespaces that this process, of one thread, belongs to; from here it can go away and come back."""

    __slots__ = ("_files",)

    def __init__(self) -> None:
        self._files = {
            flag: os.open(f"/proc/self/ns/{file}", os.O_RDONLY | os.O_CLOEXEC)
            for flag, file in KINDS.values()
            if flag not in (abi.CLONE_NEWUSER, abi.CLONE_NEWTIME)  # left for good only
        }

    def away(self, pidfd: int, flags: int) -> _Away:
        """In this `with` block the namespaces in `flags` (CLONE_NEW*) are those of the process `pidfd`.

        The pid namespace is that of children made and of procfs mounted, not this process's own.
        """
        return _Away(pidfd, flags, self._files)


class _Away:
    __slots__ = ("_files", "_flags", "_pidfd")

    def __init__(self, pidfd: int, flags: int, files: dict[int, int]) -> None:
        self._pidfd = pidfd
        self._flags = flags
        self._files = files

    def __enter__(self) -> None:
        setns(self._pidfd, self._flags)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for flag, file in self._files.items():
            if self._flags & flag:
                try:
                    setns(file, flag)
                except OSError:
                    os._exit(1)  # lost in a container: nothing may be done by this process any more


class _NewTime:
    """Children made in the block are born into a new time namespace; its offsets are written before."""

    __slots__ = ("_back", "_offsets")

    def __init__(self, offsets: str) -> None:
        self._offsets = offsets
        self._back = -1

    def __enter__(self) -> None:
        self._back = os.open("/proc/self/ns/time", os.O_RDONLY | os.O_CLOEXEC)
        try:
            unshare(abi.CLONE_NEWTIME)
            if self._offsets:
                with open("/proc/self/timens_offsets", "w") as file:
                    file.write(self._offsets)
        except OSError:
            self._leave()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        try:
            setns(self._back, abi.CLONE_NEWTIME)
        finally:
            os.close(self._back)


def children_in_new_time_namespace(offsets: str) -> _NewTime:
    """Children made in this `with` block live in a new time namespace with these timens_offsets(5) lines.

    For a single-threaded caller. Clocks cannot be shifted once somebody lives in the namespace, so
    clone3(CLONE_NEWTIME) would be too late.
    """
    return _NewTime(offsets)
