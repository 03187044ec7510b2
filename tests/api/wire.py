"""The client's side of HTTP, by hand: tests see every byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

DEADLINE = 5.0


class Reply(NamedTuple):
    """An answer: status, headers with lower-case names, and the whole body where it has a length."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        extra: bytes = b"",
    ) -> None:
        """Write a request; `extra` goes out in the same piece."""
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: nakagin"]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + data + extra)

    async def head(self) -> Reply:
        """The head of an answer; the body stays unread."""
        async with asyncio.timeout(DEADLINE):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode().split("\r\n")[:-2]
        pairs = (line.partition(": ") for line in lines)
        return Reply(int(first.split()[1]), {name.lower(): value for name, _, value in pairs}, b"")

    async def reply(self) -> Reply:
        """A whole answer."""
        reply = await self.head()
        async with asyncio.timeout(DEADLINE):
            if "content-length" in reply.headers:
                body = await self.reader.readexactly(int(reply.headers["content-length"]))
            elif reply.headers.get("transfer-encoding") == "chunked":
                body = b""
                while chunk := await self.chunk():
                    body += chunk
            else:
                body = b""
        return reply._replace(body=body)

    async def chunk(self) -> bytes:
        """The next chunk of a chunked body; b"" at its end."""
        async with asyncio.timeout(DEADLINE):
            size = int(await self.reader.readline(), 16)
            data = await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        return data

    async def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a request and read its answer."""
        self.send(method, path, body, headers)
        return await self.reply()

    async def read(self, count: int) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.readexactly(count)

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read(-1)

    def close(self) -> None:
        self.writer.close()
