"""The monitor: lives as long as its container, owns its streams, log, exit code and nothing else.

It depends on no engine: it answers whoever connects to `monitor.sock`, and writes `exit.json` before it
tells anybody. One thread, one epoll loop, no imports after the fork.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import time

from nakagin.errors import Conflict, Invalid, NakaginError, NotFound
from nakagin.kernel import process, terminal
from nakagin.monitor import delivery, notes, protocol
from nakagin.monitor.delivery import pipes
from nakagin.monitor.logfile import Writer
from nakagin.monitor.loop import READ, Loop
from nakagin.monitor.proxy import proxy
from nakagin.monitor.stdio import STDERR, STDOUT, Stdio
from nakagin.runtime import container as runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from nakagin.cgroups.layout import Layout
    from nakagin.monitor.protocol import Message

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
    """Serves the living container of one request until it has ended, then cleans up."""

    def __init__(self, born: Message, fds: list[int], machine: Layout) -> None:
        """`born` and `fds` are what delivery handed over."""
        self._loop = Loop()
        listener, self._pidfd, *fds = fds
        count = 1 if born["tty"] else 3 if born["open_stdin"] else 2
        streams, control, self._fds = fds[:count], fds[count], fds[count + 1 :]
        self._controls: dict[int, socket.socket] = {}
        self._add_control(socket.socket(fileno=control))
        self._listener = socket.socket(fileno=listener)
        self._loop.watch(listener, READ, self._on_connection)
        self._run_dir: str = born["run_dir"]
        self._seccomp_cache: str = born["seccomp_cache"]
        self._started_at: str = born["started_at"]
        self._execs: dict[str, _Exec] = {}
        self._exit_code = -1
        self._born = born
        self._machine = machine
        self._loaded: runtime.Container | None = None
        self._terminal = streams[0] if born["tty"] else None
        self._log = _open_log(born["log"])
        ours = (-1, *streams)[-3:] if count > 1 else streams[0]
        self._stdio = self._make_stdio(ours, born["open_stdin"], born["stdin_once"], self._log)  # type: ignore[arg-type]
        for stream in born["attach"]:
            flags = {name: bool(stream[name]) for name in ("stdin", "stdout", "stderr")}
            self._stdio.attach(self._fds[stream["fd_index"]], **flags)
        self._loop.watch(self._pidfd, READ, self._on_exit)
        if not born["own_init"]:
            self._adopt_orphans()
        for item in born["proxies"]:
            proxy(self._loop, self._fds[item["fd_index"]], item["proto"], tuple(item["target"]))
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

    @property
    def _container(self) -> runtime.Container:
        """Loaded when first needed: what a monitor never touches costs it no memory of its own."""
        if self._loaded is None:
            born = self._born
            self._loaded = runtime.load(born["runtime_root"], born["id"], notes.complain, self._machine)
        return self._loaded

    # -- from start to exit --------------------------------------------------------------------

    def run(self) -> None:
        """Serve the container until it has ended and all is cleaned up."""
        while self._exit_code < 0:
            self._loop.turn()
        self._finish()

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
        own = {self._born["pid"], *(each.pid for each in self._execs.values())}
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while (found := os.waitid(os.P_ALL, 0, flags)) is not None and found.si_pid not in own:
            os.waitpid(found.si_pid, 0)

    def _on_exit(self, _: int) -> None:
        self._loop.forget(self._pidfd)
        self._exit_code = process.wait_pidfd(self._pidfd)

    def _finish(self) -> None:
        """Record the exit, release what the container held, tell everyone, and let clients read the rest."""
        oom_killed = self._container.group.oom_kills() > 0
        self._container.group.kill()
        self._stdio.drain()
        if self._log is not None:
            self._log.close()
        document = notes.exit_document(self._exit_code, self._started_at, oom_killed=oom_killed)
        notes.write_exit(self._run_dir, document)
        for each in list(self._execs.values()):
            self._on_exec_exit(each)
        self._container.delete(force=True)
        if oom_killed:
            self._tell({"event": "oom"})
        self._tell({"event": "exit", **document})
        deadline = time.monotonic() + LINGER
        while not self._stdio.idle and time.monotonic() < deadline:
            self._loop.turn(1.0)

    # -- conversations -------------------------------------------------------------------------

    def _on_connection(self, _: int) -> None:
        connection, _address = self._listener.accept()
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
        _set_size(self._terminal, message)
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
        return {"pid": self._born["pid"], "started_at": self._started_at, "status": self._container.status}

    def _exec(self, message: Message, fds: list[int]) -> Message:
        exec_id = message["exec_id"]
        tty = bool(message["process"].get("terminal"))
        ours, theirs = pipes(tty, bool(fds) and message["stdin"]) if fds else (None, _nowhere(tty))
        try:
            started = self._container.exec(
                message["process"], stdio=theirs, seccomp_cache=self._seccomp_cache
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


def _nowhere(tty: bool) -> tuple[int, int, int] | None:
    if tty:
        return None
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    return null, null, null


def _close_quietly(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        pass


def _open_log(log: Message) -> Writer | None:
    if log["driver"] == "none":
        return None
    try:
        return Writer(log["path"], max_size=log["max_size"], files=log["max_file"])
    except FileNotFoundError:
        return None  # the container is being removed while it starts: nothing must be made in its folder


def become_monitor(zygote: socket.socket, machine: Layout) -> NoReturn:
    """Be a monitor (in a fresh fork of the zygote): bear a helper, await its container, serve it, and end."""
    status = 0
    try:
        gc.disable()
        os.setsid()
        process.set_subreaper()
        ours, theirs = protocol.pair()
        helper = os.fork()
        if helper == 0:
            ours.close()
            delivery.await_request(zygote, theirs, machine)
        theirs.close()
        zygote.close()
        process.set_name("nakagin-monitor")
        born = protocol.receive(ours)
        os.waitpid(helper, 0)
        ours.close()
        if born is not None:
            Monitor(*born, machine).run()
    except BaseException as error:  # noqa: BLE001  outermost loop of the process: nothing above could tell
        status = 1
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stderr.flush()
        os._exit(status)
