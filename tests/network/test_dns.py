from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.network.sandbox import in_namespace

from nakagin.network import dns

QUERY = b"\x12\x34\x01\x00\0\1\0\0\0\0\0\0\x03wWw\x07example\0\0\1\0\1"


def answer(query: bytes, code: int = 0, payload: bytes = b"") -> bytes:
    return query[:2] + b"\x81" + bytes([0x80 | code]) + query[4:6] + bytes(6) + query[12:] + payload


def test_the_question_is_found_and_compared_without_case() -> None:
    assert dns.question_of(QUERY) == b"\x03www\x07example\0\0\1\0\1"
    assert dns.answers(QUERY, answer(QUERY.replace(b"wWw", b"www")))
    assert not dns.answers(QUERY, QUERY)
    assert not dns.answers(QUERY, b"\0\0" + answer(QUERY)[2:])
    assert not dns.answers(QUERY, answer(QUERY.replace(b"wWw", b"ftp")))
    assert dns.failure(QUERY)[2:4] == b"\x81\x82"


@pytest.mark.parametrize("end", range(len(QUERY)))
def test_cut_messages_are_no_questions(end: int) -> None:
    assert dns.question_of(QUERY[:end]) == b""


class Upstream:
    """A DNS server on a loopback address, UDP and TCP, that answers as `reply` says (None: never)."""

    def __init__(self, address: str, reply: Callable[[bytes], bytes | None]) -> None:
        self._reply = reply
        self.asked = 0
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((address, 53))
        streams = socket.create_server((address, 53))
        threading.Thread(target=self._answer, args=(datagrams,), daemon=True).start()
        threading.Thread(target=self._converse, args=(streams,), daemon=True).start()

    def _answer(self, bound: socket.socket) -> None:
        while True:
            query, client = bound.recvfrom(4096)
            self.asked += 1
            reply = self._reply(query)
            if reply is not None:
                bound.sendto(b"\0\0" + reply[2:], client)  # a forgery first: its id is wrong
                bound.sendto(reply, client)

    def _converse(self, listener: socket.socket) -> None:
        while True:
            with listener.accept()[0] as client:
                query = client.recv(4096)[2:]
                reply = self._reply(query)
                if reply is not None:
                    reply = reply + bytes(1000)
                    client.sendall(struct.pack("!H", len(reply)) + reply)


async def ask(query: bytes, port: int) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as client:
        client.connect(("127.0.0.1", port))
        await loop.sock_sendall(client, query)
        async with asyncio.timeout(10):
            return await loop.sock_recv(client, 4096)


async def ask_by_stream(query: bytes, port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(struct.pack("!H", len(query)) + query)
    async with asyncio.timeout(10):
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        reply = await reader.readexactly(length)
    writer.close()
    return reply


@pytest.mark.root
@in_namespace
def test_the_first_useful_answer_is_passed_on(tmp_path: Path) -> None:
    asyncio.run(_forward(tmp_path / "resolv.conf"))


async def _forward(resolver: Path) -> None:
    Upstream("127.0.0.11", lambda query: None)
    Upstream("127.0.0.12", lambda query: answer(query, code=2))
    good = Upstream("127.0.0.13", lambda query: answer(query, payload=b"good"))
    resolver.write_text("".join(f"nameserver 127.0.0.{last}\n" for last in (11, 12, 13)))
    forwarder = dns.Forwarder("127.0.0.1", 5353, resolver=str(resolver))
    serving = asyncio.create_task(forwarder.serve())
    await asyncio.sleep(0.01)
    assert await ask(QUERY, 5353) == answer(QUERY, payload=b"good")
    assert await ask_by_stream(QUERY, 5353) == answer(QUERY, payload=b"good") + bytes(1000)
    replies = await asyncio.gather(*(ask(bytes([0, n]) + QUERY[2:], 5353) for n in range(100)))
    assert [reply[:2] for reply in replies] == [bytes([0, n]) for n in range(100)]
    assert good.asked >= 101
    # the host's resolv.conf changes: only a refusing server is left, then none at all
    resolver.write_text("nameserver 127.0.0.12\n")
    assert (await ask(QUERY, 5353))[3] & 0xF == 2
    resolver.write_text("# nobody is left now\n")
    assert await ask(QUERY, 5353) == dns.failure(QUERY)
    assert forwarder.failures >= 2
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
