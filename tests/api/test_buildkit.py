"""BuildKit's wire: messages, HTTP/2 in both directions, the transfer of files."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nakagin.api.buildkit import files
from nakagin.api.buildkit.http2 import UNKNOWN, Call, Connection, RemoteError
from nakagin.api.buildkit.protobuf import Message, encode, entries, moment, present
from nakagin.build.context import Context
from nakagin.build.kept import KeptContexts
from nakagin.build.stack import Stack
from nakagin.build.tree import Item, walk
from nakagin.errors import Damaged, Invalid, Unavailable
from nakagin.storage.tarread import DIRECTORY, Entry

_TOP = Item(b"", Entry(b"", DIRECTORY, 0o755))


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.text(), st.binary(), st.dictionaries(st.text(), st.text()))
def test_messages_come_back_as_they_were(number: int, text: str, data: bytes, pairs: dict[str, str]) -> None:
    message = Message(
        encode([(1, number), (2, text), (3, data)]) + entries(4, pairs) + moment(5, 1_500_000_007)
    )
    assert message.number(1) == number
    assert message.data(2) == text.encode()
    assert message.data(3) == data
    assert message.map(4) == pairs
    assert (message.message(5).number(1), message.message(5).number(2)) == (1, 500_000_007)


@given(st.binary())
def test_nonsense_is_damaged_or_read(data: bytes) -> None:
    try:
        Message(data).number(1)
    except Damaged:
        return


def test_known_bytes() -> None:
    """protobuf.dev/programming-guides/encoding: the guide's own examples."""
    assert encode([(1, 150)]) == bytes.fromhex("089601")
    assert encode([(2, "testing")]) == bytes.fromhex("120774657374696e67")
    assert Message(bytes.fromhex("1a03089601")).message(3).number(1) == 150
    assert present(1, b"") == b"\x0a\x00"


# --- HTTP/2


class Pair:
    """A caller and a server on the two ends of a socket pair."""

    def __init__(self) -> None:
        self.server_calls: list[Call] = []

    async def __aenter__(self) -> Connection:
        ours, theirs = socket.socketpair()
        self._server = Connection(*await asyncio.open_connection(sock=theirs), self._serve)
        self._client = Connection(*await asyncio.open_connection(sock=ours))
        self._tasks = [asyncio.create_task(each.run()) for each in (self._server, self._client)]
        return self._client

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, call: Call) -> None:
        self.server_calls.append(call)
        if call.path == "/fail":
            raise Invalid("ünfit: 100 %")
        if call.path == "/hang":
            await asyncio.sleep(3600)
        while (data := await call.receive()) is not None:
            await call.send(data[::-1])


async def test_calls_carry_messages_of_any_size_at_once() -> None:
    async with Pair() as client:

        async def echo(size: int) -> None:
            data = os.urandom(size)
            assert await client.unary("/echo", data, [("some-header", "x")]) == data[::-1]

        await asyncio.gather(*(echo(size) for size in (0, 1, 70_000, 3 << 20, 5 << 20)))


async def test_errors_come_as_statuses() -> None:
    async with Pair() as client:
        with pytest.raises(RemoteError) as caught:
            await client.unary("/fail", b"")
    assert (caught.value.code, str(caught.value)) == (UNKNOWN, "ünfit: 100 %")


async def test_a_peer_that_goes_away_ends_calls() -> None:
    pair = Pair()
    client = await pair.__aenter__()
    hanging = asyncio.create_task(client.unary("/hang", b""))
    while not pair.server_calls:
        await asyncio.sleep(0)
    await pair.__aexit__()
    with pytest.raises(Unavailable):
        await hanging
    with pytest.raises(Unavailable):
        await client.unary("/echo", b"")


# --- Files


async def transferred(sent: Stack, folder: Path, kept: KeptContexts | None = None) -> Context:
    """What arrives of a tree."""
    ours, theirs = socket.socketpair()

    async def serve(call: Call) -> None:
        await files.send(call, sent, _TOP)

    server = Connection(*await asyncio.open_connection(sock=theirs), serve)
    client = Connection(*await asyncio.open_connection(sock=ours))
    tasks = [asyncio.create_task(each.run()) for each in (server, client)]
    try:
        return await files.receive(await client.call("/DiffCopy"), str(folder), kept, "key")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Counting(Stack):
    """Knows what was read of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__((str(folder),))
        self.read: list[bytes] = []

    def chunks(self, item: Item) -> Iterator[bytes]:
        self.read.append(item.path)
        return super().chunks(item)


async def test_only_what_changed_is_sent_again(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b", "c"):
        (source / name).write_text(f"first {name}")
    kept = KeptContexts(str(tmp_path / "root"))
    (await transferred(Counting(source), tmp_path, kept)).close()
    (source / "b").write_text("later b")
    (source / "c").unlink()
    (source / "d").write_text("new d")
    again = Counting(source)
    context = await transferred(again, tmp_path, kept)
    assert again.read == [b"b", b"d"]
    assert context.paths() == [b"a", b"b", b"d"]
    texts = [context.text(path) for path in (b"a", b"b", b"d")]
    assert texts == ["first a", "later b", "new d"]
    assert context.digest(Item(b"b", Entry(b""))) == hashlib.sha256(b"later b").hexdigest()
    context.close()


async def test_a_folder_arrives_as_it_is(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "f").write_bytes(os.urandom(100_000))
    (source / "deep" / "f").chmod(0o4751)
    (source / "empty").write_bytes(b"")
    (source / "link").symlink_to("deep/f")
    os.mkfifo(source / "pipe")
    sent = Stack((str(source),))
    context = await transferred(sent, tmp_path)
    try:
        for item in walk(sent, _TOP):
            there = context.look(item.path)
            assert there is not None, item.path
            for name in ("type", "mode", "size", "linkname", "uid", "gid", "mtime_ns"):
                assert getattr(there.entry, name) == getattr(item.entry, name), (item.path, name)
        found = context.look(b"deep/f")
        assert found is not None
        assert b"".join(context.chunks(found)) == (source / "deep" / "f").read_bytes()
        assert context.digest(found) == sent.digest(
            Item(b"deep/f", found.entry, str(source / "deep/f").encode())
        )
    finally:
        context.close()
