"""exec without a fork: what `enter` does in Python, as one list of system calls (kernel/automaton.py).

For the ordinary visitor only. Who needs the talk between child and parent, or a look around inside, is born
by a fork: with a terminal, a user or time namespace, security labels, placement, a seccomp listener; also
a command that is not simply there, so that `enter` finds the words for it.
"""

from __future__ import annotations

import os
import stat

from nakagin.kernel import abi, identity, namespaces, paths, seccomp, signals
from nakagin.kernel.calls import Call
from nakagin.runtime import become
from nakagin.runtime.program import observe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.cgroups.group import Group
    from nakagin.kernel.automaton import Maker
    from nakagin.runtime.become import Filter
    from nakagin.runtime.enter import Visit
    from nakagin.runtime.program import Program
    from nakagin.spec.runtime import Seccomp

_TRACE = 1 << identity.CAPABILITIES.index("CAP_SYS_PTRACE")
_NOT_SHARED = abi.CLONE_NEWUSER | abi.CLONE_NEWTIME  # the kernel lets nobody in who shares his memory


class Own:
    """What this process holds and hands on, and what it has compiled: the same at every birth."""

    __slots__ = ("_compiled", "bounding", "holdings", "oom_score_adj", "signals")

    def __init__(self, *, user_namespace: bool) -> None:
        self.holdings = observe(user_namespace=user_namespace)
        self.bounding = identity.bounding_mask()
        self.signals = signals.default_calls()
        with open("/proc/self/oom_score_adj") as file:
            self.oom_score_adj = int(file.read())
        self._compiled: tuple[Seccomp, Filter] | None = None

    def compiled(self, section: Seccomp | None, cache: dict[str, bytes] | str) -> Filter | None:
        """The filter of a container's seccomp section. Raises Invalid, Unsupported."""
        if not section:
            return None
        if self._compiled is None or self._compiled[0] != section:
            from nakagin.runtime import filters

            self._compiled = section, filters.compile_filter(section, cache)
        return self._compiled[1]


def _is_ordinary(program: Program, visit: Visit, own: Own) -> bool:
    """Whether this visitor can be born without a fork.

    Between clone and execve the child is the runtime's own memory, and in the container's pid namespace. It
    is not dumpable; but who may trace there (CAP_SYS_PTRACE) could look in, so such containers get a fork.
    """
    return bool(
        become.SEALED  # else a launcher is needed (CVE-2019-5736)
        and visit.stdio and min(visit.stdio) > 2 and not visit.preserve_fds and not visit.parent_death_signal
        and visit.flags & abi.CLONE_NEWNS  # else "/" would be the host's
        and not visit.flags & _NOT_SHARED and not program.bounding & _TRACE and not program.terminal
        and not program.is_placed and not program.initial_cpus and not program.selinux
        and program.oom_score_adj in {None, own.oom_score_adj} and program.env.get("HOME")
        and not (visit.filter and visit.filter.flags & seccomp.NEW_LISTENER)
    )  # fmt: skip


def bear(
    maker: Maker, program: Program, visit: Visit, pid: int, own: Own, group: Group
) -> tuple[int, int] | None:
    """(pid, pidfd) of the visitor, whose program runs; None where it must be born by a fork after all.

    `pid` is the container's first process.
    """
    if not _is_ordinary(program, visit, own):
        return None
    opened: list[int] = []
    try:
        opened.append(root := os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        command = _find_command(program, root)
        # CVE-2024-21626: resolved by the kernel below the container's root, and through no magic link.
        opened.append(directory := paths.open_in_root(root, program.cwd, os.O_PATH | os.O_DIRECTORY))
        cgroup, joiners = group.fd(), []
        if cgroup >= 0:
            opened.append(cgroup)
        else:
            opened += (joiners := group.joiners())
        proc = -1  # needed for the label alone
        if program.apparmor:
            opened.append(proc := paths.open_procfs())
        calls = _calls(program, visit, (root, directory, proc), joiners, own, group)
        become.own_stdio(program.uid, visit.stdio or ())
        if not visit.flags & abi.CLONE_NEWPID:
            return maker.run(calls, _execute(program, command), cgroup)
        with namespaces.children_in_pid_namespace(visit.pidfd):
            return maker.run(calls, _execute(program, command), cgroup)
    except OSError:
        return None
    finally:
        for fd in opened:
            os.close(fd)


def _find_command(program: Program, root: int) -> str:
    """As `become.find_command`, from outside. Raises OSError."""
    name = program.args[0]
    for folder in [""] if "/" in name else program.env.get("PATH", "").split(":"):
        path = os.path.join(program.cwd, folder, name)
        try:
            # No magic link may lead to the runtime itself (CVE-2019-5736).
            fd = paths.open_in_root(root, path, os.O_PATH)
        except OSError:
            continue
        try:
            found = os.fstat(fd)
        finally:
            os.close(fd)
        if stat.S_ISREG(found.st_mode) and become.may_execute(found, program):
            return path
    raise FileNotFoundError(2, "not found", name)


def _calls(
    program: Program, visit: Visit, places: Sequence[int], joiners: Sequence[int], own: Own, group: Group
) -> list[Call]:
    """From birth to the brink of execve, in the order of `enter`, whose comments say why.

    `places` are the container's root, the working directory, and our procfs.
    """
    root, directory, proc = places
    kept = [fd for fd in (visit.pidfd, *places, *joiners) if fd >= 0]
    free = next(number for number in range(3, len(kept) + 4) if number not in kept)
    install = seccomp.install_calls(visit.filter.program, visit.filter.flags) if visit.filter else []
    flags = visit.flags & ~abi.CLONE_NEWPID  # it is born in that one
    return [
        *_settle(visit, kept),
        Call("make a session", abi.NR_SETSID),
        *(Call(f"join cgroup {group.path}", abi.NR_WRITE, fd, b"0", 1) for fd in joiners),
        Call("join the container's namespaces", abi.NR_SETNS, visit.pidfd, flags),
        Call("enter the container's root", abi.NR_FCHDIR, root),
        Call("enter the container's root", abi.NR_CHROOT, b"."),
        *become.limit_calls(program),
        *become.label_calls(program, proc, free),
        *([] if program.no_new_privs else install),
        Call(f"enter working directory {program.cwd}", abi.NR_FCHDIR, directory),
        *become.right_calls(program, own.bounding),
        *(install if program.no_new_privs else []),
        *own.signals,
        Call("close descriptors", abi.NR_CLOSE_RANGE, 3, 0xFFFF_FFFF, 0),
    ]


def _settle(visit: Visit, kept: Sequence[int]) -> list[Call]:
    """The standard streams to their places, and everything closed but what the list needs."""
    calls = [
        Call("take the standard streams", abi.NR_DUP3, fd, number, 0)
        for number, fd in enumerate(visit.stdio or ())
    ]
    first = 3
    for fd in sorted(kept):
        if first < fd:
            calls.append(Call("close descriptors", abi.NR_CLOSE_RANGE, first, fd - 1, 0))
        first = fd + 1
    return [*calls, Call("close descriptors", abi.NR_CLOSE_RANGE, first, 0xFFFF_FFFF, 0)]


def _execute(program: Program, command: str) -> Call:
    arguments = [os.fsencode(each) for each in program.args]
    variables = [os.fsencode(f"{name}={value}") for name, value in program.env.items()]
    return Call(f"exec {command}", abi.NR_EXECVE, os.fsencode(command), [*arguments, 0], [*variables, 0])
