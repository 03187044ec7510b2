"""What containers say: drivers, bounds, clearing, searching, and many who listen at once."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine, await_until
from tests.spine.observe import inspect

pytestmark = pytest.mark.root


@pytest.fixture
def syslog(engine: ScratchEngine, name: str) -> Iterator[tuple[str, socket.socket]]:
    path = engine.root / f"{name}.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(20)
        yield f"unixgram://{path}", sock
    path.unlink()


def test_syslog_gets_every_line_and_logs_still_reads(
    engine: ScratchEngine, name: str, syslog: tuple[str, socket.socket]
) -> None:
    address, sock = syslog
    engine.docker(
        "run", "-d", "--name", name, "--log-driver", "syslog", "--log-opt", f"syslog-address={address}",
        "--log-opt", "tag={{.Name}}", "--log-opt", "syslog-facility=local0", "busybox", "sh", "-c",
        "echo one; echo two >&2",
    )  # fmt: skip
    lines = sorted(sock.recv(4096).decode() for _ in range(2))
    assert [line.rpartition(": ")[2] for line in lines] == ["two", "one"]
    assert [line[:5] for line in lines] == ["<131>", "<134>"]
    assert f" {name}[" in lines[0]
    engine.docker("wait", name)
    done = engine.docker("logs", name)
    assert (done.stdout, done.stderr) == ("one\n", "two\n")


def test_what_the_options_choose_stands_in_the_file_and_in_details(engine: ScratchEngine, name: str) -> None:
    engine.docker(
        "run", "--name", name, "--log-opt", "labels=app", "--log-opt", "env-regex=^RE", "--log-opt", "tag={{.Name}}",
        "-l", "app=a b", "-l", "other=x", "-e", "REGION=eu", "busybox", "echo", "hi",
    )  # fmt: skip
    assert engine.docker("logs", "--details", name).stdout == f"REGION=eu,app=a+b,tag={name} hi\n"
    stored = json.loads(Path(inspect(engine, name, "{{.LogPath}}")).read_text())
    assert stored["attrs"] == {"REGION": "eu", "app": "a b", "tag": name}


def test_a_compressed_log_is_read_whole(engine: ScratchEngine, name: str) -> None:
    options = ("--log-opt", "max-size=20k", "--log-opt", "max-file=50", "--log-opt", "compress=true")
    engine.docker(
        "run", "--name", name, *options, "busybox", "sh", "-c", "for i in $(seq 2000); do echo $i; done"
    )
    path = Path(inspect(engine, name, "{{.LogPath}}"))
    assert list(path.parent.glob("*.gz"))
    assert engine.docker("logs", name).stdout.split() == [str(number) for number in range(1, 2001)]
    assert engine.docker("logs", "-n", "1500", name).stdout.split()[0] == "501"


def test_clearing_while_it_is_followed(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "-d", "--name", name, "-i", "busybox", "cat")
    attached = subprocess.Popen(
        engine.docker_argv("attach", name), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=engine.environment()
    )  # fmt: skip
    followed = subprocess.Popen(
        engine.docker_argv("logs", "-f", name), stdout=subprocess.PIPE, env=engine.environment(), text=True
    )  # fmt: skip
    assert attached.stdin is not None
    assert followed.stdout is not None
    try:
        attached.stdin.write(b"before\n")
        attached.stdin.flush()
        assert followed.stdout.readline() == "before\n"
        engine.nakagin("logs", "--clear", name)
        assert engine.docker("logs", name).stdout == ""
        attached.stdin.write(b"after\n")
        attached.stdin.flush()
        assert followed.stdout.readline() == "after\n"
        assert engine.docker("logs", name).stdout == "after\n"
        attached.stdin.close()
        engine.docker("kill", name)
        assert followed.stdout.read() == ""
        assert followed.wait(20) == 0
    finally:
        for process in (attached, followed):
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
    engine.nakagin("logs", "--clear", name)  # one that has ended
    assert engine.docker("logs", name).stdout == ""


def test_grep_finds_lines_and_tail_counts_the_found_ones(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "--name", name, "busybox", "seq", "1", "100")
    assert engine.nakagin("logs", "--grep", "^.?7$", name).stdout.split() == [
        "7", "17", "27", "37", "47", "57", "67", "77", "87", "97",
    ]  # fmt: skip
    assert engine.nakagin("logs", "--grep", "7$", "--tail", "2", name).stdout == "87\n97\n"
    assert "invalid argument" in engine.nakagin("logs", "--grep", "(", name, check=1).stderr


def test_no_log_cannot_be_read(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "--name", name, "--log-driver", "none", "busybox", "echo", "hi")
    assert "does not support reading" in engine.docker("logs", name, check=1).stderr
    assert "--log-driver none" in engine.nakagin("logs", "--clear", name, check=1).stderr


def test_a_hundred_lines_reach_two_hundred_who_follow(engine: ScratchEngine, name: str) -> None:
    """Two hundred followed logs at once over bare sockets: each gets every line, and all end with the container.

    A user may have 128 inotify instances, and who follows a log must not need one.
    """
    script = "until test -e /go; do sleep 0.05; done; seq 100"
    engine.docker("run", "-d", "--name", name, "busybox", "sh", "-c", script)
    request = f"GET /v1.50/containers/{name}/logs?stdout=1&follow=1 HTTP/1.0\r\n\r\n".encode()
    sockets: list[socket.socket] = []
    try:
        for _ in range(200):
            sock = socket.socket(socket.AF_UNIX)
            sockets.append(sock)
            sock.settimeout(60)
            sock.connect(str(engine.socket))
            sock.sendall(request)
        for sock in sockets:  # the head: it follows
            assert sock.recv(12, socket.MSG_WAITALL) == b"HTTP/1.0 200"
        engine.docker("exec", name, "touch", "/go")
        for sock in sockets:
            with sock.makefile("rb") as file:
                body = file.read()
            assert body.count(b"\n") >= 100
            assert body.rstrip().endswith(b"100")
    finally:
        for sock in sockets:
            sock.close()
    await_until(lambda: engine.docker("ps", "-q", "-f", f"name={name}").stdout == "", "the end")
