"""The monitor: serves one container as long as that lives, owns its streams, log, exit code and nothing else.

It depends on no engine: it answers whoever connects to `monitor.sock`, and writes `exit.json` before it
tells anybody. One thread, one epoll loop, no imports after the fork.
"""

from __future__ import annotations

import os
import signal
import socket
import time

from nakagin.cgroups.events import OomWatch
from nakagin.cgroups.group import Group
from nakagin.errors import Conflict, Invalid, NakaginError, NotFound
from nakagin.kernel import process, terminal
from nakagin.kernel.loop import READ, Loop
from nakagin.monitor import foreign, notes, protocol
from nakagin.monitor.delivery import has_memory_limit, pipes
from nakagin.monitor.logsink import open_sink
from nakagin.monitor.proxy import Proxies
from nakagin.monitor.stdio import STDERR, STDOUT, Stdio
from nakagin.runtime import container as runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nakagin.cgroups.layout import Layout
    from nakagin.kernel.automaton import Maker
    from nakagin.monitor.logforward import Sink
    from nakagin.monitor.protocol import Message

# How long clients may take to read the last output of a container that has ended, in seconds.
LINGER = 30.0


# How long a command may take to end that has closed its output, to be told of as one thing: in milliseconds.
_ENDING = 1

# How many execs that ended while no engine was there are remembered for the next one.
UNTOLD_AT_MOST = 128


class _Exec:
    """A further process in the container. `wanted` is the engine's own note about it."""

    __slots__ = ("exec_id", "pid", "pidfd", "stdio", "terminal", "wanted")

    def __init__(self, request: Message, started: runtime.Executed, stdio: Stdio | None) -> None:
        self.exec_id: str = request["exec_id"]
        self.wanted: str = request.get("wanted", "")
        self.pid = started.pid
        self.pidfd = started.pidfd
        self.terminal = started.terminal
        self.stdio = stdio

    def document(self, exit_code: int | None = None) -> Message:
        """What an engine is told that does not know it."""
        return {"exec_id": self.exec_id, "pid": self.pid, "wanted": self.wanted, "exit_code": exit_code}


