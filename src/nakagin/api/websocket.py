"""attach/ws: a process's streams in WebSocket messages, for browsers: bytes as they are, without Docker's frames."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from nakagin.api.call import CHUNK, Call
from nakagin.api.detach import DetachKeys
from nakagin.containers.streams import Frames

if TYPE_CHECKING:
    from nakagin.containers.streams import Stream


async def over_websocket(call: Call, stream: Stream) -> web.WebSocketResponse:
    """Relay `stream` until the process's output or the client ends; output is sent as binary messages."""
    reader, writer = await asyncio.open_connection(sock=stream.socket)
    logged, live = (None, None) if stream.tty else (Frames(), Frames())
    try:
        socket = web.WebSocketResponse()
        call.begun = True
        await socket.prepare(call.request)
        if stream.backlog is not None:
            async for chunk in stream.backlog:
                await _send(socket, chunk, logged)
        keys = DetachKeys(stream.detach_keys) if stream.tty and stream.detach_keys else None
        async with asyncio.TaskGroup() as group:
            pump = group.create_task(_send_output(reader, socket, live))
            await _take_input(socket, writer, keys)
            pump.cancel()
        await socket.close()
        return socket
    finally:
        writer.close()


async def _send_output(
    reader: asyncio.StreamReader, socket: web.WebSocketResponse, frames: Frames | None
) -> None:
    while data := await reader.read(CHUNK):
        await _send(socket, data, frames)
    await socket.close()


async def _send(socket: web.WebSocketResponse, data: bytes, frames: Frames | None) -> None:
    if frames is not None:
        data = b"".join(piece for _, piece in frames.feed(data))
    if data:
        await socket.send_bytes(data)


async def _take_input(
    socket: web.WebSocketResponse, writer: asyncio.StreamWriter, keys: DetachKeys | None
) -> None:
    """Pass input on until the client closes, or the user presses the detach keys."""
    async for message in socket:
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            continue
        data = message.data.encode() if message.type is WSMsgType.TEXT else message.data
        detached = False
        if keys is not None:
            data, detached = keys.feed(data)
        writer.write(data)
        await writer.drain()
        if detached:
            return
