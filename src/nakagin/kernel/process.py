"""Processes: clone3, pidfds, signals through them, and the prctl switches of the calling process."""

from __future__ import annotations

import ctypes
import os
import select
import struct

from nakagin.kernel import abi
from nakagin.kernel.libc import fail, function, syscall

SIGCHLD = 17
P_PIDFD = 3

_prctl = function("prctl", ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_before_fork = function("PyOS_BeforeFork", restype=None)  # type: ignore[arg-type]
_after_fork_parent = function("PyOS_AfterFork_Parent", restype=None)  # type: ignore[arg-type]
_after_fork_child = function("PyOS_AfterFork_Child", restype=None)  # type: ignore[arg-type]


def clone3(flags: int, cgroup_fd: int = -1) -> tuple[int, int]:
    """Fork into new namespaces: (pid, pidfd) in the parent, (0, -1) in the child.

    `flags` are CLONE_NEW* and CLONE_PARENT; CLONE_NEWTIME is refused by design (its offsets must be
    written before anybody lives in it: unshare it first). With `cgroup_fd` (a cgroup v2 directory) the
    child is born there. The caller must have one thread. Falls back to clone(2) where clone3 is
    missing or filtered; then `cgroup_fd` raises ENOSYS.
    """
    pidfd = ctypes.c_int(-1)
    into = abi.CLONE_INTO_CGROUP if cgroup_fd >= 0 else 0
    signal = 0 if flags & abi.CLONE_PARENT else SIGCHLD
    # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
    # set_tid_size, cgroup
    words = (flags | abi.CLONE_PIDFD | into, ctypes.addressof(pidfd), 0, 0, signal, 0, 0, 0, 0, 0)
    arguments = struct.pack("11Q", *words, max(cgroup_fd, 0))
    _before_fork()
    try:
        pid = syscall(abi.NR_CLONE3, arguments, len(arguments))
    except OSError as error:
        if error.errno != 38 or cgroup_fd >= 0:
            _after_fork_parent()
            raise
        pid = _clone(flags | abi.CLONE_PIDFD | signal, pidfd)
    if pid == 0:
        _after_fork_child()
        return 0, -1
    _after_fork_parent()
    return pid, pidfd.value


def _clone(flags: int, pidfd: ctypes.c_int) -> int:
    """clone(2) without a new stack is a fork; its parent_tid argument receives the pidfd."""
    try:
        return syscall(abi.NR_CLONE, flags, None, ctypes.byref(pidfd), None, None)
    except OSError:
        _after_fork_parent()
        raise


def pidfd_open(pid: int) -> int:
    """A descriptor of the process `pid` (close-on-exec; readable when it has ended)."""
    return syscall(abi.NR_PIDFD_OPEN, pid, 0)


def pidfd_send_signal(pidfd: int, number: int) -> None:
    """Send a signal to exactly the process that `pidfd` is; ESRCH if it has ended and was reaped."""
    syscall(abi.NR_PIDFD_SEND_SIGNAL, pidfd, number, None, 0)


def wait_pidfd(pidfd: int) -> int:
    """Wait for and reap the child `pidfd`; its exit code, or 128 + the signal that ended it."""
    info = os.waitid(P_PIDFD, pidfd, os.WEXITED)
    assert info is not None  # only WNOHANG gives None
    return info.si_status if info.si_code == os.CLD_EXITED else 128 + info.si_status


def has_ended(pidfd: int, patience: int) -> bool:
    """Whether the process has ended, or does so within `patience` milliseconds. It is not reaped."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(patience))


def start_ticks(pid: int) -> int:
    """When the process started, in clock ticks since boot: with the pid it names one process for ever.

    Raises FileNotFoundError or ProcessLookupError when there is no such process.
    """
    return _stat_fields(pid)[1]


def is_alive(pid: int, ticks: int) -> bool:
    """Whether the process `pid` that started at `ticks` still runs (a zombie does not)."""
    try:
        state, started = _stat_fields(pid)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return started == ticks and state not in (b"Z", b"X")


def _stat_fields(pid: int) -> tuple[bytes, int]:
    """State letter and start time of /proc/PID/stat; the name before them may hold blanks and brackets."""
    file = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fields = os.read(file, 4096).rpartition(b")")[2].split()
    finally:
        os.close(file)
    return fields[0], int(fields[19])


def prctl(option: int, *arguments: int) -> int:
    """prctl(2) with up to four numbers."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    result: int = _prctl(option, *padded)
    if result < 0:
        raise fail(f"prctl {option}")
    return result


def set_parent_death_signal(number: int) -> None:
    """Get signal `number` when the thread that made this process ends."""
    prctl(abi.PR_SET_PDEATHSIG, number)


def set_subreaper() -> None:
    """Become the parent of orphaned descendants."""
    prctl(abi.PR_SET_CHILD_SUBREAPER, 1)


def set_dumpable(dumpable: bool) -> None:
    """Without it /proc/PID/{exe,mem,fd} of this process are closed to others without CAP_SYS_PTRACE."""
    prctl(abi.PR_SET_DUMPABLE, int(dumpable))


def set_no_new_privs() -> None:
    """From now on execve(2) gives no privileges (setuid bits, file capabilities)."""
    prctl(abi.PR_SET_NO_NEW_PRIVS, 1)


def set_name(name: str) -> None:
    """The name that ps shows (15 bytes)."""
    fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, name.encode()[:15])
    finally:
        os.close(fd)


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """A duplicate of the other process's descriptor `fd`; needs the right to trace it."""
    return syscall(abi.NR_PIDFD_GETFD, pidfd, fd, 0)