class Monitor:
    """Serves the living container of one request until it has ended, then cleans up."""

    def __init__(self, born: Message, fds: list[int], machine: Layout, maker: Maker) -> None:
        """`born` and `fds` are what delivery handed over."""
        self._loop = Loop()
        self._born = born
        self._machine = machine
        self._maker = maker
        self._loaded: runtime.Container | foreign.Foreign | None = None
        self._exit_code = -1
        self._execs: dict[str, _Exec] = {}
        self._untold: list[Message] = []
        self._oom: OomWatch | None = None
        self._oom_happened = self._oom_untold = False
        self._controls: dict[int, socket.socket] = {}
        self._log = open_sink(born["log"])
        listener, self._pidfd, *rest = fds
        self._terminal = rest.pop(0) if born["tty"] else None
        if self._terminal is not None:
            self._stdio = self._on_terminal(self._terminal, bool(born["open_stdin"]), self._log)
        else:
            stdin = rest.pop(0) if born["open_stdin"] else -1
            ends = stdin, rest.pop(0), rest.pop(0)
            self._stdio = self._on_pipes(ends, bool(born["stdin_once"]), self._log)
        self._listener = socket.socket(fileno=listener)
        self._loop.watch(listener, READ, self._on_connection)
        self._loop.watch(self._pidfd, READ, self._on_exit)
        self._proxies = Proxies(self._loop)
        self._has_proxied = False
        self._add_control(socket.socket(fileno=rest.pop(0)))
        self._take_over(rest)
        self._verbs: dict[str, Callable[[Message, list[int]], Message]] = {
            "aim": self._aim,
            "attach": self._attach,
            "clear-log": self._clear_log,
            "exec": self._exec,
            "exec-resize": self._exec_resize,
            "exec-signal": self._exec_signal,
            "pause": self._pause,
            "processes": self._processes,
            "publish": self._publish,
            "resize": self._resize,
            "resume": self._resume,
            "signal": self._signal,
            "state": self._state,
            "unpublish": self._unpublish,
            "update": self._update,
        }

    def _take_over(self, fds: list[int]) -> None:
        """Serve the clients and ports that came with the request, and what is left of its processes."""
        for stream in self._born["attach"]:
            flags = {name: bool(stream[name]) for name in ("stdin", "stdout", "stderr")}
            self._stdio.attach(fds[stream["fd_index"]], **flags)
        self._add_proxies(self._born["proxies"], fds)
        if not self._born["own_init"]:
            self._adopt_orphans()
        if self._born["bounded"]:
            self._watch_memory()

    @property
    def _container(self) -> runtime.Container | foreign.Foreign:
        """Loaded when first needed: what a monitor never touches costs it no memory of its own."""
        if self._loaded is None:
            born = self._born
            if born.get("foreign"):
                self._loaded = foreign.Foreign(born, born["pid"], self._machine, notes.complain)
            else:
                self._loaded = runtime.load(born["runtime_root"], born["id"], notes.complain, self._machine)
        return self._loaded

    # -- from start to exit --------------------------------------------------------------------

    def run(self) -> bool:
        """Serve the container until it has ended and all is cleaned up.

        Whether nothing of it is left in this process, so that it can serve another one.
        """
        while self._exit_code < 0:
            self._loop.turn()
        self._finish()
        return self._is_plain and self._stdio.idle and self._let_go()

    def _on_terminal(self, master: int, open_stdin: bool, log: Sink | None = None) -> Stdio:
        """Streams over a terminal's master."""
        stdin = master if open_stdin else -1
        return Stdio(self._loop, outputs={master: STDOUT}, stdin=stdin, tty=True, stdin_once=False, log=log)

    def _on_pipes(self, ends: tuple[int, int, int], stdin_once: bool, log: Sink | None = None) -> Stdio:
        """Streams over our ends of stdin (-1: none), stdout and stderr."""
        outputs = {ends[1]: STDOUT, ends[2]: STDERR}
        return Stdio(self._loop, outputs=outputs, stdin=ends[0], tty=False, stdin_once=stdin_once, log=log)

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
        try:
            while (found := os.waitid(os.P_ALL, 0, flags)) is not None and found.si_pid not in own:
                os.waitpid(found.si_pid, 0)
        except ChildProcessError:
            pass  # the signal told of the last child, which was reaped by its pidfd

    def _watch_memory(self) -> None:
        try:
            self._oom = OomWatch(Group(self._born["cgroup_path"], self._machine))
        except OSError as error:  # it has ended already, or the machine cannot tell
            notes.complain(f"container {self._born['id'][:12]}: nobody tells of want of memory: {error}")
            return
        if self._oom.fileno() >= 0:
            self._loop.watch(self._oom.fileno(), self._oom.mask, self._on_oom)

    def _on_oom(self, _: int) -> None:
        if self._oom is not None and self._oom.happened():
            self._oom_happened = True
            self._oom_untold = not self._controls
            self._tell({"event": "oom"})

    def _on_exit(self, _: int) -> None:
        self._loop.forget(self._pidfd)
        self._exit_code = process.wait_pidfd(self._pidfd)

    def _finish(self) -> None:
        """Record the exit, tell everyone, release what the container held, and let clients read the rest.

        The engine has its own work to do when it is told, and does it while this process does its own.
        """
        group = Group(self._born["cgroup_path"], self._machine)
        oom_killed = self._last_look_at_memory() or group.oom_kills() > 0
        if not self._born["own_init"]:
            group.kill()  # with a pid namespace of its own the kernel has done that
        self._stdio.drain()
        if self._log is not None:
            self._log.close()
        document = notes.exit_document(self._exit_code, self._born["started_at"], oom_killed=oom_killed)
        notes.write_exit(self._born["run_dir"], document)
        for each in list(self._execs.values()):
            self._on_exec_exit(each)
        self._proxies.close()  # before anybody is told: a restart binds the same ports
        self._tell({"event": "exit", **document})
        if self._born["poststop"] or self._born.get("foreign"):
            self._container.delete(force=True)
        else:
            runtime.discard(self._born["runtime_root"], self._born["id"], group)
        self._tell({"event": "cleared"})
        deadline = time.monotonic() + LINGER
        while not self._stdio.idle and time.monotonic() < deadline:
            self._loop.turn(1.0)

    def _last_look_at_memory(self) -> bool:
        """Whether want of memory was told of; nobody is told from now on."""
        if self._oom is not None:
            self._on_oom(0)
            self._loop.forget(self._oom.fileno())
            self._oom.close()
            self._oom = None
        return self._oom_happened

    @property
    def _is_plain(self) -> bool:
        """Whether the process has done nothing for the container that it cannot take back with certainty."""
        born, log = self._born, self._born["log"]
        asked = self._loaded is not None or self._has_proxied
        made = born["tty"] or born["poststop"] or born.get("foreign") or born.get("helped")
        threads = log.get("forward") or log.get("buffer") or log.get("compress")
        return bool(born["own_init"] and not asked and not made and not threads)

    def _let_go(self) -> bool:
        """Close all that was opened for the container."""
        for sock in list(self._controls.values()):
            self._drop_control(sock)
        self._loop.forget(self._listener.fileno())
        self._listener.close()
        os.close(self._pidfd)
        self._loop.close()
        return True

    # -- conversations -------------------------------------------------------------------------

    def _on_connection(self, _: int) -> None:
        connection, _address = self._listener.accept()
        self._add_control(protocol.prepare(connection))
        # A new engine: it knows nothing of the execs of the one before.
        known = [*(each.document() for each in self._execs.values()), *self._untold]
        self._untold.clear()
        if known:
            self._send(connection, {"event": "execs", "execs": known})
        if self._oom_untold:
            self._oom_untold = False
            self._send(connection, {"event": "oom"})

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
        if self._oom is None and has_memory_limit(message["resources"]):
            self._watch_memory()
        return {}

    def _clear_log(self, _: Message, __: list[int]) -> Message:
        if self._log is not None:
            self._log.clear()
        return {}

    def _processes(self, _: Message, __: list[int]) -> Message:
        return {"pids": self._container.processes()}

    def _state(self, _: Message, __: list[int]) -> Message:
        born = self._born
        return {"pid": born["pid"], "started_at": born["started_at"], "status": self._container.status}

    def _publish(self, message: Message, fds: list[int]) -> Message:
        self._add_proxies(message["proxies"], fds)
        return {}

    def _add_proxies(self, wanted: list[Message], fds: list[int]) -> None:
        for item in wanted:
            self._has_proxied = True
            self._proxies.add(
                fds[item["fd_index"]],
                item["proto"],
                tuple(item["target"]),
                announce=bool(item.get("announce")),
            )

    def _aim(self, message: Message, _: list[int]) -> Message:
        self._proxies.aim(message["address"])
        return {}

    def _unpublish(self, message: Message, _: list[int]) -> Message:
        for port in message["ports"]:
            self._proxies.remove(*port)
        return {}

    def _exec(self, message: Message, fds: list[int]) -> Message:
        tty = bool(message["process"].get("terminal"))
        ours, theirs = pipes(tty, bool(fds) and message["stdin"]) if fds else (None, _nowhere(tty))
        try:
            started = self._container.exec(
                message["process"], stdio=theirs, seccomp_cache=self._born["seccomp_cache"], maker=self._maker
            )
        except BaseException:
            for fd in set(ours or ()) - {-1}:
                os.close(fd)
            raise
        finally:
            for fd in set(theirs or ()):
                os.close(fd)
        stdio = self._on_pipes(ours, True) if ours else None
        if started.terminal is not None:
            stdio = self._on_terminal(started.terminal, bool(message["stdin"]))
            if message.get("rows"):
                _set_size(started.terminal, message)
        each = self._execs[message["exec_id"]] = _Exec(message, started, stdio)
        if fds and stdio is not None:
            stdio.on_end = lambda: self._on_exec_output_end(each)
            stdio.attach(fds[0], stdin=message["stdin"], stdout=message["stdout"], stderr=message["stderr"])
        self._loop.watch(started.pidfd, READ, lambda _: self._on_exec_exit(each))
        return {"pid": started.pid}

    def _on_exec_output_end(self, each: _Exec) -> None:
        """Nearly always it is just ending: then both are told at once, and the engine wakes up once."""
        if each.exec_id in self._execs and process.has_ended(each.pidfd, _ENDING):
            self._on_exec_exit(each)

    def _on_exec_exit(self, each: _Exec) -> None:
        del self._execs[each.exec_id]
        self._loop.forget(each.pidfd)
        exit_code = process.wait_pidfd(each.pidfd)
        os.close(each.pidfd)
        # Told before the stream ends: whoever sees the end may ask for the exit code at once.
        self._tell({"event": "exec-exit", "exec_id": each.exec_id, "exit_code": exit_code})
        if not self._controls:
            self._untold = [*self._untold[1 - UNTOLD_AT_MOST :], each.document(exit_code)]
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
