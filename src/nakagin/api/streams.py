"""Hijacked connections: after the response head the client's socket carries a process's streams.

    client ──(HTTP request, perhaps stdin already)──► Porch, aiohttp
    client ◄──(101 UPGRADED, or 200)───────────────── hijack()
    client ◄═══ output: raw, or Docker's frames ═════ Relay ◄═══ monitor
    client ════ stdin ═══(detach keys)══════════════► Relay ═══► monitor

Each direction ends on its own: end of stdin is passed on as a half-close; end of output closes the client.
A slow reader on one side pauses reading on the other. No byte passes through aiohttp after the head.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from nakagin.api.answers import COMMON, RAW_STREAM
from nakagin.api.arrival import was_read
from nakagin.api.call import Call
from nakagin.api.detach import DetachKeys
from nakagin.api.hangups import hangups
from nakagin.api.porch import Porch

if TYPE_CHECKING:
    from nakagin.containers.streams import Stream

#: Seconds that a client has to close after it was told the end of the output. Closing with unread input
#: at once would make the kernel throw away output that the client has not read yet.
GRACE = 5.0


class Hijacked(web.StreamResponse):
    """What a handler returns when it has answered on the bare socket: nothing more is written."""

    @property
    def keep_alive(self) -> bool | None:
        return False

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


class _Side(asyncio.Protocol):
    """One end of a relay; knows the transport of its own connection."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.transport: asyncio.Transport | None = None
        self.drained = asyncio.Event()
        self.drained.set()

    @property
    def other(self) -> _Side:
        return self.relay.process if self is self.relay.client else self.relay.client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.other.write(data)

    def pause_writing(self) -> None:
        self.drained.clear()
        self.other.pause()

    def resume_writing(self) -> None:
        self.drained.set()
        self.other.resume()

    def write(self, data: bytes) -> None:
        if data and self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def end(self) -> None:
        """Half-close: no more bytes will be written."""
        if self.transport is None or self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:  # TLS knows no half-close
            self.transport.close()

    def pause(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


class _Client(_Side):
    """The client's connection; its loss is also told to aiohttp, which still counts it."""

    def __init__(
        self,
        relay: Relay,
        former: asyncio.BaseProtocol,
        keys: DetachKeys | None,
        on_detach: Callable[[], None] | None,
    ) -> None:
        super().__init__(relay)
        self._former = former
        self._keys = keys
        self._on_detach = on_detach

    def data_received(self, data: bytes) -> None:
        if self.relay.output_ended:
            return
        if self._keys is None:
            self.other.write(data)
            return
        passed, detached = self._keys.feed(data)
        self.other.write(passed)
        if detached:
            self.relay.end_output()
            if self._on_detach is not None:
                self._on_detach()

    def eof_received(self) -> bool:
        if self.relay.output_ended:
            return False
        if self._keys is not None:
            self.other.write(self._keys.rest())
        self.other.end()
        if self.transport is not None:
            hangups().watch(self.transport)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.drained.set()
        self.other.close()
        self.relay.output_over.set()
        self.relay.finished.set()
        self._former.connection_lost(exc)


class _Process(_Side):
    """The monitor's stream of a process."""

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.drained.set()
        self.relay.output_over.set()


class Relay:
    """Joins a client's transport and a process's stream until both have ended."""

    def __init__(
        self,
        transport: asyncio.Transport,
        former: asyncio.BaseProtocol,
        detach_keys: bytes | None,
        on_detach: Callable[[], None] | None = None,
    ) -> None:
        self.finished = asyncio.Event()
        self.output_over = asyncio.Event()
        self.output_ended = False
        self._begun = False  # the client has read the head, as far as this can be known
        keys = DetachKeys(detach_keys) if detach_keys else None
        self.client = _Client(self, former, keys, on_detach)
        self.process = _Process(self)
        self.client.transport = transport

    async def run(
        self,
        stream: socket.socket,
        early: bytes,
        backlog: AsyncIterator[bytes] | None,
        *,
        input_ended: bool = False,
        ended: asyncio.Event | None = None,
        heard: Callable[[], None] | None = None,
    ) -> None:
        """Send `backlog`, then relay `stream` until the client has closed.

        The client's transport is paused and already ours; `early` is what it has sent so far. The client is
        told the end of the output when `ended` is set: then it asks for the exit code. `heard` is called when it
        has read all, as far as this can be known.
        """
        try:
            # Joined before the backlog comes, which for an exec comes when the command has been started.
            await asyncio.get_running_loop().create_connection(lambda: self.process, sock=stream)
            self.process.pause()  # in `connection_made` it would be too early
            if backlog is not None:
                async for chunk in backlog:
                    await self._head_was_read()
                    self.client.write(chunk)
                    await self.client.drained.wait()
            await self._head_was_read()
            if not self.finished.is_set():
                self._open(early, input_ended)
                await self.output_over.wait()
                if ended is not None and not self.output_ended and not self.finished.is_set():
                    await _patiently(ended)
            self.end_output()
            if heard is not None and self.client.transport is not None:
                await was_read(self.client.transport)
                heard()
            await self.finished.wait()
        finally:
            if self.process.transport is None:
                stream.close()
            self.process.close()
            self.client.close()

    async def _head_was_read(self) -> None:
        if not self._begun and self.client.transport is not None:
            self._begun = True
            await was_read(self.client.transport)

    def _open(self, early: bytes, input_ended: bool) -> None:
        """Let the bytes pass in both directions."""
        if early:
            self.client.data_received(early)
        if input_ended:
            self.client.eof_received()
        elif self.process.drained.is_set():
            self.client.resume()
        if self.client.drained.is_set():
            self.process.resume()

    def end_output(self) -> None:
        """Nothing more will be written: tell the client, and give it time to read and close."""
        if self.output_ended:
            return
        self.output_ended = True
        self.process.close()
        self.client.end()
        self.client.resume()
        asyncio.get_running_loop().call_later(GRACE, self.client.close)


async def _patiently(ended: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE):
            await ended.wait()


def _head(upgrade: bool, kind: str) -> bytes:
    common = "".join(f"{name}: {value}\r\n" for name, value in COMMON.items())
    if upgrade:
        start = f"HTTP/1.1 101 UPGRADED\r\nContent-Type: {kind}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
    else:
        start = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n"
    return f"{start}{common}\r\n".encode()


async def hijack(
    call: Call, stream: Stream, kind: str = RAW_STREAM, heard: Callable[[], None] | None = None
) -> Hijacked:
    """Answer `call` with the head and relay `stream`; returns when the client has gone. `heard`: see `Relay.run`."""
    transport = call.request.transport
    porch = transport.get_protocol() if transport is not None else None
    if transport is None or not isinstance(porch, Porch):
        stream.socket.close()
        raise ConnectionResetError("the client has gone")
    taken = porch.take()
    relay = Relay(transport, taken.former, stream.detach_keys if stream.tty else None, stream.detached)
    transport.pause_reading()
    transport.set_protocol(relay.client)
    call.begun = True
    transport.write(_head(call.upgrades, kind))
    await relay.run(
        stream.socket, taken.early, stream.backlog,
        input_ended=taken.ended, ended=stream.ended, heard=heard,
    )  # fmt: skip
    return Hijacked()
