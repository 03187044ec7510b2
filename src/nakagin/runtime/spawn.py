"""The parent's side of a birth: fork into the namespaces, ids, cgroup, and the talk with the child."""

from __future__ import annotations

import os

from nakagin.errors import StepFailed
from nakagin.kernel import abi, identity, namespaces, process
from nakagin.runtime import become, furnish, init, sync
from nakagin.runtime.steps import BindMount, MountFilesystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from nakagin.cgroups.group import Group
    from nakagin.runtime.enter import Visit
    from nakagin.runtime.init import Birth
    from nakagin.runtime.plan import Plan
    from nakagin.runtime.program import Program
    from nakagin.runtime.steps import Step
    from nakagin.runtime.sync import Channel

_SIGKILL = 9


class Child:
    """A living child, of this process or of another, and this end of the channel to it."""

    __slots__ = ("channel", "pid", "pidfd", "terminal")

    def __init__(self, pid: int, pidfd: int, channel: Channel) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.channel = channel
        self.terminal = -1

    def start(self, name: str, talk: Talk) -> None:
        """Let it become the program `name` and see that it does. Raises StepFailed, CommandFailed."""
        try:
            self.channel.send(sync.START)
        except BrokenPipeError:
            pass  # it died; its last words come next
        see_executed(self, name, talk)

    def close(self) -> None:
        """Close the channel."""
        self.channel.close()

    def abandon(self) -> None:
        """Kill and reap it; for a birth that failed. Everything is closed afterwards."""
        self.close()
        try:
            process.pidfd_send_signal(self.pidfd, _SIGKILL)
            process.wait_pidfd(self.pidfd)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self.pidfd)
        if self.terminal >= 0:
            os.close(self.terminal)
            self.terminal = -1


class Talk:
    """What the parent does at the child's requests while it is being born.

    `on_namespaces(pid, pidfd)` when the namespaces exist and `on_born(child)` after that, both while the
    child furnishes its root; `on_hooks(pid)` between furnishing and moving in,
    `on_start()` while it executes its program,
    `on_listener(pidfd, fd)` with a seccomp listener's descriptor number, `warn(text)`.
    """

    __slots__ = ("on_born", "on_hooks", "on_listener", "on_namespaces", "on_start", "warn")

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.warn = warn
        self.on_namespaces: Callable[[int, int], None] | None = None
        self.on_born: Callable[[Child], None] | None = None
        self.on_start: Callable[[], None] | None = None
        self.on_hooks: Callable[[int], None] | None = None
        self.on_listener: Callable[[Child, int], None] | None = None


def bear_container(plan: Plan, birth: Birth, group: Group, talk: Talk) -> Child:
    """Make the container's first process and lead it to "created". Raises StepFailed; then nothing is left."""
    become.require_labels(plan.program)
    _import_for(plan.program, plan.steps)
    joins = _open_joins(plan)
    theirs, ours = sync.pair()
    birth.channel = theirs
    try:
        pid_namespace = next((fd for kind, fd in joins if kind == "pid"), -1)
        user_namespace = next((fd for kind, fd in joins if kind == "user"), -1)
        birth.joins = [(fd, namespaces.KINDS[kind][0]) for kind, fd in joins if kind not in {"pid", "user"}]
        birth.prepared = _prepare_binds(plan)
        own_group = group if group.layout.mode != "v2" and not plan.in_user_namespace else None
        birth.group = own_group
        # The child inherits this before anybody can look at it (CVE-2019-5736). Without root its id maps
        # can be written only while it is dumpable; then it changes that itself.
        process.set_dumpable(plan.has_user_namespace and os.geteuid() != 0)
        flags = plan.clone_flags & ~(abi.CLONE_NEWCGROUP | abi.CLONE_NEWTIME)
        if birth.as_sibling:
            flags |= abi.CLONE_PARENT
        new_time = plan.offsets if plan.clone_flags & abi.CLONE_NEWTIME else None

        def live() -> NoReturn:
            ours.close()
            init.main(plan, birth)

        if user_namespace >= 0:
            child = _bear_in_user_namespace(user_namespace, flags, live, theirs, ours)
        else:
            child = _fork(flags, group, pid_namespace, new_time, live, theirs, ours)
    except OSError as error:
        ours.close()
        theirs.close()
        raise furnish.step_failed("make the container's first process", error) from None
    finally:
        for fd in (*(fd for _, fd in joins), *birth.prepared.values()):
            os.close(fd)
    try:
        if own_group is None and group.layout.mode != "v2":
            group.add(child.pid)
        if plan.intel_rdt:
            from nakagin.cgroups import rdt

            rdt.enter(rdt.plan(plan.intel_rdt, birth.state["id"]), child.pid)
        _lead(plan, child, talk)
    except BaseException:
        child.abandon()
        raise
    return child


