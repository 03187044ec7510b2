"""A command run inside a container (docker exec), in the shape of subprocess.Popen."""

from __future__ import annotations

import selectors

from nakagin.client.frames import STDERR
from nakagin.client.session import document, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import BinaryIO

    from nakagin.client.hijack import Stream
    from nakagin.client.session import Document, Session

_PIECE = 64 * 1024


class Execution:
    """A started command: `stream` (send to it, iterate it), `communicate`, `wait`, `poll`, `returncode`."""

    def __init__(self, session: Session, execution_id: str, stream: Stream | None) -> None:
        self._session = session
        self.id = execution_id
        self.stream = stream
        self.returncode: int | None = None

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
        """Create and start the command; detached ones have no stream."""
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
            return cls(session, created, None)
        return cls(session, created, attach(session, created, tty=tty))

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

    def communicate(self, data: bytes | None = None) -> tuple[bytes, bytes]:
        """Send `data`, end stdin, collect (stdout, stderr) to the end and set `returncode`."""
        assert self.stream is not None, "a detached command has no stream"
        output = communicate(self.stream, data)
        self.stream.close()
        self.poll()
        return output

    def wait(self) -> int:
        """Let it end (its output is thrown away); the exit code."""
        if self.stream is not None:
            for _ in self.stream:
                pass
            self.stream.close()
        code = self.poll()
        return 0 if code is None else code

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal the size."""
        resize(self._session, self.id, rows, columns)


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
    """Feed stdin and collect (stdout, stderr) at the same time, so that neither side waits for the other."""
    output: tuple[list[bytes], list[bytes]] = ([], [])
    source = stdin if stdin is not None and not isinstance(stdin, bytes) else None
    pending = stdin if isinstance(stdin, bytes) else b""
    ended = False
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if not pending and source is not None:
                pending = source.read(_PIECE)
                source = source if pending else None
            if not pending and source is None and not ended:
                stream.close_write()
                ended = True
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if pending else 0)
            selector.modify(stream, wanted)
            events = 0 if stream.ready else selector.select()[0][1]
            if events & selectors.EVENT_WRITE and pending:
                try:
                    pending = pending[stream.send_some(pending) :]
                except OSError:  # the command does not read any more; its output still counts
                    pending, source = b"", None
            if stream.ready or events & selectors.EVENT_READ:
                pieces = stream.receive()
                if pieces is None:
                    return b"".join(output[0]), b"".join(output[1])
                for kind, piece in pieces:
                    output[kind == STDERR].append(piece)
