"""A DNS forwarder on a bridge's gateway, for hosts whose own servers listen on loopback only.

Asks all of the host's servers at once and passes on the first useful answer; UDP and TCP (RFC 1035,
RFC 7766). It reads no more of a message than id, flags and question. Runs in the engine, on asyncio.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import TYPE_CHECKING

from nakagin.network import names

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_PORT = 53
_TIMEOUT = 5.0  # seconds: what resolv.conf(5) gives a server
_IDLE = 30.0
_AT_MOST = 1000  # questions waiting at once; more are dropped, as a server under load does
_IP_FREEBIND = 15
_SERVFAIL, _REFUSED = 2, 5

Address = tuple[str, int]


def question_of(message: bytes) -> bytes:
    """The question section's first entry, in lower case; empty where the message is not one question."""
    if len(message) < 12 or message[4:6] != b"\0\1":
        return b""
    end = 12
    while end < len(message) and message[end]:
        if message[end] & 0xC0:
            return b""
        end += message[end] + 1
    end += 5
    return message[12:end].lower() if end <= len(message) else b""


def answers(query: bytes, reply: bytes) -> bool:
    """Whether `reply` is an answer to `query`: same id, marked as answer, same question."""
    return (
        len(reply) >= 12
        and reply[:2] == query[:2]
        and bool(reply[2] & 0x80)
        and (question_of(reply) == question_of(query) or reply[4:6] == b"\0\0")
    )


def is_useful(reply: bytes) -> bool:
    """Whether a reply settles the question ("no such name" does), so that no other server need be heard."""
    return len(reply) >= 12 and reply[3] & 0xF not in {_SERVFAIL, _REFUSED}


def failure(query: bytes) -> bytes:
    """The answer "server failure" to a query."""
    end = 12 + len(question_of(query))
    flags = bytes([0x80 | (query[2] & 0x79), 0x80 | _SERVFAIL])
    return query[:2] + flags + query[4:6] + bytes(6) + query[12:end]


class _Upstream(asyncio.DatagramProtocol):
    """One question to one server, from a port of its own (RFC 5452)."""

    def __init__(self, query: bytes, done: Callable[[bytes], None]) -> None:
        self._query = query
        self._done = done

    def datagram_received(self, data: bytes, addr: object) -> None:
        if answers(self._query, data):
            self._done(data)

    def error_received(self, exc: Exception) -> None:
        self._done(failure(self._query))


class _Server(asyncio.DatagramProtocol):
    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self.transport: asyncio.DatagramTransport | None = None

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if question_of(data):
            self._forwarder.begin(self._reply(data, addr))

    async def _reply(self, query: bytes, client: Address) -> None:
        reply = await self._forwarder.ask(query)
        if self.transport is not None:
            self.transport.sendto(reply, client)


class Forwarder:
    """Answers on `address`:53 for as long as `serve` runs."""

    def __init__(self, address: str, port: int = _PORT, *, resolver: str = names.RESOLVER) -> None:
        self.address = address
        self.port = port
        self.queries = 0
        self.failures = 0
        self._resolver = resolver
        self._read_at: tuple[int, int] = (0, 0)
        self._servers: tuple[str, ...] = ()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Answer until cancelled. Raises OSError where the port is taken."""
        loop = asyncio.get_running_loop()
        datagrams = _bound(self.address, self.port, socket.SOCK_DGRAM)
        transport, answering = await loop.create_datagram_endpoint(lambda: _Server(self), sock=datagrams)
        answering.transport = transport
        try:
            streams = _bound(self.address, self.port, socket.SOCK_STREAM)
            server = await asyncio.start_server(self._converse, sock=streams)
            async with server:
                await server.serve_forever()
        finally:
            transport.close()
            for task in self._tasks:
                task.cancel()

    def begin(self, work: Coroutine[object, object, None]) -> None:
        """Run one answer as a task of its own."""
        if len(self._tasks) >= _AT_MOST:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def servers(self) -> tuple[str, ...]:
        """The host's servers; read again whenever its resolv.conf has changed."""
        try:
            status = os.stat(self._resolver)
        except OSError:
            return self._servers
        if (status.st_mtime_ns, status.st_ino) != self._read_at:
            self._read_at = (status.st_mtime_ns, status.st_ino)
            with open(self._resolver, encoding="utf-8", errors="replace") as file:
                self._servers = names.parse_resolver(file.read()).servers
        return self._servers

    async def ask(self, query: bytes) -> bytes:
        """The first useful answer of all servers to a UDP query; else their failure, or our own after 5 s."""
        self.queries += 1
        # Our own id: a stranger that sees the container's query cannot forge the answer to ours.
        ours = os.urandom(2) + query[2:]
        loop = asyncio.get_running_loop()
        best: asyncio.Future[bytes] = loop.create_future()
        servers = self.servers()
        refusals: list[bytes] = []

        def done(reply: bytes) -> None:
            if best.done():
                return
            if is_useful(reply):
                best.set_result(reply)
                return
            refusals.append(reply)
            if len(refusals) >= len(servers):
                best.set_result(refusals[0])

        transports = []
        try:
            for each in servers:
                try:
                    transport, _ = await loop.create_datagram_endpoint(
                        lambda: _Upstream(ours, done), remote_addr=(each, _PORT)
                    )
                except OSError:
                    done(failure(ours))
                else:
                    transports.append(transport)
                    transport.sendto(ours)
            reply = await asyncio.wait_for(best, _TIMEOUT) if servers else failure(ours)
        except TimeoutError:
            reply = refusals[0] if refusals else failure(ours)
        finally:
            for transport in transports:
                transport.close()
        self.failures += not is_useful(reply)
        return query[:2] + reply[2:]

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP connection of a container: queries one after the other."""
        try:
            while True:
                async with asyncio.timeout(_IDLE):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    query = await reader.readexactly(length)
                if not question_of(query):
                    return
                reply = await self._ask_by_stream(query)
                writer.write(struct.pack("!H", len(reply)) + reply)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            return
        finally:
            writer.close()

    async def _ask_by_stream(self, query: bytes) -> bytes:
        """The first useful answer of all servers to a TCP query; else their failure, or our own."""
        self.queries += 1
        tasks = [asyncio.create_task(_converse_with(each, query)) for each in self.servers()]
        best = failure(query)
        try:
            for each in asyncio.as_completed(tasks):
                reply = await each
                if is_useful(reply):
                    return reply
                best = reply or best
        finally:
            for task in tasks:
                task.cancel()
        self.failures += 1
        return best


async def _converse_with(server: str, query: bytes) -> bytes:
    """One server's answer by TCP; empty where it has none."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            reader, writer = await asyncio.open_connection(server, _PORT)
            try:
                writer.write(struct.pack("!H", len(query)) + query)
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                reply = await reader.readexactly(length)
            finally:
                writer.close()
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        return b""
    return reply if answers(query, reply) else b""


def _bound(address: str, port: int, kind: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if kind == socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The bridge may be made anew while we serve.
        bound.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound
