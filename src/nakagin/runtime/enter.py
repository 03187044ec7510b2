"""A further process of a running container, between clone and execve: the straight list of `exec`.

It is born in the container's pid namespace and cgroup already; the rest is joined here by one setns(2).
"""

from __future__ import annotations

import os

from nakagin.kernel import fds, namespaces, paths, process, terminal
from nakagin.runtime import become, furnish, init, sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from nakagin.cgroups.group import Group
    from nakagin.runtime.program import Program
    from nakagin.runtime.sync import Channel


class Visit:
    """What an exec'd process needs beside its program.

    `pidfd` is the container's first process, `flags` the namespaces (CLONE_NEW*) that it does not share
    with the runtime.
    """

    __slots__ = (
        "channel", "console", "filter", "flags", "group", "has_user_namespace", "parent_death_signal",
        "pidfd", "preserve_fds", "stdio",
    )  # fmt: skip

    def __init__(self, channel: Channel, pidfd: int, flags: int) -> None:
        self.channel = channel
        self.pidfd = pidfd
        self.flags = flags
        self.has_user_namespace = False
        self.group: Group | None = None
        self.stdio: tuple[int, int, int] | None = None
        self.console = -1
        self.preserve_fds = 0
        self.filter: become.Filter | None = None
        self.parent_death_signal = 0


def main(program: Program, visit: Visit) -> NoReturn:
    """Become a process of the container. Never returns."""
    init.guarded(visit.channel, lambda: _live(program, visit))


def _live(program: Program, visit: Visit) -> None:
    channel = visit.channel
    become.forbid_imports()
    # CVE-2024-21626: this process is visible to the container from its birth on, so nothing of the host
    # may be open. It is not dumpable either: the parent was made so before (CVE-2019-5736).
    kept = [0, 1, 2, channel.fileno(), visit.pidfd, *(visit.stdio or ()), *range(3, 3 + visit.preserve_fds)]
    fds.close_all_except(kept if visit.console < 0 else [*kept, visit.console])
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
