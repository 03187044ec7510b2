"""The door for the administrator: a unix socket in the registry's root, for what must run where the leases are.

One request and one answer per connection, each a JSON line: {"collect": {"dry_run": false}} → a Report.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import Self

import msgspec

from nakagin.errors import NakaginError, Unavailable
from nakagin.registry.server.collect import Collector, Report

_NAME = "control"
_LONGEST = 4096


class Request(msgspec.Struct):
    """What may be asked for."""

    dry_run: bool = False


class Control:
    """Listens while it is entered."""

    def __init__(self, root: str, collector: Collector) -> None:
        self._root = root
        self._collector = collector
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        path = os.path.join(self._root, _NAME)
        with suppress(FileNotFoundError):
            os.unlink(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _Short(self._root) as folder:
            listening.bind(f"{folder}/{_NAME}")
        os.chmod(path, 0o600)
        self._server = await asyncio.start_unix_server(self._answer, sock=listening, limit=_LONGEST)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self._root, _NAME))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = msgspec.json.decode(await reader.readline(), type=Request)
            report = await self._collector.run(dry_run=request.dry_run)
            writer.write(msgspec.json.encode(report) + b"\n")
            await writer.drain()
        except (msgspec.DecodeError, ValueError, ConnectionError, NakaginError):
            pass  # whoever asked has gone, or is none of ours
        finally:
            writer.close()


class _Short:
    """A folder under a short name: the path of a socket has at most 107 bytes (unix(7))."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._fd = -1

    def __enter__(self) -> str:
        self._fd = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._fd}"

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def ask(root: str, request: Request) -> Report:
    """Let the registry that serves `root` collect. Blocking. Raises Unavailable where it does not answer."""
    try:
        with socket.socket(socket.AF_UNIX) as connection, _Short(root) as folder:
            connection.connect(f"{folder}/{_NAME}")
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as stream:
                return msgspec.json.decode(stream.read(), type=Report)
    except (OSError, msgspec.DecodeError) as error:
        raise Unavailable(f"the registry that serves {root} does not answer: {error}") from None
