"""A container's birth: its streams, log and network around what the runtime does.

For a plain container the midwife does this by herself (midwife.py). For any other it is done in a helper process
of its monitor that ends once the program runs:

    zygote ── fork ──► monitor ── fork ──► helper ── clone3(CLONE_PARENT) ──► init process
                          ▲                   │                               (the monitor's child)
                          └── the container ──┘

So what a birth dirties in memory goes with the helper, and the monitor that stays is small.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

from nakagin.errors import NakaginError
from nakagin.kernel import process, terminal
from nakagin.monitor import foreign, logfile, notes, protocol
from nakagin.monitor.logfile import timestamp
from nakagin.network import control, links
from nakagin.runtime import container as runtime
from nakagin.runtime.outside import Misfit
from nakagin.spec.document import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn

    from nakagin.cgroups.layout import Layout
    from nakagin.monitor.protocol import Message
    from nakagin.runtime.outside import Outside
    from nakagin.spec.runtime import Config, Resources


def help_monitor(request: Message, fds: list[int], monitor: socket.socket, machine: Layout) -> NoReturn:
    """Be the monitor's helper (in a fork of it): deliver, and end."""
    status = 0
    try:
        process.set_name("nakagin-birth")
        deliver(request, fds, machine, lambda message, given: protocol.send(monitor, message, given))
    except BaseException as error:  # noqa: BLE001  outermost frame of the process: nothing above could tell
        status = 1
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stderr.flush()
        os._exit(status)


def deliver(
    request: Message,
    fds: list[int],
    machine: Layout,
    hand_over: Callable[[Message, list[int]], None],
    outside: Outside | None = None,
) -> None:
    """Start the container of `request`; tell the engine how it went, hand what lives to the monitor.

    With `outside` it is made without a fork of this process; Misfit, with nothing done, where that cannot be.
    """
    control = os.dup(fds[0])
    with socket.socket(fileno=control) as engine:
        try:
            born = _bear(request, machine, outside)
        except (NakaginError, OSError) as error:
            code = getattr(error, "exit_code", 125)
            notes.write_exit(request["run_dir"], notes.exit_document(code, "", error=str(error)))
            _tell(engine, {"event": "failed", "error": protocol.error_document(error)})
            return
        try:
            _tell(
                engine, {"event": "started", "pid": born.facts["pid"], "started_at": born.facts["started_at"]}
            )
            facts = {**request, **born.facts, "kind": "serve", "rootfs": None, "network": None}
            hand_over(facts, [*born.fds, *fds])
        finally:
            for fd in born.fds:
                os.close(fd)


def _tell(control: socket.socket, message: Message) -> None:
    """Tell the engine, if it is still there: a birth does not depend on it."""
    try:
        protocol.send(control, message)
    except OSError:
        pass


class _Born:
    """A running container: its facts, and [listener, pidfd, terminal | stdin, stdout, stderr].

    stdin is left out where it is closed.
    """

    __slots__ = ("facts", "fds")

    def __init__(self, facts: Message, fds: list[int]) -> None:
        self.facts = facts
        self.fds = fds


def _bear(request: Message, machine: Layout, outside: Outside | None) -> _Born:
    """Create and start the container."""
    os.makedirs(request["run_dir"], mode=0o700, exist_ok=True)
    listener = _listen(request["run_dir"])
    streams: list[int] = []
    try:
        # Only now: an engine that finds no socket takes the configuration away, and nothing starts behind its back.
        with open(os.path.join(request["bundle"], "config.json"), "rb") as file:
            config: Config = parse(file.read())
        if request["log"]["driver"] != "none":
            logfile.make(request["log"]["path"])
        ours, theirs = pipes(request["tty"], request["open_stdin"])
        streams += [fd for fd in ours or () if fd >= 0]
        try:
            container = _start(request, machine, outside, config, theirs)
        finally:
            _close_all(set(theirs or ()))
    except BaseException:
        _close_all(streams)
        listener.close()
        raise
    started_at = timestamp(time.time_ns())
    # A foreign runtime may leave processes of its own behind (a sandbox, a shim).
    private = any(each["type"] == "pid" for each in config["linux"]["namespaces"])
    own_init = private and not request.get("foreign")
    facts = {
        "pid": container.pid,
        "started_at": started_at,
        "own_init": own_init,
        "poststop": bool((config.get("hooks") or {}).get("poststop")),
        "bounded": has_memory_limit(config["linux"].get("resources")),
    }
    return _Born(facts, [listener.detach(), container.pidfd, *(streams or [container.terminal or -1])])