def _import_for(program: Program, steps: Sequence[Step]) -> None:
    """Import what this child will need beyond the ordinary; it cannot do so itself (become.forbid_imports)."""
    if program.is_placed:
        from nakagin.runtime import placement

        assert placement
    if any(isinstance(step, MountFilesystem) and step.copy_up for step in steps):
        from nakagin.runtime import copy_up

        assert copy_up


def _lead(plan: Plan, child: Child, talk: Talk) -> None:
    """The parent's column of the diagram in sync.py, from clone3 to READY."""
    channel = child.channel
    try:
        if plan.has_user_namespace:
            from nakagin.runtime import idmap

            idmap.write_maps(child.pid, plan.uid_map, plan.gid_map)
            _raise_limits(plan.program, child.pid)
        adjust_oom_score(plan.program, child.pid, talk.warn)
        channel.send(sync.GO)
        if talk.on_namespaces:
            talk.on_namespaces(child.pid, child.pidfd)
        if talk.on_born:
            talk.on_born(child)
        if plan.net_devices:
            from nakagin.runtime import netdevices  # netlink costs an import that few need

            netdevices.move(plan.net_devices, child.pid)
        if plan.has_runtime_hooks:
            _expect(child, sync.FURNISHED, talk)
            if talk.on_hooks:
                talk.on_hooks(child.pid)
            channel.send(sync.GO)
        channel.send(sync.GO)
    except BrokenPipeError:
        pass  # the child is dead; what it said before comes next
    except OSError as error:
        raise furnish.step_failed("prepare the container", error) from None
    received = _expect(child, sync.READY, talk)
    if received:
        child.terminal = received[0]


def bear_visitor(program: Program, visit: Visit, group: Group, talk: Talk) -> Child:
    """Make a further process of a container and see it execute. Raises StepFailed, CommandFailed."""
    become.require_labels(program)
    theirs, ours = sync.pair()
    visit.channel = theirs
    pid_namespace = visit.pidfd if visit.flags & abi.CLONE_NEWPID else -1
    visit.flags &= ~abi.CLONE_NEWPID
    own_group = group if group.layout.mode != "v2" and not visit.has_user_namespace else None
    visit.group = own_group
    process.set_dumpable(False)  # the child inherits it, and the container sees the child at once

    from nakagin.runtime import enter

    _import_for(program, ())

    def live() -> NoReturn:
        ours.close()
        enter.main(program, visit)

    try:
        child = _fork(0, group, pid_namespace, None, live, theirs, ours)
    except OSError as error:
        ours.close()
        theirs.close()
        raise furnish.step_failed("make a process in the container", error) from None
    try:
        if program.initial_cpus:
            os.sched_setaffinity(child.pid, program.initial_cpus)
        if own_group is None and group.layout.mode != "v2":
            group.add(child.pid)
        adjust_oom_score(program, child.pid, talk.warn)
        try:
            child.channel.send(sync.GO)
        except BrokenPipeError:
            pass
        received = _expect(child, sync.READY, talk)
        if received:
            child.terminal = received[0]
        see_executed(child, program.args[0], talk)
    except OSError as error:
        child.abandon()
        raise furnish.step_failed("prepare the process", error) from None
    except BaseException:
        child.abandon()
        raise
    return child


def see_executed(child: Child, name: str, talk: Talk) -> None:
    """Wait until the child has executed its program; then the channel is closed. Raises CommandFailed."""
    _expect(child, sync.EXECUTING, talk)
    kind, body, _ = child.channel.receive()
    if kind == sync.NOT_EXECUTED:
        raise sync.not_executed(int.from_bytes(body[:4], "little"), name)
    if kind == sync.FAILED:
        raise sync.failure(body)
    child.channel.close()


def _expect(child: Child, wanted: bytes, talk: Talk) -> list[int]:
    """Wait for `wanted`, serving a seccomp listener meanwhile; the descriptors that came with it."""
    while True:
        kind, body, received = sync.expect(child.channel, (wanted, sync.LISTENER), talk.warn)
        if kind == wanted:
            return received
        if talk.on_listener:
            talk.on_listener(child, int(body))
        child.channel.send(sync.GO)


