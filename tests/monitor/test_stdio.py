"""Output reaches log and clients whole, slow clients hold the process back, input ends as it should."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from nakagin.kernel.loop import Loop
from nakagin.monitor.logfile import Writer, make
from nakagin.monitor.logreader import Reader
from nakagin.monitor.stdio import LAG, STDERR, STDOUT, Stdio


class Rig:
    """A Stdio between three pipes, as a monitor makes it."""

    def __init__(self, log: Path, *, stdin_once: bool = True) -> None:
        self.loop = Loop()
        self.stdin, ours_in = os.pipe()
        ours_out, self.stdout = os.pipe()
        ours_err, self.stderr = os.pipe()
        self.log_path = str(log)
        self._clients: list[socket.socket] = []
        self._open = {self.stdin, self.stdout, self.stderr}
        make(self.log_path)
        self.log = Writer(self.log_path)
        self.stdio = Stdio(
            self.loop,
            outputs={ours_out: STDOUT, ours_err: STDERR},
            stdin=ours_in,
            tty=False,
            stdin_once=stdin_once,
            log=self.log,
        )

    def attach(self, **channels: bool) -> socket.socket:
        client, ours = socket.socketpair()
        wanted = {"stdin": False, "stdout": True, "stderr": True} | channels
        self.stdio.attach(ours.detach(), **wanted)
        client.setblocking(False)
        self._clients.append(client)
        return client

    def settle(self) -> None:
        for _ in range(50):
            self.loop.turn(0)

    def close_outputs(self) -> None:
        for fd in (self.stdout, self.stderr):
            os.close(fd)
            self._open.remove(fd)
        self.settle()

    def close(self) -> None:
        self.stdio.drain()
        for client in self._clients:
            client.close()
        self.settle()
        for fd in self._open:
            os.close(fd)
        self.log.close()
        self.loop.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "log")
    yield made
    made.close()


def frame(channel: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", channel, len(data)) + data


def test_both_channels_reach_client_and_log(rig: Rig) -> None:
    client = rig.attach()
    os.write(rig.stdout, b"out\n")
    rig.settle()
    os.write(rig.stderr, b"err\n")
    rig.settle()
    assert client.recv(100) == frame(1, b"out\n") + frame(2, b"err\n")
    rig.close_outputs()
    assert client.recv(100) == b""
    assert rig.stdio.idle
    reader = Reader(rig.log_path)
    assert [(e.stream, e.data) for e in reader] == [("stdout", b"out\n"), ("stderr", b"err\n")]
    reader.close()


def test_a_client_gets_only_the_channels_it_asked_for(rig: Rig) -> None:
    client = rig.attach(stdout=False)
    os.write(rig.stdout, b"out\n")
    os.write(rig.stderr, b"err\n")
    rig.settle()
    assert client.recv(100) == frame(2, b"err\n")


def test_a_slow_client_holds_the_process_back_and_loses_nothing(rig: Rig) -> None:
    client = rig.attach()
    os.set_blocking(rig.stdout, False)
    written = 0
    while True:
        try:
            written += os.write(rig.stdout, b"x" * 4096)
        except BlockingIOError:
            before = written
            rig.settle()
            try:
                written += os.write(rig.stdout, b"x" * 4096)
            except BlockingIOError:
                break
            assert written > before
    assert LAG < written < 4 * LAG
    received = b""
    while received.count(b"x") < written:
        rig.settle()
        received += client.recv(1 << 20)
    assert received.count(b"x") == written


def test_a_client_that_goes_away_frees_the_process(rig: Rig) -> None:
    client = rig.attach()
    os.set_blocking(rig.stdout, False)
    total = 0
    while total < 2 * LAG:
        try:
            total += os.write(rig.stdout, b"x" * 4096)
        except BlockingIOError:
            rig.settle()
            if len(rig.stdio._clients) and not _writable(rig.stdout):
                break
    client.close()
    rig.settle()
    assert os.write(rig.stdout, b"more\n") == 5


def _writable(fd: int) -> bool:
    try:
        return os.write(fd, b"x") > 0
    except BlockingIOError:
        return False


def test_input_arrives_and_its_end_closes_stdin_once(rig: Rig) -> None:
    client = rig.attach(stdin=True)
    client.sendall(b"hello")
    client.shutdown(socket.SHUT_WR)
    rig.settle()
    assert os.read(rig.stdin, 100) == b"hello"
    assert os.read(rig.stdin, 100) == b""
    os.write(rig.stdout, b"after\n")
    rig.settle()
    assert client.recv(100) == frame(1, b"after\n")


def test_stdin_stays_open_for_the_next_client_without_stdin_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "log", stdin_once=False)
    first = rig.attach(stdin=True)
    first.sendall(b"one")
    first.close()
    rig.settle()
    second = rig.attach(stdin=True)
    second.sendall(b"two")
    rig.settle()
    assert os.read(rig.stdin, 100) == b"onetwo"
    rig.close()


def test_a_process_that_ignores_its_input_is_not_fed_without_bound(rig: Rig) -> None:
    client = rig.attach(stdin=True)
    sent = 0
    with pytest.raises(BlockingIOError):
        while sent < 64 << 20:
            try:
                sent += client.send(b"x" * 65536)
            except BlockingIOError:
                rig.settle()
                sent += client.send(b"x" * 65536)
    assert sent < 4 << 20


def test_drain_takes_what_is_left_though_a_writer_still_lives(rig: Rig) -> None:
    client = rig.attach()
    os.write(rig.stdout, b"last\n")
    rig.stdio.drain()
    assert client.recv(100) == frame(1, b"last\n")
    assert rig.stdio.idle
