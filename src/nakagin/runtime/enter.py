"""A further process of a running container, between clone and execve: the straight list of `exec`.

It is born in the container's pid namespace and cgroup already; the rest is joined here by one setns(2).
"""

from __future__ import annotations

import os

from nakagin.kernel import abi, fds, namespaces, paths, process, terminal
from nakagin.runtime import become, furnish, init, sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from nakagin.cgroups.group import Group
    from nakagin.runtime.program import Program
    from nakagin.runtime.sync import Channel
    from nakagin.spec.runtime import Config


class Visit:
    """What an exec'd process needs beside its program.

    `pidfd` is the container's first process, `flags` the namespaces (CLONE_NEW*) that it does not share
    with the runtime, `root` its root directory (-1: that of its mount namespace will do).
    """

    __slots__ = (
        "channel", "console", "filter", "flags", "group", "has_user_namespace", "parent_death_signal",
        "pidfd", "preserve_fds", "root", "stdio",
    )  # fmt: skip

    channel: Channel  # set by who forks

    def __init__(self, pidfd: int, flags: int) -> None:
        self.pidfd = pidfd
        self.flags = flags
        self.has_user_namespace = False
        self.group: Group | None = None
        self.stdio: tuple[int, int, int] | None = None
        self.console = -1
        self.preserve_fds = 0
        self.root = -1
        self.filter: become.Filter | None = None
        self.parent_death_signal = 0


def own_flags(config: Config) -> int:
    """The namespaces of the container that the runtime does not share (CLONE_NEW*)."""
    flags = 0
    for namespace in (config.get("linux") or {}).get("namespaces") or ():
        flags |= namespaces.KINDS[namespace["type"]][0]
    return flags


def open_root(pid: int, flags: int) -> int:
    """The root directory of a process with mounts of its own; -1 where it has none, or it may not be seen."""
    if not flags & abi.CLONE_NEWNS:
        return -1
    try:
        return os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1


def main(program: Program, visit: Visit) -> NoReturn:
    """Become a process of the container. Never returns."""
    init.guarded(visit.channel, lambda: _live(program, visit))


def _live(program: Program, visit: Visit) -> None:
    channel = visit.channel
    become.forbid_imports()
    # CVE-2024-21626: this process is visible to the container from its birth on, so nothing of the host
    # may be open. It is not dumpable either: the parent was made so before (CVE-2019-5736).
    kept = [0, 1, 2, channel.fileno(), visit.pidfd, *(visit.stdio or ()), *range(3, 3 + visit.preserve_fds)]
    fds.close_all_except([*kept, *(fd for fd in (visit.console, visit.root) if fd >= 0)])
    if visit.parent_death_signal:
        process.set_parent_death_signal(visit.parent_death_signal)
    channel.await_go()
    os.setsid()
    if visit.group:
        visit.group.join()
    proc = paths.open_procfs()  # the runtime's own, before the mounts change
    if program.is_placed:
        become.place(program)  # while CAP_SYS_NICE is there
    try:
        namespaces.setns(visit.pidfd, visit.flags)
    except OSError as error:
        raise furnish.step_failed("join the container's namespaces", error) from None
    os.close(visit.pidfd)
    if visit.root >= 0:
        # Where the root could not be pivoted (an engine in a chroot), the namespace's own root is the host's.
        os.fchdir(visit.root)
        os.chroot(".")
        os.close(visit.root)
    if visit.has_user_namespace:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    become.label(program, proc)
    os.close(proc)
    master = _take_stdio(program, visit)
    command = become.confine(program, visit.filter, channel)
    if visit.parent_death_signal:
        process.set_parent_death_signal(visit.parent_death_signal)
    channel.send(sync.READY, pass_fds=[master] if master >= 0 else [])
    if visit.filter and program.no_new_privs:
        become.install(visit.filter, channel)
    become.execute(program, command, visit.preserve_fds, channel)


def _take_stdio(program: Program, visit: Visit) -> int:
    """Put the terminal or the given descriptors on 0, 1 and 2; the terminal's master if it was made here."""
    if not program.terminal:
        if visit.stdio:
            init.take_fds(visit.stdio)
        return -1
    master, console = -1, visit.console
    if console < 0:
        dev = os.open("/dev", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            master, console = terminal.open_pty(dev)
        except OSError as error:
            raise furnish.step_failed("make a terminal", error) from None
        finally:
            os.close(dev)
    init.take_console(console, program.console_size)
    return master
