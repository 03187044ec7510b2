"""A command run inside a container (docker exec), in the shape of subprocess.Popen."""

from __future__ import annotations

import time

from nakagin.client.exchange import Exchange
from nakagin.client.frames import STDERR
from nakagin.client.session import document, quote
from nakagin.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import BinaryIO, Self

    from nakagin.client.hijack import Stream
    from nakagin.client.session import Document, Session


class TimeoutExpired(Unavailable):
    """The command still runs after `seconds`; `output` and `errors` are what it has written so far."""

    def __init__(self, command: str, seconds: float, output: bytes, errors: bytes) -> None:
        super().__init__(f"{command} did not end within {seconds:g} seconds", hint="`kill` ends it")
        self.seconds = seconds
        self.output = output
        self.errors = errors


class Input:
    """The command's stdin; closing it is its end of file."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, data: bytes) -> int:
        """All of `data`; BrokenPipeError when the command reads no more."""
        self._stream.send(data)
        return len(data)

    def close(self) -> None:
        """End of file."""
        self._stream.close_write()


class Output:
    """The command's stdout or stderr. What it writes to the other one meanwhile is kept for that one."""

    def __init__(self, pump: Callable[[], bool], abort: Callable[[], None]) -> None:
        self.held = bytearray()
        self._pump = pump
        self.abort = abort

    def read(self, size: int = -1) -> bytes:
        """`size` bytes, fewer only at the end; all of it for -1."""
        while (size < 0 or len(self.held) < size) and self._pump():
            pass
        return self._take(len(self.held) if size < 0 else size)

    def readline(self) -> bytes:
        """A line with its end, b"" at the end of the output."""
        while b"\n" not in self.held and self._pump():
            pass
        at = self.held.find(b"\n")
        return self._take(at + 1 if at >= 0 else len(self.held))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _take(self, size: int) -> bytes:
        taken = bytes(self.held[:size])
        del self.held[:size]
        return taken