def _fork(
    flags: int,
    group: Group,
    pid_namespace: int,
    new_time: str | None,
    live: Callable[[], NoReturn],
    theirs: Channel,
    ours: Channel,
) -> Child:
    """clone3 into the cgroup and the namespaces that must exist at birth; the child runs `live`."""
    cgroup = group.fd()
    try:
        if new_time is not None:
            with namespaces.children_in_new_time_namespace(new_time):
                pid, pidfd = _fork_in(pid_namespace, flags, cgroup, live)
        else:
            pid, pidfd = _fork_in(pid_namespace, flags, cgroup, live)
    finally:
        if cgroup >= 0:
            os.close(cgroup)
    theirs.close()
    return Child(pid, pidfd, ours)


def _fork_in(pid_namespace: int, flags: int, cgroup: int, live: Callable[[], NoReturn]) -> tuple[int, int]:
    """The child must not come back: it would run the way out of the parent's `with` blocks."""
    if pid_namespace >= 0:
        with namespaces.children_in_pid_namespace(pid_namespace):
            return _fork_in(-1, flags, cgroup, live)
    pid, pidfd = process.clone3(flags, cgroup)
    if pid == 0:
        live()
    return pid, pidfd


def _bear_in_user_namespace(
    user_namespace: int, flags: int, live: Callable[[], NoReturn], theirs: Channel, ours: Channel
) -> Child:
    """A birth into namespaces that an existing user namespace shall own.

    A first child joins the user namespace and from there makes the real one with CLONE_PARENT, which so
    becomes this process's own child. Then the first one has done its work.
    """
    pid, stage = process.clone3(flags & abi.CLONE_PARENT)
    if pid == 0:
        init.guarded(theirs, lambda: _stage(user_namespace, flags, live, theirs))
    try:
        theirs.close()
        _, body, received = sync.expect(ours, (sync.BORN,), lambda text: None)
        return Child(int(body), received[0], ours)
    finally:
        if not flags & abi.CLONE_PARENT:
            process.wait_pidfd(stage)
        os.close(stage)


def _stage(user_namespace: int, flags: int, live: Callable[[], NoReturn], theirs: Channel) -> None:
    namespaces.setns(user_namespace, abi.CLONE_NEWUSER)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    pid, pidfd = process.clone3(flags | abi.CLONE_PARENT)
    if pid == 0:
        live()
    theirs.send(sync.BORN, str(pid).encode(), [pidfd])
    os._exit(0)


def _open_joins(plan: Plan) -> list[tuple[str, int]]:
    joins: list[tuple[str, int]] = []
    for kind, path in plan.joins:
        try:
            joins.append((kind, os.open(path, os.O_RDONLY | os.O_CLOEXEC)))
        except OSError as error:
            for _, fd in joins:
                os.close(fd)
            raise furnish.step_failed(f"join {kind} namespace {path}", error) from None
    return joins


def _prepare_binds(plan: Plan) -> dict[Step, int]:
    """Bind mounts that the child cannot make.

    In a user namespace the host's folders may be closed to it, and from a pid namespace it cannot name
    the helper process of an id mapping in the host's /proc.
    """
    hidden = plan.in_user_namespace and os.geteuid() == 0  # else only the child has the right to mount
    prepared: dict[Step, int] = {}
    for step in plan.steps:
        if not isinstance(step, BindMount) or not (hidden or step.idmap):
            continue
        try:
            prepared[step] = furnish.prepare_bind(step)
        except OSError as error:
            for fd in prepared.values():
                os.close(fd)
            raise furnish.step_failed(step.describe(), error) from None
    return prepared


def _raise_limits(program: Program, pid: int) -> None:
    """Hard limits above the child's own: inside a user namespace it could not raise them any more."""
    for number, _, hard in program.rlimits:
        soft, present = identity.get_rlimit(number, pid)
        if hard > present:
            identity.set_rlimit(number, soft, hard, pid)


def adjust_oom_score(program: Program, pid: int, warn: Callable[[str], None]) -> None:
    """Set oom_score_adj; without CAP_SYS_RESOURCE it cannot go below what it was, and that is a warning."""
    wanted = program.oom_score_adj
    if wanted is None:
        return
    path = f"/proc/{pid}/oom_score_adj"
    try:
        with open(path, "w") as file:
            file.write(str(wanted))
    except PermissionError:
        with open(path) as file:
            present = file.read().strip()
        warn(f"oom_score_adj stays {present}: lowering it to {wanted} needs CAP_SYS_RESOURCE")
    except OSError as error:
        raise StepFailed(
            f"set oom_score_adj to {wanted}", error.strerror or "", errno=error.errno or 0
        ) from None
