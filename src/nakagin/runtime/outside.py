"""A container made from outside: this process goes into the new namespaces, does init's work and comes back.

    this process                                   the automaton (kernel/automaton.py)
    ────────────                                   ──────────────────────────────────
    has it made in new namespaces ───────────────► waits for a script
    first script ────────────────────────────────► joins its cgroup, session, hostname, keyring
    network, limits, state, at the same time
    goes in: loopback, sysctls, furniture, pivot_root, looks the command up, comes back     ("created")
    last script ─────────────────────────────────► limits, root, rights, filter, execve     ("started")

The plan, its steps and its calls are those of an ordinary birth (spawn.py, init.py); but no interpreter is
copied for the child, and what this process has learned it still knows at the next birth. Only for plain
containers (`check`): all others are born the ordinary way.
"""

from __future__ import annotations

import os

from nakagin.errors import StepFailed
from nakagin.kernel import (
    abi,
    automaton,
    interfaces,
    keyring,
    mount,
    namespaces,
    paths,
    seccomp,
)
from nakagin.kernel.calls import Call, CallFailed
from nakagin.runtime import become, furnish, init, spawn, sync
from nakagin.runtime.quick import Own
from nakagin.runtime.steps import BindConsole, BindMount, MountFilesystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from nakagin.cgroups.group import Group
    from nakagin.kernel.automaton import Automaton
    from nakagin.runtime.init import Birth
    from nakagin.runtime.plan import Plan
    from nakagin.runtime.spawn import Talk
    from nakagin.runtime.steps import Step

    T = TypeVar("T")
    # Makes the automaton: (CLONE_NEW* flags, descriptor of the v2 group to be born in or -1).
    Make = Callable[[int, int], Automaton]

_SIGKILL = 9
_OWN = abi.CLONE_NEWNS | abi.CLONE_NEWPID
# What the automaton makes when it is wanted: the cgroup namespace is rooted where it then is, and the mount
# namespace is a copy of the host's as it then is.
_BY_ITSELF = abi.CLONE_NEWNS | abi.CLONE_NEWCGROUP
_FOREIGN = abi.CLONE_NEWUSER | abi.CLONE_NEWTIME
# What is mounted without waiting for anybody: no disk, no server.
_QUICK = frozenset({"cgroup", "cgroup2", "devpts", "mqueue", "overlay", "proc", "sysfs", "tmpfs"})


class Misfit(Exception):
    """The container is not plain enough to be made from outside."""


