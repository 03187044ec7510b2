"""gRPC over one HTTP/2 connection, for either side of it.

Each call is a `Call`: messages come one by one (what is not taken yet is not acknowledged, so a fast sender waits),
and go out as far as the other side's windows let them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from nakagin.errors import Damaged, NakaginError, Unavailable
from nakagin.tasks import to_the_end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    Handler = Callable[["Call"], Awaitable[None]]

# Every header, at the level of the engine's own news.
logging.getLogger("hpack").setLevel(logging.WARNING)

OK, CANCELLED, UNKNOWN, NOT_FOUND, ALREADY_EXISTS, UNIMPLEMENTED, UNAVAILABLE = 0, 1, 2, 5, 6, 12, 14
_WINDOW = 1 << 20
_ALL_WINDOWS = 16 << 20
_LARGEST_MESSAGE = 64 << 20
_PIECE = 1 << 16


class RemoteError(NakaginError):
    """The other side ended a call with a status that is not OK."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message or f"the client ended the call with status {code}")
        self.code = code


class Call:
    """One call: `path` names the method, `headers` the other side's metadata."""

    def __init__(self, connection: Connection, id: int, headers: Mapping[str, str]) -> None:
        self._connection = connection
        self.id = id
        self.headers = headers
        self.path = headers.get(":path", "")
        self._coming: asyncio.Queue[tuple[bytes, int] | BaseException | None] = asyncio.Queue()
        self._buffer = bytearray()
        self._unread = 0
        self.window = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._began = False
        self._over = False

    # --- What comes

    def feed(self, data: bytes, flow: int) -> None:
        """Bytes of a DATA frame; `flow` counts against the windows."""
        self._buffer += data
        self._unread += flow
        while len(self._buffer) >= 5:
            size = int.from_bytes(self._buffer[1:5], "big")
            if self._buffer[0] or size > _LARGEST_MESSAGE:
                self.fail(Damaged("a message is compressed or too large"))
                return
            if len(self._buffer) < 5 + size:
                # A message larger than the window: what is here is taken, or the rest would never come.
                self._connection.acknowledge(self.id, self._unread)
                self._unread = 0
                return
            self._coming.put_nowait((bytes(self._buffer[5 : 5 + size]), self._unread))
            self._unread = 0
            del self._buffer[: 5 + size]

    def finish(self, headers: Mapping[str, str] | None = None) -> None:
        """The other side says no more; a client gets the status with it."""
        code = int((headers or {}).get("grpc-status", "0") or 0)
        if code:
            self._coming.put_nowait(RemoteError(code, unquote((headers or {}).get("grpc-message", ""))))
        else:
            self._coming.put_nowait(None)

    def fail(self, error: BaseException) -> None:
        """Nothing more can come."""
        self._coming.put_nowait(error)
        self._over = True
        self.window.set()
        if self.task is not None:
            self.task.cancel()

    async def receive(self) -> bytes | None:
        """The next message; None at the end. Raises RemoteError, Unavailable."""
        news = await self._coming.get()
        if news is None or isinstance(news, BaseException):
            self._coming.put_nowait(news)
            if isinstance(news, BaseException):
                raise news
            return None
        data, flow = news
        self._connection.acknowledge(self.id, flow)
        return data

    # --- What goes

    async def send(self, data: bytes) -> None:
        """Send a message."""
        self._begin()
        await self._connection.send_data(self, b"\0" + len(data).to_bytes(4, "big") + data)

    def _begin(self) -> None:
        if not self._began and not self._connection.client:
            self._connection.send_headers(
                self.id,
                [
                    (":status", "200"),
                    ("content-type", "application/grpc"),
                    ("grpc-accept-encoding", "identity"),
                ],
            )
        self._began = True

    def end(self, code: int = OK, message: str = "") -> None:
        """A server's last words: the status."""
        if self._over:
            return
        self._begin()
        self._over = True
        self._connection.send_headers(
            self.id, [("grpc-status", str(code)), ("grpc-message", quote(message, safe=" "))], end=True
        )

    def end_sending(self) -> None:
        """A client says no more."""
        self._connection.end_stream(self.id)

    def cancel(self) -> None:
        """End the call at once."""
        self._over = True
        self._connection.reset(self.id)