def _start(
    request: Message,
    machine: Layout,
    outside: Outside | None,
    config: Config,
    stdio: tuple[int, int, int] | None,
) -> runtime.Container | foreign.Foreign:
    names = _Names(request)
    try:
        container = _create(request, machine, outside, config, stdio, names)
        if container.terminal is not None and (size := request.get("console_size")):
            terminal.set_size(container.terminal, size[0], size[1])
        names.wait()
    finally:
        names.close()
    try:
        container.start()
    except (NakaginError, OSError):
        container.delete(force=True)
        raise
    return container


def has_memory_limit(resources: Resources | None) -> bool:
    """Whether the kernel may find a container with these limits to be out of memory while the machine is not."""
    limit = ((resources or {}).get("memory") or {}).get("limit")
    return limit is not None and limit > 0


def _close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


def _create(
    request: Message,
    machine: Layout,
    outside: Outside | None,
    config: Config,
    stdio: tuple[int, int, int] | None,
    names: _Names,
) -> runtime.Container | foreign.Foreign:
    """The container, connected to its network, by our own runtime or the one that the request names."""
    if outside is not None and (request.get("foreign") or request.get("systemd_cgroup")):
        # A foreign one's first process must become a child of the monitor; systemd keeps one waiting.
        raise Misfit
    if request.get("foreign"):
        made = foreign.create(request, config, stdio, machine, notes.complain)
        try:
            _connect_network(request, made.pid, names)
        except (NakaginError, OSError):
            made.delete(force=True)
            raise
        return made
    return runtime.create(
        root=request["runtime_root"], id=request["id"], bundle=request["bundle"], config=config,
        rootfs=request["rootfs"], rootfs_cwd=request["rootfs_cwd"], cgroup_path=request["cgroup_path"],
        systemd_cgroup=bool(request.get("systemd_cgroup")),
        stdio=stdio, on_namespaces=lambda pid, _: _connect_network(request, pid, names),
        seccomp_cache=request["seccomp_cache"], parent_death_signal=signal.SIGKILL, as_sibling=True,
        machine=machine, warn=notes.complain, outside=outside,
    )  # fmt: skip


def _connect_network(request: Message, pid: int, names: _Names) -> None:
    for plan in request["network"]:
        links.attach(plan, pid)
    names.ask(pid)


class _Names:
    """The container's door at the name server: opened there while we go on here. Without one it runs as well."""

    __slots__ = ("_id", "_knock", "_path")

    def __init__(self, request: Message) -> None:
        self._path = request.get("names")
        self._id = request["id"]
        self._knock: control.Knock | None = None

    def ask(self, pid: int) -> None:
        if self._path:
            try:
                self._knock = control.Knock(self._path, self._id, pid)
            except OSError as error:
                self._complain(error)

    def wait(self) -> None:
        if self._knock is not None:
            try:
                self._knock.opened()
            except OSError as error:
                self._complain(error)

    def _complain(self, error: OSError) -> None:
        notes.complain(f"the name server has no door for container {self._id[:12]}: {error}")

    def close(self) -> None:
        if self._knock is not None:
            self._knock.close()


def _listen(run_dir: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    # The path may be longer than sun_path holds (108 bytes, unix(7)): go by the directory's descriptor.
    directory = os.open(run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            os.unlink(protocol.SOCKET_NAME, dir_fd=directory)
        except FileNotFoundError:
            pass
        listener.bind(f"/proc/self/fd/{directory}/{protocol.SOCKET_NAME}")
    finally:
        os.close(directory)
    listener.listen(16)
    return listener


def pipes(tty: bool, open_stdin: bool) -> tuple[tuple[int, int, int] | None, tuple[int, int, int] | None]:
    """Our and the process's ends of stdin, stdout and stderr; None where the runtime makes a terminal.

    Ours of stdin is -1 where the process reads from /dev/null.
    """
    if tty:
        return None, None
    stdin, ours_in = (
        os.pipe2(os.O_CLOEXEC) if open_stdin else (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), -1)
    )
    ours_out, stdout = os.pipe2(os.O_CLOEXEC)
    ours_err, stderr = os.pipe2(os.O_CLOEXEC)
    return (ours_in, ours_out, ours_err), (stdin, stdout, stderr)