class Outside:
    """What a process needs to make containers from outside; made once, while it is where it belongs.

    `make` makes the automaton, a child of who shall wait for the container.
    """

    __slots__ = ("_home", "_make", "own", "proc")

    def __init__(self, make: Make) -> None:
        self._make = make
        self._home = namespaces.Home()
        self.proc = paths.open_procfs()
        self.own = Own(user_namespace=False)

    def check(self, plan: Plan, birth: Birth) -> None:
        """Raises Misfit unless the container is plain enough, and this process able, to make it from outside."""
        if not self._fits(plan, birth):
            raise Misfit

    def _fits(self, plan: Plan, birth: Birth) -> bool:
        program, filter_ = plan.program, birth.filter
        text = sum(map(len, (*program.args, *program.env, *program.env.values())))
        return (
            become.SEALED  # else a launcher is needed (CVE-2019-5736)
            and plan.clone_flags & _OWN == _OWN
            and not plan.clone_flags & _FOREIGN
            and not (plan.joins or plan.hooks or plan.net_devices or plan.no_pivot or plan.root.propagation)
            and not (program.terminal or program.is_placed or program.selinux)
            and program.oom_score_adj in {None, self.own.oom_score_adj}
            and not (filter_ and filter_.flags & seccomp.NEW_LISTENER)
            and birth.stdio is not None
            and not (birth.preserve_fds or birth.listening)
            and 4 * text + len(filter_.program if filter_ else b"") < automaton.LONGEST // 2
            and all(map(_is_quick, plan.steps))
            and all(each.get("type") in _QUICK for each in plan.root.mounts)
        )

    def bear(self, plan: Plan, birth: Birth, group: Group, talk: Talk) -> spawn.Child:
        """Make the container's first process and lead it to "created". Raises StepFailed; then nothing is left."""
        become.require_labels(plan.program)
        cgroup = group.fd()
        try:
            made = self._make(plan.clone_flags & ~_BY_ITSELF, cgroup)
        finally:
            if cgroup >= 0:
                os.close(cgroup)
        child = Standing(made, self, plan, birth)
        try:
            child.arrive(group)
            if talk.on_namespaces:
                talk.on_namespaces(child.pid, child.pidfd)
            if talk.on_born:
                talk.on_born(child)
            child.furnish(self._home, self.proc)
        except BaseException:
            child.abandon()
            raise
        return child

    def last_calls(self, plan: Plan, birth: Birth, numbers: Sequence[int]) -> list[Call]:
        """From "created" to the brink of execve.

        `numbers` are the child's descriptors: the root, the working directory, our procfs, and the next it will open.
        """
        root, directory, proc, opened = numbers
        program, filter_ = plan.program, birth.filter
        install = seccomp.install_calls(filter_.program, filter_.flags) if filter_ else []
        words = "enter the container's root"
        return [
            *become.limit_calls(program),
            *become.label_calls(program, proc, opened),
            Call(words, abi.NR_FCHDIR, root),
            Call(words, abi.NR_CHROOT, b"."),
            Call(f"enter working directory {program.cwd}", abi.NR_FCHDIR, directory),
            *self.own.signals,
            # CVE-2024-21626: nothing but the streams goes into the program.
            Call("close descriptors", abi.NR_CLOSE_RANGE, 3, 0xFFFF_FFFF, abi.CLOSE_RANGE_CLOEXEC),
            *([] if program.no_new_privs else install),  # needs CAP_SYS_ADMIN
            *become.right_calls(program, self.own.bounding),
            *_death_signal(birth),  # forgotten when the ids changed
            *(install if program.no_new_privs else []),
        ]


def _is_quick(step: Step) -> bool:
    if isinstance(step, MountFilesystem):
        return step.fstype in _QUICK and not step.copy_up
    return not (isinstance(step, BindConsole) or (isinstance(step, BindMount) and step.idmap))


def _death_signal(birth: Birth) -> list[Call]:
    words = "ask to die with the monitor"
    return [Call(words, abi.NR_PRCTL, abi.PR_SET_PDEATHSIG, birth.parent_death_signal, 0, 0, 0)]