class Connection:
    """One connection; `handler` serves calls that the other side begins."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler | None = None
    ) -> None:
        self.client = handler is None
        self._handler = handler
        self._reader = reader
        self._writer = writer
        self._h2 = H2Connection(H2Configuration(client_side=self.client, header_encoding="utf-8"))
        self._calls: dict[int, Call] = {}
        self._closed = False
        # At once: a call may be begun before `run` has its first turn, and the preface must come first.
        self._h2.initiate_connection()
        self._h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW})
        self._h2.increment_flow_control_window(_ALL_WINDOWS)
        self._flush()

    async def run(self) -> None:
        """Serve until the other side goes away."""
        try:
            while data := await self._reader.read(_PIECE):
                for event in self._h2.receive_data(data):
                    self._on(event)
                self._flush()
        except (ProtocolError, ConnectionError):
            pass  # as if it had gone away
        finally:
            self._closed = True
            for call in list(self._calls.values()):
                call.fail(Unavailable("the client has gone"))
            calls = (call.task for call in self._calls.values() if call.task is not None)
            try:
                await to_the_end(asyncio.gather(*calls, return_exceptions=True))
            finally:
                self._writer.close()

    def _on(self, event: events.Event) -> None:
        match event:
            case events.RequestReceived():
                self._begun(event)
            case events.ResponseReceived() | events.InformationalResponseReceived():
                pass
            case events.DataReceived():
                if (call := self._calls.get(event.stream_id)) is not None:
                    call.feed(event.data, event.flow_controlled_length)
                else:
                    self.acknowledge(event.stream_id, event.flow_controlled_length)
            case events.TrailersReceived():
                if (call := self._calls.get(event.stream_id)) is not None:
                    call.finish(dict(_texts(event.headers)))
            case events.StreamEnded():
                if (call := self._calls.get(event.stream_id)) is not None:
                    call.finish()
            case events.StreamReset():
                if (call := self._calls.pop(event.stream_id, None)) is not None:
                    call.fail(Unavailable("the client gave the call up"))
            case events.WindowUpdated() | events.RemoteSettingsChanged():
                for call in self._calls.values():
                    call.window.set()
            case _:
                pass

    def _begun(self, event: events.RequestReceived) -> None:
        assert self._handler is not None
        headers: dict[str, str] = {}
        for name, value in _texts(event.headers):
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        call = self._calls[event.stream_id] = Call(self, event.stream_id, headers)
        call.task = asyncio.create_task(self._serve(call, self._handler), name=f"grpc {call.path}")

    async def _serve(self, call: Call, handler: Handler) -> None:
        try:
            await handler(call)
            call.end()
        except RemoteError as error:
            call.end(error.code, str(error))
        except (NakaginError, OSError) as error:
            call.end(UNKNOWN, str(error))
        finally:
            self._calls.pop(call.id, None)

    # --- Calling

    async def call(self, path: str, metadata: Sequence[tuple[str, str]] = ()) -> Call:
        """Begin a call. Raises Unavailable."""
        if self._closed:
            raise Unavailable("the client has gone")
        id = self._h2.get_next_available_stream_id()
        call = self._calls[id] = Call(self, id, {":path": path})
        headers = [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
            ("te", "trailers"), ("content-type", "application/grpc"), *metadata,
        ]  # fmt: skip
        self.send_headers(id, headers)
        return call

    async def unary(self, path: str, request: bytes, metadata: Sequence[tuple[str, str]] = ()) -> bytes:
        """One message there, one back. Raises RemoteError, Unavailable."""
        call = await self.call(path, metadata)
        try:
            await call.send(request)
            call.end_sending()
            answer = await call.receive()
            if answer is None:
                raise Damaged(f"{path}: the client gave no answer")
            return answer
        finally:
            self._calls.pop(call.id, None)

    # --- Writing

    def send_headers(self, id: int, headers: Sequence[tuple[str, str]], *, end: bool = False) -> None:
        if self._closed:
            return
        with contextlib.suppress(ProtocolError):  # the stream was reset meanwhile
            self._h2.send_headers(id, list(headers), end_stream=end)
        self._flush()

    def end_stream(self, id: int) -> None:
        with contextlib.suppress(ProtocolError):
            self._h2.end_stream(id)
        self._flush()

    def reset(self, id: int) -> None:
        self._calls.pop(id, None)
        with contextlib.suppress(ProtocolError):
            self._h2.reset_stream(id, 8)
        self._flush()

    async def send_data(self, call: Call, data: bytes) -> None:
        """As the windows allow. Raises Unavailable."""
        view = memoryview(data)
        while view:
            if self._closed or call.id not in self._calls:
                raise Unavailable("the client has gone")
            try:
                room = min(self._h2.local_flow_control_window(call.id), self._h2.max_outbound_frame_size)
                if room:
                    self._h2.send_data(call.id, bytes(view[:room]))
                    view = view[room:]
                    self._flush()
                    await self._writer.drain()
                    continue
            except ProtocolError:
                raise Unavailable("the client gave the call up") from None
            except ConnectionError:
                raise Unavailable("the client has gone") from None
            call.window.clear()
            await call.window.wait()

    def acknowledge(self, id: int, flow: int) -> None:
        """So many bytes have been taken: others may come."""
        if flow and not self._closed:
            with contextlib.suppress(ProtocolError):
                self._h2.acknowledge_received_data(flow, id)
            self._flush()

    def _flush(self) -> None:
        if (data := self._h2.data_to_send()) and not self._writer.is_closing():
            self._writer.write(data)


def _texts(headers: Iterable[tuple[bytes | str, bytes | str]]) -> list[tuple[str, str]]:
    return [
        (
            name if isinstance(name, str) else name.decode(),
            value if isinstance(value, str) else value.decode(),
        )
        for name, value in headers
    ]
