"""An engine that keeps its containers in dictionaries, with real sockets for streams."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from nakagin.containers.streams import Output, Stream, WaitResult, message_frame
from nakagin.errors import CommandFailed, Conflict, NotFound, NotModified
from nakagin.events import EventBus
from nakagin.images.library import Images
from nakagin.spec import docker
from nakagin.spec.platform import Platform


def frame(stream: int, data: bytes) -> bytes:
    """Docker's frame around `data`."""
    return bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


class FakeContainers:
    """Containers whose processes are the other ends of socket pairs."""

    def __init__(self) -> None:
        self.created: dict[str, docker.ContainerCreate] = {}
        self.running: set[str] = set()
        self.processes: dict[str, socket.socket] = {}
        self.ended: dict[str, asyncio.Future[WaitResult]] = {}
        self.tty = False
        self.detach_keys = b"\x10\x11"
        self.backlog: list[bytes] | None = None
        self.exit_known: asyncio.Event | None = None
        self.calls: list[tuple[Any, ...]] = []
        self.attached = asyncio.Event()
        self.log_chunks: list[bytes] = []
        self.gate = asyncio.Event()

    def _known(self, reference: str) -> str:
        if reference not in self.created:
            raise NotFound(f"No such container: {reference}")
        return reference

    async def create(
        self, name: str | None, body: docker.ContainerCreate, *, platform: Platform | None = None
    ) -> tuple[str, list[str]]:
        self.calls.append(("create", name, platform))
        if name in self.created:
            raise Conflict(f'the name "/{name}" is in use', hint="remove or rename that container")
        identity = name or f"{len(self.created):064x}"
        self.created[identity] = body
        return identity, []

    async def start(self, reference: str) -> None:
        self._known(reference)
        if reference in self.running:
            raise NotModified(f"container {reference} is already running")
        if self.created[reference].cmd == ("nosuch",):
            raise CommandFailed("exec nosuch", "No such file or directory", errno=2)
        self.running.add(reference)
        if reference in self.ended and not self.ended[reference].done():
            self.ended[reference].set_result(WaitResult(7, None))

    async def stop(self, reference: str, *, timeout: int | None = None, signal: str | None = None) -> None:
        self.calls.append(("stop", reference, timeout, signal))
        await self.gate.wait()
        self.running.discard(self._known(reference))

    async def inspect(self, reference: str, *, size: bool = False) -> dict[str, Any]:
        body = self.created[self._known(reference)]
        return {"Id": reference, "Config": body.config, "HostConfig": body.host_config}

    async def list(self, **options: Any) -> list[dict[str, Any]]:
        self.calls.append(("list", options))
        return [{"Id": each} for each in self.created]

    def wait(self, reference: str, condition: str = "not-running") -> Awaitable[WaitResult]:
        self._known(reference)
        self.calls.append(("wait", condition))
        self.ended[reference] = asyncio.get_running_loop().create_future()
        return self.ended[reference]

    async def attach(self, reference: str, **options: Any) -> Stream:
        self._known(reference)
        self.calls.append(("attach", options))
        return self._stream(reference)

    def _stream(self, key: str) -> Stream:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self.processes[key] = theirs
        self.attached.set()
        return Stream(
            ours, self.tty, self._backlog() if self.backlog else None, self.detach_keys, self.exit_known
        )

    async def _backlog(self) -> AsyncIterator[bytes]:
        for chunk in self.backlog or ():
            yield chunk

    async def logs(self, reference: str, **options: Any) -> Output:
        self._known(reference)
        self.calls.append(("logs", options))
        return Output(self.tty, self._log(options["follow"]))

    async def _log(self, follow: bool) -> AsyncIterator[bytes]:
        try:
            for chunk in self.log_chunks:
                yield chunk
            if follow:
                await asyncio.Event().wait()
        finally:
            self.calls.append(("logs closed",))

    async def exec_create(self, reference: str, body: docker.ExecCreate) -> str:
        self._known(reference)
        self.calls.append(("exec", body))
        return "missing" if body.cmd == ("nosuch",) else "e1"

    async def exec_start(
        self, exec_id: str, *, detach: bool = False, console_size: tuple[int, int] | None = None
    ) -> Stream | None:
        if exec_id == "missing":
            raise CommandFailed('exec "nosuch"', "executable file not found in $PATH", errno=2)
        return None if detach else self._stream(exec_id)

    async def exec_open(self, exec_id: str, *, console_size: tuple[int, int] | None = None) -> Stream:
        stream = self._stream(exec_id)
        if exec_id != "missing":
            return stream
        self.processes[exec_id].close()
        return stream._replace(backlog=_words())


async def _words() -> AsyncIterator[bytes]:
    yield message_frame('exec "nosuch": executable file not found in $PATH\r\n', tty=False)


class FakeEngine:
    """The facades of `nakagin.engine.Engine` that the tests call."""

    def __init__(self) -> None:
        self.containers = FakeContainers()
        self.events = EventBus()
        self.images: Images

    def version(self) -> dict[str, Any]:
        return {"Version": "0.1.0", "Os": "linux"}

    async def info(self) -> dict[str, Any]:
        raise MemoryError