class Standing(spawn.Child):
    """A first process that stands by as an automaton until `start`."""

    __slots__ = ("_automaton", "_birth", "_command", "_directory", "_outside", "_plan", "_root")

    def __init__(self, made: Automaton, outside: Outside, plan: Plan, birth: Birth) -> None:
        super().__init__(made.pid, made.pidfd, sync.Channel(made.socket))
        self._automaton = made
        self._outside = outside
        self._plan = plan
        self._birth = birth
        self._command = ""
        self._root = self._directory = -1

    def arrive(self, group: Group) -> None:
        """Let it take its place: cgroup, session, names. `furnish` waits for the end of that."""
        plan, birth = self._plan, self._birth
        joiners = group.joiners() if group.layout.mode != "v2" else []
        numbers = self._automaton.numbers(len(joiners))
        calls = _death_signal(birth)
        calls.append(Call("make a session", abi.NR_SETSID))
        calls += [Call(f"join cgroup {group.path}", abi.NR_WRITE, number, b"0", 1) for number in numbers]
        calls.append(automaton.close_call())
        calls.append(Call("make namespaces", abi.NR_UNSHARE, plan.clone_flags & _BY_ITSELF))
        for name, number in ((plan.hostname, abi.NR_SETHOSTNAME), (plan.domainname, abi.NR_SETDOMAINNAME)):
            if name:
                encoded = os.fsencode(name)
                calls.append(Call(f"set the name {name}", number, encoded, len(encoded)))
        if not plan.no_new_keyring:
            calls += keyring.session_calls(init.session_name(birth))
        wanted = [mount.open_call(step.fstype) for step in self._procfs()]
        try:
            # All else is closed by then, so they are numbered from 0.
            self._await(lambda: self._automaton.send([*calls, *wanted], joiners, range(len(wanted))))
        finally:
            for fd in joiners:
                os.close(fd)

    def _procfs(self) -> list[MountFilesystem]:
        """What the automaton must open: a procfs shows the pid namespace of who does, and nobody can go into one."""
        return [
            each for each in self._plan.steps if isinstance(each, MountFilesystem) and each.fstype == "proc"
        ]

    def furnish(self, home: namespaces.Home, proc: int) -> None:
        """Go in, do all that init does there, and come back."""
        plan = self._plan
        given = self._await(self._automaton.done)
        self._birth.prepared = dict(zip(self._procfs(), given, strict=True))
        try:
            with home.away(self.pidfd, plan.clone_flags):
                if plan.clone_flags & abi.CLONE_NEWNET:
                    interfaces.set_up("lo")
                for key, value in plan.sysctls.items():
                    become.step(f"set {key} = {value}", paths.write_proc, proc, f"sys/{key}", value)
                init.settle(plan, self._birth)
                self._look_up()
        except OSError as error:
            raise furnish.step_failed("prepare the container", error) from None
        finally:
            for fd in self._birth.prepared.values():
                os.close(fd)

    def _look_up(self) -> None:
        """Inside: the command's path, and the root and the working directory as descriptors."""
        program = self._plan.program
        become.default_home(program)
        self._command = become.find_command(program)
        become.refuse_magic_links(self._command)
        become.own_stdio(program.uid, self._birth.stdio or ())
        become.step(f"enter working directory {program.cwd}", become.enter_directory, program.cwd)
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        self._directory = os.open(".", flags)
        self._root = os.open("/", flags)

    def start(self, name: str, talk: Talk) -> None:
        """Let it become the program. Raises StepFailed, CommandFailed."""
        program, stdio = self._plan.program, self._birth.stdio
        assert stdio is not None
        given = [*stdio, self._root, self._directory, self._outside.proc]
        numbers = self._automaton.numbers(len(given) + 1)[3:]
        calls = self._outside.last_calls(self._plan, self._birth, numbers)
        variables = [os.fsencode(f"{key}={value}") for key, value in program.env.items()]
        arguments = [os.fsencode(each) for each in program.args]
        path = os.fsencode(self._command)
        execute = Call(_EXECUTE, abi.NR_EXECVE, path, [*arguments, 0], [*variables, 0])
        self._await(lambda: self._automaton.finish(calls, execute, given))
        # At once: whoever lets go of a root as the last one waits until its files are written to the disk.
        self._let_go()
        if talk.on_start:
            talk.on_start()
        self._await(self._automaton.done)
        try:
            self._automaton.executed()
        except CallFailed as error:
            raise sync.not_executed(error.errno or 0, name) from None
        self.close()

    def _await(self, deed: Callable[[], T]) -> T:
        try:
            return deed()
        except CallFailed as error:
            raise become.call_failed(error) from None
        except (EOFError, BrokenPipeError):
            raise StepFailed("prepare the container", "its first process ended unexpectedly") from None

    def close(self) -> None:
        """Close all but the pidfd."""
        super().close()
        self._let_go()

    def _let_go(self) -> None:
        for fd in (self._root, self._directory):
            if fd >= 0:
                os.close(fd)
        self._root = self._directory = -1


_EXECUTE = "execute the program"
