"""Syslog and the journal, spoken to over real sockets; logs that never wait."""

from __future__ import annotations

import array
import os
import re
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from nakagin.monitor.logfile import make
from nakagin.monitor.logreader import Reader
from nakagin.monitor.logsink import Ring, open_sink
from tests.engine_fixture import await_until

SYSLOG = {"driver": "syslog", "facility": 3, "form": "", "tag": "web", "hostname": "host"}


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(tmp_path / "log.sock"))
    sock.settimeout(10)
    yield sock
    sock.close()


def forwarded(tmp_path: Path, forward: Mapping[str, object], **more: object) -> dict[str, object]:
    address = ["unixgram", str(tmp_path / "log.sock")]
    return {
        "driver": "none",
        "path": str(tmp_path / "log"),
        "forward": {"address": address, **forward},
        **more,
    }


def told(path: Path) -> list[bytes]:
    reader = Reader(str(path))
    try:
        return [entry.data for entry in reader]
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("form", "head"),
    [
        ("", rb"<30>\w{3} [ \d]\d \d\d:\d\d:\d\d web\[\d+\]: "),
        ("rfc3164", rb"<30>\w{3} [ \d]\d \d\d:\d\d:\d\d host web\[\d+\]: "),
        ("rfc5424", rb"<30>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ host web \d+ web - "),
        ("rfc5424micro", rb"<30>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z host web \d+ web - "),
    ],
)
def test_syslog(tmp_path: Path, listener: socket.socket, form: str, head: bytes) -> None:
    sink = open_sink(forwarded(tmp_path, {**SYSLOG, "form": form}))
    assert sink is not None
    sink.write("stdout", b"one\ntw")
    sink.write("stdout", b"o\nrest")
    sink.close()
    lines = [listener.recv(65536) for _ in range(3)]
    for line, text in zip(lines, (b"one", b"two", b"rest"), strict=True):
        assert re.fullmatch(head + text, line), line


def test_standard_error_is_an_error(tmp_path: Path, listener: socket.socket) -> None:
    sink = open_sink(forwarded(tmp_path, SYSLOG))
    assert sink is not None
    sink.write("stderr", b"oh\n")
    sink.close()
    assert listener.recv(65536).startswith(b"<27>")


def test_syslog_over_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink = open_sink(
            {"driver": "none", "forward": {**SYSLOG, "address": ["tcp", list(server.getsockname())]}}
        )
        assert sink is not None
        sink.write("stdout", b"one\ntwo\n")
        connection, _ = server.accept()
        sink.close()
        with connection, connection.makefile("rb") as file:
            assert [line.rpartition(b": ")[2] for line in file] == [b"one\n", b"two\n"]


def test_a_missing_peer_loses_lines_not_the_container(tmp_path: Path) -> None:
    make(str(tmp_path / "log"))
    wanted = forwarded(tmp_path, SYSLOG) | {"driver": "json-file", "max_size": 0, "max_file": 1}
    sink = open_sink(wanted)
    assert sink is not None
    sink.write("stdout", b"kept\n")
    sink.close()
    assert told(tmp_path / "log") == [b"kept\n"]


def test_journal(tmp_path: Path, listener: socket.socket) -> None:
    forward = {"driver": "journald", "path": str(tmp_path / "log.sock"), "fields": {"CONTAINER_NAME": "web"}}
    sink = open_sink(forwarded(tmp_path, forward))
    assert sink is not None
    sink.write("stderr", b"oh\n")
    assert listener.recv(65536) == b"CONTAINER_NAME=web\nPRIORITY=3\nMESSAGE=oh\n"
    sink.close()


def test_a_long_journal_field_goes_as_a_file(tmp_path: Path, listener: socket.socket) -> None:
    long = "l\n" * 200_000
    forward = {"driver": "journald", "path": str(tmp_path / "log.sock"), "fields": {"LABEL": long}}
    sink = open_sink(forwarded(tmp_path, forward))
    assert sink is not None
    sink.write("stdout", b"x\n")
    sink.close()
    data, ancillary, *_ = listener.recvmsg(65536, socket.CMSG_SPACE(4))
    fd = array.array("i", ancillary[0][2])[0]
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        entry = data + file.read()
    assert entry == b"LABEL\n" + struct.pack("<Q", len(long)) + long.encode() + b"\nPRIORITY=6\nMESSAGE=x\n"


class Slow:
    """A sink that waits for permission."""

    def __init__(self) -> None:
        self.allowed = threading.Event()
        self.busy = threading.Event()
        self.written: list[bytes] = []

    def write(self, stream: str, data: bytes) -> None:
        self.busy.set()
        assert self.allowed.wait(10)
        self.written.append(data)

    def clear(self) -> None:
        self.written.clear()

    def close(self) -> None:
        self.written.append(b"closed")


def test_non_blocking_drops_and_tells() -> None:
    slow = Slow()
    ring = Ring(slow, 10)
    ring.write("stdout", b"first")
    assert slow.busy.wait(10)
    for _ in range(3):  # nothing of this waits
        ring.write("stdout", b"12345678")
    slow.allowed.set()
    await_until(lambda: len(slow.written) == 3, "the rest to be written")
    ring.close()
    assert slow.written[:2] == [b"first", b"12345678"]
    assert b"16 bytes were lost here" in slow.written[2]
    assert slow.written[-1] == b"closed"


def test_non_blocking_keeps_order_and_everything_it_has_room_for(tmp_path: Path) -> None:
    make(str(tmp_path / "log"))
    sink = open_sink(
        {
            "driver": "json-file",
            "path": str(tmp_path / "log"),
            "max_size": 0,
            "max_file": 1,
            "buffer": 1 << 20,
        }
    )
    assert sink is not None
    sink.write("stdout", b"gone\n")
    sink.clear()
    for number in range(2000):
        sink.write("stdout", b"%d\n" % number)
    sink.close()
    assert told(tmp_path / "log") == [b"%d\n" % number for number in range(2000)]
