"""A container: create, start, exec, kill, pause, update, delete. The one public face of this room.

    creating ──create()──► created ──start()──► running ◄──pause()/resume()──► paused
                              │                    │
                              └────── kill ────────┴──► stopped ──delete()──► gone

The in-memory use (the monitor): the first process is a direct child of the caller, who waits for it.
The other use (nakagin-runtime): `load` finds by its id what an earlier call left in <root>/<id>.
"""

from __future__ import annotations

import os
import select

from nakagin.cgroups import layout, limits, paths
from nakagin.cgroups.group import Group, group_at
from nakagin.errors import Conflict, Invalid, NakaginError, StepFailed
from nakagin.kernel import process
from nakagin.runtime import hooks, rendezvous, spawn, state
from nakagin.runtime.init import Birth
from nakagin.runtime.plan import plan as make_plan
from nakagin.runtime.program import observe, program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.kernel.automaton import Maker
    from nakagin.runtime.become import Filter
    from nakagin.runtime.outside import Outside
    from nakagin.runtime.quick import Own
    from nakagin.spec.runtime import Config, Linux, Mount, Process, Resources, Seccomp, State

OCI_VERSION = "1.3.0"
_SIGKILL = 9


class Executed:
    """A process that exec made: a child of the caller. `terminal` is the master's descriptor or None."""

    __slots__ = ("pid", "pidfd", "terminal")

    def __init__(self, pid: int, pidfd: int, terminal: int | None) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.terminal = terminal


