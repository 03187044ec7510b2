"""A container that another OCI runtime keeps (runc, crun, runsc …), driven by its command line.

It has the face of `nakagin.runtime.container.Container`, so monitor and birth need not know whose it is. The
container's first process is no child of ours at birth; it becomes one when the runtime's own process ends,
because the monitor is its subreaper (prctl(2), PR_SET_CHILD_SUBREAPER). So its exit code is not lost.
"""

from __future__ import annotations

import os
import signal
import socket

from nakagin.cgroups.group import Group
from nakagin.errors import CommandFailed, Conflict, Invalid, NakaginError, StepFailed
from nakagin.kernel import abi, fds, mount, namespaces, process
from nakagin.runtime import furnish
from nakagin.runtime.container import Executed
from nakagin.runtime.plan import Root
from nakagin.spec.document import parse, render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nakagin.cgroups.layout import Layout
    from nakagin.kernel.automaton import Maker
    from nakagin.monitor.protocol import Message
    from nakagin.spec.runtime import Config, Process, Resources

    Stdio = tuple[int, int, int]

_SIGNALS = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]
# What runtimes say of a program that cannot be executed, and the errno that means it to Docker (127 and 126).
_NOT_FOUND = ("executable file not found", "no such file or directory", "not a directory")
_NOT_EXECUTABLE = ("permission denied", "is a directory", "exec format error")
_GONE = ("not running", "does not exist")


