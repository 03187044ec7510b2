"""The first process of a container, between clone and execve: a list in the order the kernel demands.

Nothing is imported, logged or decided here; a failure is one message on the channel (see sync.py).
"""

from __future__ import annotations

import os

from nakagin.errors import NakaginError, StepFailed
from nakagin.kernel import abi, fds, interfaces, keyring, mount, namespaces, paths, process, terminal
from nakagin.kernel.calls import perform
from nakagin.runtime import become, furnish, hooks, sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable
    from typing import NoReturn

    from nakagin.cgroups.group import Group
    from nakagin.runtime.plan import Plan
    from nakagin.runtime.steps import Step
    from nakagin.runtime.sync import Channel
    from nakagin.spec.runtime import State


class Birth:
    """What the parent leaves to its child beside the plan; the descriptors are the child's own copies.

    `group` is the cgroup that the child joins by itself (None: it was born there or is put there),
    `as_sibling` makes it a child of the parent's parent.
    `joins` are (descriptor, CLONE_NEW* flag); `listening` waits for `start` where the parent will be gone.
    """

    __slots__ = (
        "as_sibling", "channel", "console", "filter", "group", "joins", "listening", "parent_death_signal", "prepared",
        "preserve_fds", "state", "stdio",
    )  # fmt: skip

    channel: Channel

    def __init__(self, state: State) -> None:
        self.state = state
        self.stdio: tuple[int, int, int] | None = None
        self.console = -1
        self.preserve_fds = 0
        self.group: Group | None = None
        self.joins: list[tuple[int, int]] = []
        self.listening: socket | None = None
        self.prepared: dict[Step, int] = {}
        self.filter: become.Filter | None = None
        self.parent_death_signal = 0
        self.as_sibling = False

    def kept_fds(self) -> list[int]:
        """The descriptors that the child needs until execve."""
        kept = [0, 1, 2, self.channel.fileno(), *(self.stdio or ()), *self.prepared.values()]
        kept += range(3, 3 + self.preserve_fds)
        kept += [fd for fd, _ in self.joins]
        kept += [self.console] if self.console >= 0 else []
        kept += [self.listening.fileno()] if self.listening else []
        return kept


def main(plan: Plan, birth: Birth) -> NoReturn:
    """Become the container's first process. Never returns."""
    guarded(birth.channel, lambda: _live(plan, birth))


def guarded(channel: Channel, live: Callable[[], object]) -> NoReturn:
    """Run `live`, which should not return; whatever goes wrong is told on the channel. Never returns."""
    try:
        live()
    except StepFailed as error:
        _tell(channel, error)
    except NakaginError as error:
        _tell(channel, StepFailed("prepare the container", error.message, hint=error.hint))
    except OSError as error:
        _tell(channel, furnish.step_failed("prepare the container", error))
    except EOFError:
        pass  # nobody is there to be told
    except BaseException as error:  # noqa: BLE001 - the outermost frame of this process
        _tell(channel, StepFailed("prepare the container", f"{type(error).__name__}: {error}"))
    os._exit(1)


def _tell(channel: Channel, error: StepFailed) -> None:
    try:
        channel.send(sync.FAILED, sync.failure_body(error))
    except OSError:
        pass  # the runtime is gone


def _live(plan: Plan, birth: Birth) -> None:
    channel = birth.channel
    become.forbid_imports()
    # CVE-2024-21626: no descriptor of the runtime may be there when a path is resolved inside.
    fds.close_all_except(birth.kept_fds())
    if birth.parent_death_signal:
        process.set_parent_death_signal(birth.parent_death_signal)
    channel.await_go()  # the id maps are written now
    if plan.has_user_namespace:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    # From here on a process of a shared pid namespace could look at this one: /proc/PID/exe is the host's
    # interpreter and /proc/PID/fd lead to the host (CVE-2019-5736, CVE-2024-21626).
    process.set_dumpable(False)
    os.setsid()
    if birth.group:
        birth.group.join()  # by the host's mounts, so before they go
    for fd, flag in birth.joins:
        _step("join a namespace", namespaces.setns, fd, flag)
        os.close(fd)
    if plan.clone_flags & abi.CLONE_NEWCGROUP:
        namespaces.unshare(abi.CLONE_NEWCGROUP)  # after joining: its root is where the process is now
    if plan.clone_flags & abi.CLONE_NEWNET:
        _step("bring the loopback interface up", interfaces.set_up, "lo")
    if plan.hostname:
        namespaces.sethostname(plan.hostname)
    if plan.domainname:
        namespaces.setdomainname(plan.domainname)
    if not plan.no_new_keyring:
        _new_keyring(birth)
    proc = paths.open_procfs()  # the runtime's own: writes through it cannot be redirected by the image
    site = settle(plan, birth)
    channel.await_go()  # the network is there
    for key, value in plan.sysctls.items():
        _step(f"set {key} = {value}", paths.write_proc, proc, f"sys/{key}", value)
    program = plan.program
    if program.is_placed:
        become.place(program)  # while CAP_SYS_NICE is there
    become.label(program, proc)
    os.close(proc)
    _take_stdio(plan, birth, site)
    command = become.confine(program, birth.filter, channel)
    if birth.parent_death_signal:
        process.set_parent_death_signal(birth.parent_death_signal)  # forgotten when the ids changed
    channel.send(sync.READY, pass_fds=[site.master] if site and site.master >= 0 else [])
    birth.channel = channel = _await_start(birth)
    hooks.run_hooks("startContainer", plan.hooks.get("startContainer", ()), _own_state(birth, "created"))
    if birth.filter and program.no_new_privs:
        become.install(birth.filter, channel)  # as late as can be: the filter must allow only what follows
    become.execute(program, command, birth.preserve_fds, channel)


