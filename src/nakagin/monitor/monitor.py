"""The monitor: lives as long as its container, owns its streams, log, exit code and nothing else.

It depends on no engine: it answers whoever connects to `monitor.sock`, and writes `exit.json` before it
tells anybody. One thread, one epoll loop, no imports after the fork.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import time

from nakagin.errors import Conflict, Invalid, NakaginError, NotFound
from nakagin.kernel import process, terminal
from nakagin.monitor import protocol
from nakagin.monitor.logfile import Writer, timestamp
from nakagin.monitor.loop import READ, Loop
from nakagin.monitor.proxy import proxy
from nakagin.monitor.stdio import STDERR, STDOUT, Stdio
from nakagin.network import links
from nakagin.runtime import container as runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nakagin.cgroups.layout import Layout
    from nakagin.monitor.protocol import Message
    from nakagin.spec.runtime import Config

# How long clients may take to read the last output of a container that has ended, in seconds.
LINGER = 30.0


class _Exec:
    """A further process in the container."""

    __slots__ = ("exec_id", "pid", "pidfd", "stdio", "terminal")

    def __init__(self, exec_id: str, pid: int, pidfd: int, terminal: int | None, stdio: Stdio | None) -> None:
        self.exec_id = exec_id
        self.pid = pid
        self.pidfd = pidfd
        self.terminal = terminal
        self.stdio = stdio


class Monitor:
    """Runs the container of one launch request from creation to clean-up."""

    def __init__(self, request: Message, fds: list[int], machine: Layout) -> None:
        self._request = request
        self._machine = machine
        self._loop = Loop()
        control, *self._fds = fds
        self._controls: dict[int, socket.socket] = {}
        self._add_control(socket.socket(fileno=control))
        self._run_dir: str = request["run_dir"]
        self._execs: dict[str, _Exec] = {}
        self._container: runtime.Container
        self._stdio: Stdio
        self._log: Writer | None = None
        self._started_at = ""
        self._exit_code = -1
        self._verbs: dict[str, Callable[[Message, list[int]], Message]] = {
            "attach": self._attach,
            "exec": self._exec,
            "exec-resize": self._exec_resize,
            "exec-signal": self._exec_signal,
            "pause": self._pause,
            "processes": self._processes,
            "resize": self._resize,
            "resume": self._resume,
            "signal": self._signal,
            "state": self._state,
            "update": self._update,
        }

    # -- from launch to exit -------------------------------------------------------------------

    def run(self) -> None:
        """Start the container, serve it until it has ended, clean up. The process may exit afterwards."""
        try:
            self._launch()
        except (NakaginError, OSError) as error:
            self._write(protocol.EXIT_NAME, self._exit_document(_failed_code(error), error=str(error)))
            self._tell({"event": "failed", "error": protocol.error_document(error)})
            return
        while self._exit_code < 0:
            self._loop.turn()
        self._finish()

    def _launch(self) -> None:
        request = self._request
        os.makedirs(self._run_dir, mode=0o700, exist_ok=True)
        listener = self._listen()
        with open(os.path.join(request["bundle"], "config.json"), "rb") as file:
            config: Config = json.load(file)
        self._log = self._open_log()
        ours, theirs = _pipes(request["tty"], request["open_stdin"])
        try:
            self._container = runtime.create(
                root=request["runtime_root"], id=request["id"], bundle=request["bundle"], config=config,
                rootfs=request["rootfs"], rootfs_cwd=request["rootfs_cwd"],
                cgroup_path=request["cgroup_path"], stdio=theirs, on_namespaces=self._connect_network,
                seccomp_cache=request["seccomp_cache"], parent_death_signal=signal.SIGKILL,
                machine=self._machine, warn=_to_standard_error,
            )  # fmt: skip
        finally:
            for fd in set(theirs or ()):
                os.close(fd)
        console = self._container.terminal
        if console is not None and (size := request.get("console_size")):
            terminal.set_size(console, size[0], size[1])
        self._stdio = self._make_stdio(
            ours or console, request["open_stdin"], request["stdin_once"], self._log
        )
        for stream in request["attach"]:
            flags = {name: bool(stream[name]) for name in ("stdin", "stdout", "stderr")}
            self._stdio.attach(self._fds[stream["fd_index"]], **flags)
        self._loop.watch(self._container.pidfd, READ, self._on_exit)
        if not any(each["type"] == "pid" for each in config["linux"]["namespaces"]):
            self._adopt_orphans()
        try:
            self._container.start()
        except (NakaginError, OSError):
            self._container.delete(force=True)
            raise
        self._started_at = timestamp(time.time_ns())
        pid = self._container.pid
        self._write(
            protocol.FACTS_NAME, {"monitor_pid": os.getpid(), "pid": pid, "started_at": self._started_at}
        )
        self._tell({"event": "started", "pid": pid, "started_at": self._started_at})
        self._loop.watch(listener.fileno(), READ, lambda _: self._on_connection(listener))
        for item in request["proxies"]:
            proxy(self._loop, self._fds[item["fd_index"]], item["proto"], tuple(item["target"]))

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        # The path may be longer than sun_path holds (108 bytes, unix(7)): go by the directory's descriptor.
        directory = os.open(self._run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
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

    def _open_log(self) -> Writer | None:
        log = self._request["log"]
        if log["driver"] == "none":
            return None
        return Writer(log["path"], max_size=log["max_size"], files=log["max_file"])

    def _connect_network(self, pid: int, _pidfd: int) -> None:
        for plan in self._request["network"]:
            links.attach(plan, pid)

    def _make_stdio(
        self, ours: tuple[int, int, int] | int | None, open_stdin: bool, stdin_once: bool, log: Writer | None
    ) -> Stdio:
        """Streams over our ends of three pipes, or over a terminal's master."""
        assert ours is not None
        tty = isinstance(ours, int)
        if isinstance(ours, int):
            outputs, stdin = {ours: STDOUT}, ours if open_stdin else -1
        else:
            stdin, outputs = ours[0], {ours[1]: STDOUT, ours[2]: STDERR}
        return Stdio(self._loop, outputs=outputs, stdin=stdin, tty=tty, stdin_once=stdin_once, log=log)

    def _adopt_orphans(self) -> None:
        """Reap what the container's processes leave behind where it has no init of its own to do so."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(writer)
        self._loop.watch(reader, READ, lambda _: self._reap_orphans(reader))

    def _reap_orphans(self, reader: int) -> None:
        os.read(reader, 512)
        own = {self._container.pid, *(each.pid for each in self._execs.values())}
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while (found := os.waitid(os.P_ALL, 0, flags)) is not None and found.si_pid not in own:
            os.waitpid(found.si_pid, 0)

    def _on_exit(self, _: int) -> None:
        self._loop.forget(self._container.pidfd)
        self._exit_code = process.wait_pidfd(self._container.pidfd)

    def _finish(self) -> None:
        """Record the exit, release what the container held, tell everyone, and let clients read the rest."""
        oom_killed = self._container.group.oom_kills() > 0
        self._container.group.kill()
        self._stdio.drain()
        if self._log is not None:
            self._log.close()
        document = self._exit_document(self._exit_code, oom_killed=oom_killed)
        self._write(protocol.EXIT_NAME, document)
        for each in list(self._execs.values()):
            self._on_exec_exit(each)
        self._container.delete(force=True)
        if oom_killed:
            self._tell({"event": "oom"})
        self._tell({"event": "exit", **document})
        deadline = time.monotonic() + LINGER
        while not self._stdio.idle and time.monotonic() < deadline:
            self._loop.turn(1.0)

    def _exit_document(self, code: int, *, oom_killed: bool = False, error: str = "") -> Message:
        return {
            "exit_code": code, "oom_killed": oom_killed, "error": error,
            "started_at": self._started_at, "finished_at": timestamp(time.time_ns()),
        }  # fmt: skip

    def _write(self, name: str, document: Message) -> None:
        """Leave a note for an engine that is not there now. On a full disk there is none; who listens is told."""
        path = os.path.join(self._run_dir, name)
        try:
            fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, json.dumps(document).encode())
            finally:
                os.close(fd)
            os.rename(path + ".new", path)
        except OSError as error:
            _to_standard_error(f"{path} cannot be written: {error.strerror}")

    # -- conversations -------------------------------------------------------------------------

    def _on_connection(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        self._add_control(protocol.prepare(connection))

    def _add_control(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._controls[sock.fileno()] = sock
        self._loop.watch(sock.fileno(), READ, lambda _: self._on_message(sock))

    def _drop_control(self, sock: socket.socket) -> None:
        self._loop.forget(sock.fileno())
        del self._controls[sock.fileno()]
        sock.close()

    def _tell(self, message: Message) -> None:
        for sock in list(self._controls.values()):
            self._send(sock, message)

    def _send(self, sock: socket.socket, message: Message) -> None:
        # An engine that reads nothing for megabytes of events is no engine: it may reconnect.
        try:
            protocol.send(sock, message)
        except OSError:
            self._drop_control(sock)

    def _on_message(self, sock: socket.socket) -> None:
        try:
            received = protocol.receive(sock)
        except BlockingIOError:
            return
        if received is None:
            self._drop_control(sock)
            return
        message, fds = received
        try:
            verb = self._verbs.get(message["kind"])
            if verb is None:
                raise Invalid(f"the monitor knows no request {message['kind']!r}")
            answer = verb(message, fds)
        except (NakaginError, OSError) as error:
            for fd in fds:
                _close_quietly(fd)
            answer = {"error": protocol.error_document(error)}
        if sock.fileno() in self._controls:
            self._send(sock, {"reply": message["seq"], **answer})

    # -- verbs ---------------------------------------------------------------------------------

    def _attach(self, message: Message, fds: list[int]) -> Message:
        self._stdio.attach(fds[0], stdin=message["stdin"], stdout=message["stdout"], stderr=message["stderr"])
        return {}

    def _resize(self, message: Message, _: list[int]) -> Message:
        _set_size(self._container.terminal, message)
        return {}

    def _signal(self, message: Message, _: list[int]) -> Message:
        self._container.kill(message["number"], everyone=message.get("all", False))
        return {}

    def _pause(self, _: Message, __: list[int]) -> Message:
        self._container.pause()
        return {}

    def _resume(self, _: Message, __: list[int]) -> Message:
        self._container.resume()
        return {}

    def _update(self, message: Message, _: list[int]) -> Message:
        self._container.update(message["resources"])
        return {}

    def _processes(self, _: Message, __: list[int]) -> Message:
        return {"pids": self._container.processes()}

    def _state(self, _: Message, __: list[int]) -> Message:
        return {"pid": self._container.pid, "started_at": self._started_at, "status": self._container.status}

    def _exec(self, message: Message, fds: list[int]) -> Message:
        exec_id = message["exec_id"]
        tty = bool(message["process"].get("terminal"))
        ours, theirs = _pipes(tty, bool(fds) and message["stdin"]) if fds else (None, _nowhere(tty))
        try:
            started = self._container.exec(
                message["process"], stdio=theirs, seccomp_cache=self._request["seccomp_cache"]
            )
        except BaseException:
            for fd in set(ours or ()) - {-1}:
                os.close(fd)
            raise
        finally:
            for fd in set(theirs or ()):
                os.close(fd)
        stdio = None
        if fds or tty:
            stdio = self._make_stdio(ours or started.terminal, bool(message["stdin"]), True, None)
        if started.terminal is not None and message.get("rows"):
            _set_size(started.terminal, message)
        each = self._execs[exec_id] = _Exec(exec_id, started.pid, started.pidfd, started.terminal, stdio)
        if fds and stdio is not None:
            stdio.attach(fds[0], stdin=message["stdin"], stdout=message["stdout"], stderr=message["stderr"])
        self._loop.watch(started.pidfd, READ, lambda _: self._on_exec_exit(each))
        return {"pid": started.pid}

    def _on_exec_exit(self, each: _Exec) -> None:
        del self._execs[each.exec_id]
        self._loop.forget(each.pidfd)
        exit_code = process.wait_pidfd(each.pidfd)
        os.close(each.pidfd)
        # Told before the stream ends: whoever sees the end may ask for the exit code at once.
        self._tell({"event": "exec-exit", "exec_id": each.exec_id, "exit_code": exit_code})
        if each.stdio is not None:
            each.stdio.drain()

    def _exec_of(self, message: Message) -> _Exec:
        found = self._execs.get(message["exec_id"])
        if found is None:
            raise NotFound(f"exec {message['exec_id']} is not running")
        return found

    def _exec_resize(self, message: Message, _: list[int]) -> Message:
        _set_size(self._exec_of(message).terminal, message)
        return {}

    def _exec_signal(self, message: Message, _: list[int]) -> Message:
        signal.pidfd_send_signal(self._exec_of(message).pidfd, message["number"])
        return {}


def _set_size(console: int | None, message: Message) -> None:
    if console is None:
        raise Conflict("the process has no terminal", hint="start it with -t")
    try:
        terminal.set_size(console, message["rows"], message["cols"])
    except OSError:  # the terminal has ended meanwhile
        raise Conflict("the process has ended") from None


def _pipes(tty: bool, open_stdin: bool) -> tuple[tuple[int, int, int] | None, tuple[int, int, int] | None]:
    """Our and the process's ends of stdin, stdout and stderr; None where the runtime makes a terminal."""
    if tty:
        return None, None
    stdin, ours_in = (
        os.pipe2(os.O_CLOEXEC) if open_stdin else (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), -1)
    )
    ours_out, stdout = os.pipe2(os.O_CLOEXEC)
    ours_err, stderr = os.pipe2(os.O_CLOEXEC)
    return (ours_in, ours_out, ours_err), (stdin, stdout, stderr)


def _nowhere(tty: bool) -> tuple[int, int, int] | None:
    if tty:
        return None
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    return null, null, null


def _failed_code(error: Exception) -> int:
    code = getattr(error, "exit_code", 125)
    return code if isinstance(code, int) else 125


def _close_quietly(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        pass


def _to_standard_error(text: str) -> None:
    sys.stderr.write(text + "\n")


def main(request: Message, fds: list[int], machine: Layout) -> None:
    """Be the monitor of `request` (in a fresh fork of the zygote) and never return."""
    status = 0
    try:
        gc.disable()
        os.setsid()
        process.set_subreaper()
        process.set_name("nakagin-monitor")
        Monitor(request, fds, machine).run()
    except BaseException as error:  # noqa: BLE001  outermost loop of the process: nothing above could tell
        status = 1
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stderr.flush()
        os._exit(status)