class Foreign:
    """One container of the runtime that the launch request names under "foreign"."""

    __slots__ = ("_pidfd", "_request", "_warn", "group", "pid", "terminal")

    def __init__(self, request: Message, pid: int, machine: Layout, warn: Callable[[str], None]) -> None:
        self._request = request
        self._warn = warn
        self._pidfd = -1
        self.pid = pid
        self.group = Group(request["cgroup_path"], machine)
        self.terminal: int | None = None

    @property
    def pidfd(self) -> int:
        """The first process."""
        if self._pidfd < 0:
            self._pidfd = process.pidfd_open(self.pid)
        return self._pidfd

    @property
    def status(self) -> str:
        """running or paused: who asks is the monitor, and that ends with the container."""
        return "paused" if self.group.frozen() else "running"

    def start(self) -> None:
        """Run the user's program. Raises StepFailed, CommandFailed."""
        self._call("start")

    def exec(
        self,
        wanted: Process,
        *,
        stdio: Stdio | None = None,
        seccomp_cache: str | None = None,
        maker: Maker | None = None,
    ) -> Executed:
        """Run a further process; it is the monitor's child. The runtime has its own filter, and way, for it.

        Raises StepFailed, CommandFailed.
        """
        path = self._path("process.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(render(wanted))
        try:
            pid, terminal = self._bear("exec", ["--process", path, "--detach"], wanted, stdio)
        finally:
            os.unlink(path)
        return Executed(pid, process.pidfd_open(pid), terminal)

    def kill(self, number: int, *, everyone: bool = False) -> None:
        """Send a signal to the first process, or to every process of its cgroup. Raises StepFailed."""
        if everyone:
            self.group.kill(number)
            return
        self._call("kill", [], str(number))
        if number == signal.SIGKILL and self.group.frozen():
            self.group.thaw()  # on cgroup v1 a frozen process cannot even die

    def pause(self) -> None:
        """Freeze all processes. Raises StepFailed."""
        self._call("pause")

    def resume(self) -> None:
        """Let frozen processes go on. Raises StepFailed."""
        self._call("resume")

    def update(self, resources: Resources) -> None:
        """Change limits. Raises StepFailed."""
        path = self._path("resources.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(render(resources))
        try:
            self._call("update", ["--resources", path])
        finally:
            os.unlink(path)

    def processes(self) -> list[int]:
        """The pids of all its processes, as the host numbers them."""
        return self.group.pids()

    def delete(self, *, force: bool = False) -> None:
        """Let the runtime forget it; what it leaves of the cgroup goes too. Never raises: it is the end."""
        try:
            self._call("delete", ["--force"] if force else [])
        except NakaginError as error:
            self._warn(str(error))
        try:
            self.group.kill()
            self.group.remove()
        except NakaginError as error:
            self._warn(str(error))

    # -- birth ---------------------------------------------------------------------------------

    def bear(self, config: Config, stdio: Stdio | None) -> None:
        """Do the runtime's `create`: all but the user's program runs. Raises StepFailed, CommandFailed."""
        wanted = config["process"]
        try:
            self.pid, self.terminal = self._bear(
                "create", ["--bundle", self._request["bundle"]], wanted, stdio
            )
        except (NakaginError, OSError):
            self.delete(force=True)  # some leave their state behind
            raise

    def _bear(
        self, verb: str, options: list[str], wanted: Process, stdio: Stdio | None
    ) -> tuple[int, int | None]:
        """`create` or `exec`: the new process, and its terminal's master."""
        note = self._path("pid")
        options = [*options, "--pid-file", note]
        console = _Console(self._request["run_dir"]) if wanted.get("terminal") else None
        try:
            if console is not None:
                options += ["--console-socket", console.path]
            self._call(verb, options, stdio=stdio, command=wanted["args"][0])
            with open(note, encoding="ascii") as file:
                pid = int(file.read())
            return pid, console.receive() if console is not None else None
        finally:
            if console is not None:
                console.close()
            if os.path.lexists(note):
                os.unlink(note)

    def _call(
        self, verb: str, options: list[str] | None = None, *rest: str, stdio: Stdio | None = None, command: str = ""
    ) -> None:  # fmt: skip
        """Call the runtime and wait for it. Raises StepFailed with its own words; CommandFailed for `command`'s."""
        foreign, log = self._request["foreign"], self._path("runtime.log")
        argv = [
            foreign["path"], *foreign["arguments"], "--root", foreign["root"], "--log", log, "--log-format", "json",
            *(["--systemd-cgroup"] if foreign["systemd_cgroup"] else []),
            verb, *(options or []), self._request["id"], *rest,
        ]  # fmt: skip
        log_fd = os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            code = _run(argv, stdio or (-1, log_fd, log_fd))
            if code:
                raise failure(f"{os.path.basename(foreign['path'])} {verb}", code, _read(log_fd), command)
        finally:
            os.close(log_fd)
            os.unlink(log)

    def _path(self, name: str) -> str:
        return os.path.join(self._request["run_dir"], name)


def create(
    request: Message, config: Config, stdio: Stdio | None, machine: Layout, warn: Callable[[str], None]
) -> Foreign:
    """Let the foreign runtime create the container of a launch request. For the helper that ends after the birth.

    The root filesystem is mounted in a mount namespace of this process alone: the container's is a copy of it,
    and the host never sees the mount. Raises StepFailed, CommandFailed.
    """
    if request["rootfs"]:
        _mount_root(request, config)
    container = Foreign(request, 0, machine, warn)
    container.bear(config, stdio)
    return container


def _mount_root(request: Message, config: Config) -> None:
    root = Root(
        config["root"]["path"], readonly=False, propagation="", mounts=request["rootfs"],
        mounts_cwd=request["rootfs_cwd"],
    )  # fmt: skip
    namespaces.unshare(abi.CLONE_NEWNS)
    # Only the mount that the root lies on: what comes and goes below shared volumes is still passed on.
    mount.mount(None, furnish.mount_point(request["run_dir"]), None, abi.MS_SLAVE)
    furnish.mount_root(root)


class _Console:
    """The socket at which a runtime hands over a terminal's master (runc's docs/terminals.md)."""

    __slots__ = ("_directory", "_listener", "path")

    def __init__(self, folder: str) -> None:
        # The path may be longer than sun_path holds (108 bytes, unix(7)): name it by the directory's descriptor.
        self._directory = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.path = f"/proc/{os.getpid()}/fd/{self._directory}/console.sock"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._listener.bind(self.path)
        self._listener.listen(1)
        self._listener.setblocking(False)

    def receive(self) -> int:
        """The master; the runtime has sent it before it ended. Raises StepFailed."""
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            raise StepFailed("receive the terminal", "the runtime has sent none") from None
        with connection:
            received = fds.receive_fds(connection, 4096, 1)[1]
        if not received:
            raise StepFailed("receive the terminal", "the runtime has sent none")
        return received[0]

    def close(self) -> None:
        self._listener.close()
        os.unlink("console.sock", dir_fd=self._directory)
        os.close(self._directory)


def _run(argv: list[str], stdio: Stdio) -> int:
    """Run a program with these standard streams (-1: /dev/null); its exit code. Raises StepFailed."""
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = []
    for target, fd in enumerate(stdio):
        if fd < 0:
            actions.append((os.POSIX_SPAWN_OPEN, target, os.devnull, os.O_RDWR, 0))
        else:
            actions.append((os.POSIX_SPAWN_DUP2, fd, target))
    try:
        pid = os.posix_spawnp(
            argv[0], argv, os.environ, file_actions=actions, setsigmask=[], setsigdef=_SIGNALS
        )
    except OSError as error:
        raise StepFailed(
            f"run {argv[0]}", (error.strerror or str(error)).lower(), errno=error.errno or 0,
            hint="see --add-runtime and `runtimes` of daemon.json: the path must be an OCI runtime's",
        ) from None  # fmt: skip
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _read(fd: int) -> list[str]:
    os.lseek(fd, 0, os.SEEK_SET)
    with open(os.dup(fd), encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()


def failure(step: str, code: int, log: list[str], command: str) -> NakaginError:
    """The error that a failed call means, by the last error in the runtime's log."""
    words = last_error(log) or (f"ended by signal {-code}" if code < 0 else f"exit code {code}")
    lower = words.lower()
    if command and command.lower() in lower:
        if any(each in lower for each in _NOT_FOUND):
            return CommandFailed(step, words, errno=2)
        if any(each in lower for each in _NOT_EXECUTABLE):
            return CommandFailed(step, words, errno=13)
    if any(each in lower for each in _GONE):
        return Conflict(f"{step}: {words}")
    return StepFailed(step, words)


def last_error(log: list[str]) -> str:
    """The last message of level error or fatal in a log of JSON lines; else the last line that is no JSON."""
    words = ""
    for line in log:
        try:
            entry = parse(line)
        except Invalid:
            words = line.strip() or words
            continue
        if isinstance(entry, dict) and entry.get("level") in ("error", "fatal"):
            words = str(entry.get("msg", ""))
    return words