class Execution:
    """A started command, like subprocess.Popen: `stdin`, `stdout`, `stderr`, `communicate`, `wait`, `poll`, `kill`.

    With a terminal everything is on stdout. A connection that is lost is an error (Unavailable), never an end.
    """

    def __init__(
        self, session: Session, execution_id: str, stream: Stream | None, command: Sequence[str] = ()
    ) -> None:
        self._session = session
        self._ended = stream is None
        self._exchange: Exchange | None = None
        self.id = execution_id
        self.args = list(command)
        self.stream = stream
        self.returncode: int | None = None
        self.stdin = Input(stream) if stream is not None else None
        self.stdout = Output(self._pump, self.abort)
        self.stderr = Output(self._pump, self.abort)

    @classmethod
    def start(
        cls,
        session: Session,
        container: str,
        command: Sequence[str],
        *,
        tty: bool = False,
        stdin: bool = False,
        detach: bool = False,
        environment: Mapping[str, str] | None = None,
        user: str = "",
        workdir: str = "",
        privileged: bool = False,
    ) -> Execution:
        """Create and start the command; detached ones have no stream. Without `stdin` it reads an end of file."""
        body = {
            "Cmd": list(command),
            "Tty": tty,
            "AttachStdin": stdin and not detach,
            "AttachStdout": not detach,
            "AttachStderr": not detach,
            "Env": [f"{key}={value}" for key, value in (environment or {}).items()],
            "User": user,
            "WorkingDir": workdir,
            "Privileged": privileged,
        }
        created = create(session, container, body)
        if detach:
            start_detached(session, created, tty=tty)
            return cls(session, created, None, command)
        return cls(session, created, attach(session, created, tty=tty), command)

    def _pump(self) -> bool:
        """Take what comes next from the stream; False at its end."""
        if self._ended or self.stream is None:
            return False
        pieces = self.stream.receive()
        if pieces is None:
            self._ended = True
            return False
        for kind, piece in pieces:
            self._take(kind, piece)
        return True

    def _take(self, kind: int, piece: bytes) -> None:
        (self.stderr if kind == STDERR else self.stdout).held.extend(piece)

    def inspect(self) -> Document:
        """The engine's account of it: Running, ExitCode, Pid …"""
        return document(self._session.request("GET", f"/exec/{quote(self.id)}/json"))

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.returncode is None:
            state = self.inspect()
            if not state.get("Running"):
                self.returncode = int(state.get("ExitCode") or 0)
        return self.returncode

    def communicate(self, data: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Send `data`, end stdin, collect (stdout, stderr) to the end and set `returncode`.

        TimeoutExpired after so many seconds; call it again (without data) to go on.
        """
        assert self.stream is not None, "a detached command has no stream"
        if self._exchange is None or data is not None:
            self._exchange = Exchange(self.stream, data)
        self._run(self._exchange, timeout)
        return self.stdout.read(), self.stderr.read()

    def wait(self, timeout: float | None = None) -> int:
        """Let it end, keeping its output for `stdout` and `stderr`; its stdin ends. The exit code. TimeoutExpired."""
        if self.stream is not None and self._exchange is None:
            self._exchange = Exchange(self.stream)
        return self._run(self._exchange, timeout)

    def _run(self, exchange: Exchange | None, timeout: float | None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        if exchange is not None and not self._ended:
            if not exchange.run(self._take, deadline):
                raise self._expired(timeout or 0.0)
            self._ended = True
        return self._settle(deadline, timeout)

    def _settle(self, deadline: float | None, timeout: float | None) -> int:
        """The exit code, when the output has ended: a command may close it and go on."""
        pause = 0.001
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise self._expired(timeout or 0.0)
            time.sleep(pause)  # the engine has no way to wait for a command
            pause = min(2 * pause, 0.1)
        self.close()
        return code

    def _expired(self, timeout: float) -> TimeoutExpired:
        return TimeoutExpired(" ".join(self.args), timeout, bytes(self.stdout.held), bytes(self.stderr.held))

    def send_signal(self, signal: int | str) -> None:
        """Send it a signal (Nakagin only); no error when it has ended."""
        query = {"signal": str(signal)}
        self._session.request("POST", f"/nakagin/exec/{quote(self.id)}/kill", query).read()

    def kill(self) -> None:
        """End it by SIGKILL (Nakagin only)."""
        self.send_signal("SIGKILL")

    def terminate(self) -> None:
        """Ask it to end by SIGTERM (Nakagin only)."""
        self.send_signal("SIGTERM")

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal the size."""
        resize(self._session, self.id, rows, columns)

    def abort(self) -> None:
        """End the stream while another thread waits for it; the command runs on."""
        if self.stream is not None:
            self.stream.abort()

    def close(self) -> None:
        """Close the stream; the command runs on."""
        if self.stream is not None:
            self.stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def create(session: Session, container: str, body: Document) -> str:
    """Make an exec instance from a whole request body; its id."""
    return str(document(session.request("POST", f"/containers/{quote(container)}/exec", body=body))["Id"])


def start_detached(session: Session, execution: str, *, tty: bool) -> None:
    """Start it with nobody listening."""
    session.request(
        "POST", f"/exec/{quote(execution)}/start", body={"Detach": True, "Tty": tty}, timeout=None
    ).read()


def attach(session: Session, execution: str, *, tty: bool, console: tuple[int, int] | None = None) -> Stream:
    """Start it and take its stream; `console` is (rows, columns)."""
    body: Document = {"Detach": False, "Tty": tty}
    if console:
        body["ConsoleSize"] = list(console)
    return session.hijack(f"/exec/{quote(execution)}/start", body=body, tty=tty)


def resize(session: Session, execution: str, rows: int, columns: int) -> None:
    """Tell an exec instance's terminal its size."""
    session.request("POST", f"/exec/{quote(execution)}/resize", {"h": rows, "w": columns}).read()


def communicate(stream: Stream, stdin: BinaryIO | bytes | None = None) -> tuple[bytes, bytes]:
    """Feed stdin and collect (stdout, stderr) at the same time."""
    output: tuple[list[bytes], list[bytes]] = ([], [])
    Exchange(stream, stdin).run(lambda kind, piece: output[kind == STDERR].append(piece))
    return b"".join(output[0]), b"".join(output[1])