class Container:
    """A container that was created. Owns `pidfd` and, in the process that created it, the channel to init."""

    __slots__ = (
        "_child", "_config", "_facts", "_folder", "_own", "_pidfd", "_warn", "awaits_start", "group", "on_start",
        "terminal",
    )  # fmt: skip

    def __init__(
        self,
        folder: state.Folder,
        facts: state.Facts,
        config: Config | None,
        group: Group,
        warn: Callable[[str], None],
        child: spawn.Child | None = None,
    ) -> None:
        self._folder = folder
        self._facts = facts
        self._config = config
        self._child = child
        self._pidfd = child.pidfd if child else -1
        self._warn = warn
        self._own: Own | None = None  # what every exec would find out again
        self.awaits_start = False  # by this very object
        self.on_start: Callable[[], None] | None = None
        self.group = group
        self.terminal: int | None = child.terminal if child and child.terminal >= 0 else None

    @property
    def id(self) -> str:
        """The container's id."""
        return self._facts.id

    @property
    def pid(self) -> int:
        """The first process, as this process's pid namespace numbers it."""
        return self._facts.pid

    @property
    def bundle(self) -> str:
        """The folder that config.json came from."""
        return self._facts.bundle

    @property
    def created(self) -> str:
        """When it was created (RFC 3339, UTC)."""
        return self._facts.created

    @property
    def rootfs(self) -> str:
        """The root filesystem's path on the host."""
        return self._facts.rootfs

    @property
    def config(self) -> Config:
        """The config as it was at creation, with later updates of its resources."""
        if self._config is None:
            self._config = self._folder.read_config()
        return self._config

    @property
    def pidfd(self) -> int:
        """The first process. Raises Conflict when it has ended and is nobody's zombie."""
        if self._pidfd < 0:
            if not process.is_alive(self.pid, self._facts.pid_start_ticks):
                raise Conflict(f"container {self.id} is not running")
            self._pidfd = process.pidfd_open(self.pid)
        return self._pidfd

    @property
    def status(self) -> str:
        """created, running, paused or stopped: always asked of the kernel."""
        if not process.is_alive(self.pid, self._facts.pid_start_ticks):
            return "stopped"
        if self.awaits_start:
            return "created"
        if self.group.frozen():
            return "paused"  # also before its start, which would wait for ever
        return "created" if self._folder.awaits_start() else "running"

    def state(self) -> State:
        """The state as the specification describes it."""
        status = self.status
        return self._state(status)

    def start(self) -> None:
        """Run the user's program. Raises Conflict unless created, CommandFailed if it cannot be executed."""
        if self.status != "created":
            raise Conflict(f"container {self.id} cannot be started: it is {self.status}")
        child = self._child or spawn.Child(self.pid, self.pidfd, rendezvous.call(self._folder))
        talk = spawn.Talk(self._warn)
        talk.on_listener, talk.on_start = self._serve_listener, self.on_start
        try:
            child.start(self.config.get("process", {})["args"][0], talk)
        finally:
            if not self.awaits_start:
                self._folder.forget_start()
            self.awaits_start = False
        poststart = (self.config.get("hooks") or {}).get("poststart") or ()
        if poststart:
            try:
                hooks.run_hooks("poststart", poststart, self._state("running"))
            except StepFailed:
                self._signal_init(_SIGKILL)
                raise

    def exec(
        self,
        wanted: Process,
        *,
        stdio: tuple[int, int, int] | None = None,
        console: int | None = None,
        console_socket: str | None = None,
        preserve_fds: int = 0,
        parent_death_signal: int = 0,
        seccomp_cache: dict[str, bytes] | str | None = None,
        sub_cgroup: str = "",
        ignore_paused: bool = False,
        maker: Maker | None = None,
    ) -> Executed:
        """Run a further process. It is a child of the caller and runs its program when this returns.

        With `maker` perhaps without a fork. Raises Conflict unless created or running, StepFailed, CommandFailed.
        """
        status = self.status
        if status not in {"created", "running"} and not (ignore_paused and status == "paused"):
            raise Conflict(f"cannot exec in container {self.id}: it is {status}")
        from nakagin.runtime import enter, quick

        linux = self.config.get("linux") or {}
        user_namespace = any(each.get("type") == "user" for each in linux.get("namespaces") or ())
        own = self._own = self._own or quick.Own(user_namespace=user_namespace)
        section: Linux = {"seccomp": linux["seccomp"]} if linux.get("seccomp") else {}
        program_ = program(wanted, section, own.holdings)
        for warning in program_.warnings:
            self._warn(warning)
        visit = enter.Visit(self.pidfd, enter.own_flags(self.config))
        visit.has_user_namespace = user_namespace
        visit.stdio = stdio
        visit.console = -1 if console is None else console
        visit.preserve_fds = preserve_fds
        visit.parent_death_signal = parent_death_signal
        visit.filter = own.compiled(program_.seccomp, {} if seccomp_cache is None else seccomp_cache)
        if (score := (self.config.get("process") or {}).get("oomScoreAdj")) is not None:
            program_.oom_score_adj = score
        talk = spawn.Talk(self._warn)
        talk.on_listener = self._serve_listener
        below = f"/{sub_cgroup.strip('/')}" if sub_cgroup else ""
        group = Group(self.group.path + below, self.group.layout)
        if maker and (born := quick.bear(maker, program_, visit, self.pid, own, group)):
            return Executed(*born, None)
        visit.root = enter.open_root(self.pid, visit.flags)
        try:
            child = spawn.bear_visitor(program_, visit, group, talk)
        finally:
            if visit.root >= 0:
                os.close(visit.root)
        terminal = child.terminal if child.terminal >= 0 else None
        if terminal is not None and console_socket:
            rendezvous.send_terminal(console_socket, terminal)
            terminal = None
        return Executed(child.pid, child.pidfd, terminal)

    def kill(self, number: int, *, everyone: bool = False) -> None:
        """Send a signal to the first process, or to every process of the container. Raises Conflict."""
        if everyone:
            if not self.group.pids():
                raise Conflict(f"container {self.id} is not running")
            self.group.kill(number)
            return
        if self.status == "stopped":
            raise Conflict(f"container {self.id} is not running")
        self._signal_init(number)
        if number == _SIGKILL and self.group.frozen():
            self.group.thaw()  # on cgroup v1 a frozen process cannot even die

    def pause(self) -> None:
        """Freeze all processes. Raises Conflict, Unsupported, StepFailed."""
        if self.status not in {"running", "created"}:
            raise Conflict(f"container {self.id} cannot be paused: it is {self.status}")
        self.group.freeze()

    def resume(self) -> None:
        """Let frozen processes go on. Raises Conflict."""
        if self.status != "paused":
            raise Conflict(f"container {self.id} is not paused")
        self.group.thaw()

    def update(self, resources: Resources) -> None:
        """Change limits of the living container. Raises Conflict, Invalid, StepFailed."""
        if self.status == "stopped":
            raise Conflict(f"container {self.id} is not running")
        for warning in self.group.apply(limits.plan(resources, self.group.layout)):
            self._warn(warning)
        linux = self.config.setdefault("linux", {})
        kept = linux.setdefault("resources", {})
        for section, value in resources.items():
            if isinstance(value, dict):
                kept.setdefault(section, {}).update(value)  # type: ignore[misc]
            else:
                kept[section] = value  # type: ignore[literal-required]
        self._folder.write_config(self.config)

    def processes(self) -> list[int]:
        """The pids of all its processes, as the caller's pid namespace numbers them."""
        return self.group.pids()

    def delete(self, *, force: bool = False) -> None:
        """Remove what create made. Raises Conflict unless stopped; with `force` it is killed first."""
        status = self.status
        if status != "stopped":
            if not force:
                raise Conflict(
                    f"container {self.id} cannot be deleted: it is {status}", hint="stop it, or use --force"
                )
            self._end(status)
        if self.group.pids():
            self.group.kill()  # without a pid namespace of its own, others may outlive the first process
        self.group.remove()
        if section := (self.config.get("linux") or {}).get("intelRdt"):
            from nakagin.cgroups import rdt

            rdt.leave(rdt.plan(section, self.id))
        if self._child:
            self._child.close()
        poststop = (self.config.get("hooks") or {}).get("poststop") or ()
        self._folder.remove()
        hooks.run_all_hooks("poststop", poststop, self._state("stopped"), self._warn)
        self.close()

    def close(self) -> None:
        """Close the descriptors that this object owns."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _end(self, status: str) -> None:
        """Kill the first process and wait until it is dead (not: reaped; that is its parent's)."""
        pidfd = self.pidfd
        self._signal_init(_SIGKILL)
        if status == "paused":
            self.group.thaw()
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        if not poller.poll(10_000):
            raise StepFailed(
                f"kill container {self.id}", f"process {self.pid} does not die", hint="it waits in the kernel"
            )

    def _signal_init(self, number: int) -> None:
        try:
            process.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            raise Conflict(f"container {self.id} is not running") from None

    def _state(self, status: str) -> State:
        return _state(self._facts, status, self.config)

    def _serve_listener(self, child: spawn.Child, number: int) -> None:
        section = (self.config.get("linux") or {}).get("seccomp") or {}
        _hand_over(section, child, number, self._state(self.status))


def create(
    *,
    root: str,
    id: str,
    bundle: str,
    config: Config,
    warn: Callable[[str], None],
    rootfs: Sequence[Mount] = (),
    rootfs_cwd: str = "",
    stdio: tuple[int, int, int] | None = None,
    console: int | None = None,
    console_socket: str | None = None,
    preserve_fds: int = 0,
    pid_file: str | None = None,
    no_pivot: bool = False,
    no_new_keyring: bool = False,
    systemd_cgroup: bool = False,
    cgroup_path: str | None = None,
    on_namespaces: Callable[[int, int], None] | None = None,
    seccomp_cache: dict[str, bytes] | str | None = None,
    parent_death_signal: int = 0,
    as_sibling: bool = False,
    started_by_other: bool = False,
    machine: layout.Layout | None = None,
    outside: Outside | None = None,
) -> Container:
    """Create a container: all but the user's program runs. A failure leaves nothing behind.

    `stdio` are three descriptors for the program (None: the caller's own). With process.terminal the
    terminal is `console` (a slave's descriptor), or it is made in the container and its master goes to
    `console_socket`, else to `Container.terminal`. `as_sibling` makes the first process a child of the caller's
    parent, which then waits for it. `started_by_other` makes `start` work from another
    process after this one has gone. `machine` are the cgroup hierarchies, if the caller knows them. With
    `outside` it is made without an interpreter of its own: Misfit, with nothing done, if it is not plain enough.

    Raises Invalid, Conflict (the id exists), Unsupported, StepFailed, CommandFailed.
    """
    folder = state.Folder(root, id)
    machine = machine or layout.detect()
    linux = config.get("linux") or {}
    path = cgroup_path or paths.container_path(linux.get("cgroupsPath") or "", id, systemd=systemd_cgroup)
    user_namespace = any(each.get("type") == "user" for each in linux.get("namespaces") or ())
    planned = make_plan(
        config,
        bundle=bundle,
        holdings=outside.own.holdings if outside else observe(user_namespace=user_namespace),
        layout=machine,
        group=path,
        rootfs=rootfs,
        rootfs_cwd=rootfs_cwd,
        no_pivot=no_pivot,
        no_new_keyring=no_new_keyring,
    )
    for warning in planned.warnings:
        warn(warning)
    if planned.program.terminal and console is None and console_socket is None and started_by_other:
        raise Invalid(
            "a terminal needs a console socket", where="process.terminal", hint="give --console-socket"
        )
    group = group_at(path, machine, systemd_cgroup)
    resources = limits.plan(linux.get("resources") or {}, machine)
    facts = state.Facts(
        id=id, oci_version=config.get("ociVersion") or OCI_VERSION, bundle=bundle, rootfs=planned.root.path,
        cgroup_path=path, created=state.now(), pid=0, pid_start_ticks=0, systemd=systemd_cgroup,
    )  # fmt: skip
    birth = Birth(_state(facts, "creating", config))
    birth.stdio, birth.preserve_fds = stdio, preserve_fds
    birth.console = -1 if console is None else console
    compiled = outside.own.compiled if outside else _filter
    birth.filter = compiled(planned.program.seccomp, {} if seccomp_cache is None else seccomp_cache)
    birth.parent_death_signal, birth.as_sibling = parent_death_signal, as_sibling
    if outside:
        outside.check(planned, birth)

    folder.make()
    undo: list[Callable[[], None]] = [folder.remove]
    try:
        if not group.exists():
            undo.append(group.remove)
        group.create()
        if started_by_other:
            birth.listening = rendezvous.listen(folder)
        talk = spawn.Talk(warn)
        talk.on_namespaces = on_namespaces
        talk.on_hooks = lambda pid: hooks.run_runtime_hooks(planned.hooks, {**birth.state, "pid": pid})
        talk.on_listener = lambda child, number: _hand_over(
            linux.get("seccomp") or {}, child, number, {**birth.state, "pid": child.pid}
        )

        def limit(child: spawn.Child) -> None:
            for warning in group.apply(resources):
                warn(warning)
            facts.pid = child.pid
            facts.pid_start_ticks = process.start_ticks(child.pid)
            if not outside:
                folder.write(facts, config)

        talk.on_born = limit
        # First: between "deny all" and what is allowed again, the child could not make its device nodes.
        group.apply(resources.take("devices"))
        child = (outside.bear if outside else spawn.bear_container)(planned, birth, group, talk)
        undo.append(child.abandon)
        group.settle()
        if birth.listening:
            birth.listening.close()
        container = Container(folder, facts, config, group, warn, child)
        container.awaits_start = not started_by_other
        if outside:
            container.on_start = lambda: folder.write(facts, config)  # while the program is executed
        _announce(container, child, console_socket, pid_file)
    except BaseException as error:
        if isinstance(error, StepFailed) and not error.hint and group.oom_kills():
            error.hint = "the kernel killed it for want of memory: the limit is too small to start in"
        for each in reversed(undo):
            _attempt(each, warn)
        raise
    return container


def _announce(
    container: Container, child: spawn.Child, console_socket: str | None, pid_file: str | None
) -> None:
    """Tell whoever asked for it of the terminal and the pid."""
    if container.terminal is not None and console_socket:
        rendezvous.send_terminal(console_socket, container.terminal)
        container.terminal, child.terminal = None, -1
    if pid_file:
        rendezvous.write_pid_file(pid_file, child.pid)


def load(root: str, id: str, warn: Callable[[str], None], machine: layout.Layout | None = None) -> Container:
    """The container that another process created. Raises NotFound, Invalid."""
    folder = state.Folder(root, id)
    facts = folder.read()
    group = group_at(facts.cgroup_path, machine or layout.detect(), facts.systemd)
    return Container(folder, facts, None, group, warn)


def discard(root: str, id: str, group: Group) -> None:
    """Remove what create made of a container that has ended in `group`; without hooks. Raises StepFailed."""
    if group.pids():
        group.kill()
    group.remove()
    state.Folder(root, id).remove()


def _attempt(undo: Callable[[], None], warn: Callable[[str], None]) -> None:
    """Undo one thing; the first failure is what the user must read, this one is only a warning."""
    try:
        undo()
    except (OSError, NakaginError) as error:
        warn(f"clean-up: {error}")


def _state(facts: state.Facts, status: str, config: Config) -> State:
    """The state document; a stopped container has no pid."""
    return {
        "ociVersion": facts.oci_version,
        "id": facts.id,
        "status": status,
        "pid": 0 if status == "stopped" else facts.pid,
        "bundle": facts.bundle,
        "annotations": config.get("annotations") or {},
    }


def _hand_over(section: Seccomp, child: spawn.Child, number: int, described: State) -> None:
    from nakagin.runtime import listener

    listener.hand_over(section, child, number, described)


def _filter(section: Seccomp | None, cache: dict[str, bytes] | str) -> Filter | None:
    if not section:
        return None
    from nakagin.runtime import filters

    return filters.compile_filter(section, cache)
