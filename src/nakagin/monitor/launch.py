"""The engine's end: keeps one zygote running and speaks with the monitors. asyncio, one event loop.

The only file of this room that the engine imports beside the log reader; it never forks by itself.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from nakagin.errors import Unavailable
from nakagin.monitor import protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.monitor.protocol import Message

    OnEvent = Callable[[Message], None]

_ZYGOTE = "import sys; sys.path.insert(0, {root!r}); from nakagin.monitor.zygote import main; main({fd})"


# A monitor that takes longer than so many seconds to take the cgroup away of a container that has ended hangs.
_CLEARING = 10.0


async def _send(sock: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            protocol.send(sock, message, fds)
        except BlockingIOError:
            writable = loop.create_future()
            loop.add_writer(sock.fileno(), writable.set_result, None)
            try:
                await writable
            finally:
                loop.remove_writer(sock.fileno())
        else:
            return


class Monitor:
    """A connection to one container's monitor.

    `on_event` gets each event as a dict: "oom", "exec-exit" {exec_id, exit_code}, after `connect` perhaps
    "execs" [{exec_id, pid, wanted, exit_code or None}], "exit" {exit_code,
    oom_killed, started_at, finished_at, error} and, where the connection ended without "exit", "lost".
    After "exit" the monitor still clears up; `cleared` tells when.
    """

    def __init__(self, sock: socket.socket, on_event: OnEvent) -> None:
        self._sock = sock
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._first: asyncio.Future[Message] = self._loop.create_future()
        self._cleared: asyncio.Future[bool] = self._loop.create_future()
        self._ended = False
        self.pid = 0
        self.started_at = ""
        sock.setblocking(False)
        # By number: asked for a socket that it does not know, asyncio's selector describes it at length.
        self._loop.add_reader(sock.fileno(), self._on_readable)

    @classmethod
    async def connect(cls, run_dir: str, on_event: OnEvent) -> Monitor:
        """Find the monitor of an earlier engine. Raises Unavailable where none answers."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        # The path may be longer than sun_path holds (108 bytes, unix(7)).
        directory = -1
        try:
            directory = os.open(run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            sock.connect(f"/proc/self/fd/{directory}/{protocol.SOCKET_NAME}")
        except OSError as error:
            sock.close()
            raise Unavailable(f"no monitor answers in {run_dir}: {error.strerror}") from None
        finally:
            if directory >= 0:
                os.close(directory)
        monitor = cls(protocol.prepare(sock), on_event)
        facts = await monitor.request("state")
        monitor.pid, monitor.started_at = facts["pid"], facts["started_at"]
        return monitor

    async def started(self) -> Monitor:
        """Wait until the container runs. Raises what the runtime raised (StepFailed, CommandFailed …)."""
        message = await self._first
        if "error" in message:
            raise protocol.error_from(message["error"])
        self.pid, self.started_at = message["pid"], message["started_at"]
        return self

    async def request(self, kind: str, fds: Sequence[int] = (), **fields: Any) -> Message:
        """Ask the monitor and await its answer. Raises its error, or Unavailable where it is gone."""
        if self._ended:
            raise Unavailable("the container's monitor has ended")
        number = next(self._numbers)
        reply: asyncio.Future[Message] = self._loop.create_future()
        self._replies[number] = reply
        try:
            await _send(self._sock, {"kind": kind, "seq": number, **fields}, fds)
            message = await reply
        except (BrokenPipeError, ConnectionResetError):
            raise Unavailable("the container's monitor has ended") from None
        finally:
            self._replies.pop(number, None)
        if "error" in message:
            raise protocol.error_from(message["error"])
        return message

    def _on_readable(self) -> None:
        while True:
            try:
                received = protocol.receive(self._sock)
            except BlockingIOError:
                return
            if received is None:
                self._on_end()
                return
            self._on_message(received[0])
            if self._cleared.done():
                return

    def _on_message(self, message: Message) -> None:
        if "reply" in message:
            reply = self._replies.get(message["reply"])
            if reply is not None and not reply.done():
                reply.set_result(message)
        elif message["event"] in {"started", "failed"}:
            if not self._first.done():
                self._first.set_result(message)
            if message["event"] == "failed":
                self._end()  # there is no container to be lost: by then another attempt may have one
        elif message["event"] == "cleared":
            self._cleared.set_result(True)
            self.close()
        else:
            if message["event"] == "exit":
                self._end()
            self._on_event(message)

    def _on_end(self) -> None:
        ended = self._ended
        self.close()
        if ended:
            return
        if not self._first.done() and not self.pid:
            self._first.set_result(
                {
                    "error": {
                        "class": "Unavailable",
                        "message": "the monitor died while the container was starting",
                    }
                }
            )
        else:
            self._on_event({"event": "lost"})

    @property
    def ended(self) -> bool:
        """Whether the connection is over: the container has stopped, or its monitor was killed."""
        return self._ended

    async def cleared(self) -> bool:
        """Wait, after "exit", until nothing of the container is left; False where the monitor died before."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._cleared), _CLEARING)
        except TimeoutError:
            self.close()
            return False

    def close(self) -> None:
        """End the connection; the container runs on."""
        self._end()
        if self._sock.fileno() < 0:
            return
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        if not self._cleared.done():
            self._cleared.set_result(False)

    def _end(self) -> None:
        self._ended = True
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(Unavailable("the container's monitor has ended"))


class Zygote:
    """The process that monitors are forked from: started once, started anew when it is found dead."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._sock: socket.socket | None = None
        self._lock = asyncio.Lock()

    @property
    def pid(self) -> int:
        """The zygote's process id; 0 while there is none."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start the process and wait until it can fork. Raises Unavailable where it can't."""
        ours, theirs = protocol.pair()
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        script = _ZYGOTE.format(root=root, fd=theirs.fileno())
        with theirs:
            # -I and -S: nothing of the caller's environment, no site packages: less memory in each monitor.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", "-c", script, pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        ours.setblocking(False)
        self._sock = ours
        await self._ready()

    async def _ready(self) -> None:
        assert self._sock is not None
        loop = asyncio.get_running_loop()
        readable = loop.create_future()
        loop.add_reader(self._sock.fileno(), readable.set_result, None)
        try:
            await readable
        finally:
            loop.remove_reader(self._sock.fileno())
        if protocol.receive(self._sock) is None:
            raise Unavailable("the zygote did not start", hint="its error is in the engine's log")

    async def launch(self, request: Message, fds: Sequence[int], on_event: OnEvent) -> Monitor:
        """Fork a monitor that starts the container of `request` (keys: see `monitor.request`).

        `fds` are the listening sockets and streams that the request counts from 0. Returns at once;
        `await monitor.started()` tells how it went.
        """
        ours, theirs = protocol.pair()
        with theirs:
            monitor = Monitor(ours, on_event)
            try:
                await self._hand_over(request, [theirs.fileno(), *fds])
            except BaseException:
                monitor.close()
                raise
        return monitor

    async def _hand_over(self, request: Message, fds: list[int]) -> None:
        async with self._lock:
            if self._sock is None or self._has_died():
                await self.stop()
                await self.start()
            assert self._sock is not None
            try:
                await _send(self._sock, {"kind": "launch", **request}, fds)
            except (BrokenPipeError, ConnectionResetError):
                await self.stop()
                await self.start()
                await _send(self._sock, {"kind": "launch", **request}, fds)

    def _has_died(self) -> bool:
        """Whether the zygote is dead: the midwife, who holds the other end of the socket, may not know yet."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    async def stop(self) -> None:
        """End the zygote; monitors live on."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        if self._process is not None:
            await self._process.wait()
            self._process = None