def settle(plan: Plan, birth: Birth) -> furnish.Site | None:
    """Take the root filesystem, furnish it and move in."""
    if not plan.own_mounts:
        _call_hooks(plan, birth)
        os.chroot(plan.root.path)
        os.chdir("/")
        return None
    os.umask(0)  # modes are the plan's, exactly
    site = furnish.Site(_take_root(plan), birth.prepared, birth.console)
    try:
        furnish.furnish(plan.steps, site)
        _call_hooks(plan, birth)
        if plan.root.readonly:
            _step("make the root read-only", _seal, site.root)
        os.fchdir(site.root)
    finally:
        site.close()
    _step("move into the root", _move_root if plan.no_pivot else _pivot_root)
    if plan.root.propagation:
        flags = plan.root.propagation | (abi.MS_REC if plan.root.propagation_recursive else 0)
        mount.mount(None, "/", None, flags)
    os.umask(0o022)
    return site


def _call_hooks(plan: Plan, birth: Birth) -> None:
    """The hooks that see the furnished root from outside."""
    if plan.has_runtime_hooks:
        birth.channel.send(sync.FURNISHED)
        birth.channel.await_go()
    hooks.run_hooks("createContainer", plan.hooks.get("createContainer", ()), _own_state(birth, "creating"))


def _take_root(plan: Plan) -> int:
    """The root filesystem as a mount of its own (pivot_root demands it); its descriptor."""
    root = plan.root
    # What is mounted inside must not appear outside; what the host mounts later may come in.
    if root.propagation == abi.MS_SHARED:
        # Volumes shall send their mounts out; only the one below the root must not (pivot_root refuses).
        mount.mount(None, furnish.mount_point(root.path), None, abi.MS_PRIVATE)
    else:
        mount.mount(None, "/", None, abi.MS_REC | abi.MS_SLAVE)
    if root.mounts:
        furnish.mount_root(root)
    else:
        _step(f"take {root.path} as root", _bind_on_itself, root.path)
    return os.open(root.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _bind_on_itself(path: str) -> None:
    tree = mount.open_tree(abi.AT_FDCWD, path, recursive=True)
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            mount.move_mount(tree, place)
        finally:
            os.close(place)
    finally:
        os.close(tree)


def _seal(root: int) -> None:
    mount.set_attributes(root, add=abi.MOUNT_ATTR_RDONLY)


def _pivot_root() -> None:
    """Make the working directory the root. The old root is stacked on it and then taken off."""
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mount.pivot_root(".", ".")
        os.fchdir(old)  # "." must mean the old root now, not the new one below it
    finally:
        os.close(old)
    mount.mount(None, ".", None, abi.MS_REC | abi.MS_SLAVE)  # the unmount must not travel to the host
    mount.umount(".", abi.MNT_DETACH)
    os.chdir("/")


def _move_root() -> None:
    """For a host on an initial ramdisk, where pivot_root cannot work. The old root stays below it."""
    mount.mount(".", "/", None, abi.MS_MOVE)
    os.chroot(".")
    os.chdir("/")


def session_name(birth: Birth) -> str:
    """The name of the container's session keyring."""
    return f"_ses.{birth.state['id']}"


def _new_keyring(birth: Birth) -> None:
    try:
        perform(keyring.session_calls(session_name(birth)))
    except OSError as error:
        birth.channel.send(sync.WARNING, f"no session keyring of its own: {error.strerror}".encode())


def _take_stdio(plan: Plan, birth: Birth, site: furnish.Site | None) -> None:
    """Put the terminal or the given descriptors on 0, 1 and 2."""
    console = site.slave if site and site.slave >= 0 else birth.console
    if plan.program.terminal and console >= 0:
        take_console(console, plan.program.console_size)
    elif birth.stdio:
        take_fds(birth.stdio)


def take_console(console: int, size: tuple[int, int] | None) -> None:
    """Make `console` the controlling terminal and the standard streams."""
    terminal.make_controlling(console)
    if size:
        terminal.set_size(console, *size)
    for target in (0, 1, 2):
        os.dup2(console, target)


def take_fds(stdio: tuple[int, int, int]) -> None:
    """Put three descriptors on 0, 1 and 2; copies first, since one may lie on another's place."""
    copies = [os.dup(fd) for fd in stdio]
    for target, copy in enumerate(copies):
        os.dup2(copy, target)
        os.close(copy)


def _own_state(birth: Birth, status: str) -> State:
    """The state for hooks in the container's namespaces: there the pid is the container's own."""
    return {**birth.state, "status": status, "pid": os.getpid()}


def _await_start(birth: Birth) -> Channel:
    """Wait for `start`: on the channel, or by a call on the listening socket once the runtime is gone."""
    if birth.listening is None:
        birth.channel.await_go()
        return birth.channel
    number = birth.channel.fileno()  # the launcher knows it and is sealed by now
    birth.channel.close()
    return sync.accept(birth.listening, number)


def _step(words: str, call: Callable[..., object], *arguments: object) -> None:
    """Do one thing; a refusal by the kernel is told in these words."""
    try:
        call(*arguments)
    except OSError as error:
        raise furnish.step_failed(words, error) from None
