"""A real terminal: size, resize, ctrl-C, detach keys, exit codes; by both command lines."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Iterator

import pytest
from tests.engine_fixture import ScratchEngine, await_until
from tests.spine.conftest import Cli
from tests.spine.observe import inspect

pytestmark = pytest.mark.root


class Terminal:
    """A program on a pseudo-terminal, as a person would use it."""

    def __init__(
        self, argv: list[str], environment: dict[str, str], rows: int = 33, columns: int = 111
    ) -> None:
        self.master, slave = pty.openpty()
        self.resize(33, 111)
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env={**environment, "TERM": "xterm"},
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self.seen = ""

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal another size; the kernel sends SIGWINCH."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        """Press keys, once the command line has the terminal in its raw mode: before, it would echo them itself."""
        await_until(lambda: not termios.tcgetattr(self.master)[3] & termios.ECHO, "the raw mode", 40)
        os.write(self.master, text.encode())

    def expect(self, pattern: str, seconds: float = 40) -> re.Match[str]:
        """Read until `pattern` is seen, and forget what came up to it."""
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.seen)):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} was not seen in {self.seen!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode(errors="replace")
                except OSError:  # EIO: the other side is closed
                    assert re.search(pattern, self.seen), f"closed without {pattern!r}: {self.seen!r}"
        self.seen = self.seen[match.end() :]
        return match

    def exit_code(self, seconds: float = 40) -> int:
        """Drain until the program has ended; its exit code."""
        await_until(lambda: self._drained(), "the end of the program", seconds)
        return self.process.wait()

    def _drained(self) -> bool:
        while select.select([self.master], [], [], 0)[0]:
            try:
                self.seen += os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                break
        return self.process.poll() is not None

    def close(self) -> None:
        """End the program where it still lives."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)


class Opener:
    """Opens terminals for one command line and closes them after the test."""

    def __init__(self, engine: ScratchEngine, which: str) -> None:
        self._argv = engine.docker_argv if which == "docker" else engine.nakagin_argv
        self._environment = engine.environment()
        self.open: list[Terminal] = []

    def __call__(self, *arguments: str) -> Terminal:
        self.open.append(Terminal(self._argv(*arguments), self._environment))
        return self.open[-1]


@pytest.fixture(params=["docker", "nakagin"])
def terminal(request: pytest.FixtureRequest, engine: ScratchEngine) -> Iterator[Opener]:
    opener = Opener(engine, request.param)
    yield opener
    for each in opener.open:
        each.close()


AWAIT_SIZE = 'while [ "$(stty size)" != "{}" ]; do sleep 0.1; done; stty size\n'
PROMPT = r"/ # (\x1b\[6n)?"  # busybox asks the terminal where its cursor is


def test_it_is_a_terminal_with_the_right_size(terminal: Opener) -> None:
    shell = terminal("run", "--rm", "-it", "busybox", "sh")
    shell.expect(PROMPT)
    shell.type("tty; stty size\n")
    shell.expect(r"/dev/pts/\d+\r\n33 111\r\n")
    shell.resize(44, 122)
    shell.type(AWAIT_SIZE.format("44 122"))
    shell.expect(r"44 122\r\n")
    shell.type("exit 7\n")
    assert shell.exit_code() == 7


def test_control_c_interrupts_the_program_and_not_the_shell(terminal: Opener) -> None:
    shell = terminal("run", "--rm", "-it", "busybox", "sh")
    shell.expect(PROMPT)
    shell.type("sleep 300\n")
    shell.expect("sleep 300\r\n")
    deadline = time.monotonic() + 40
    while True:  # the key may come before the program has the terminal
        shell.type("\x03")
        try:
            shell.expect(PROMPT, 0.5)
            break
        except AssertionError:
            assert time.monotonic() < deadline
    shell.type("echo code $?\n")
    shell.expect(r"code 130\r\n")
    shell.expect(PROMPT)  # a ^D before it is lost between the shell's two terminal modes
    shell.type("\x04")
    assert shell.exit_code() == 0


def test_detach_and_attach_again(terminal: Opener, engine: ScratchEngine, name: str) -> None:
    shell = terminal("run", "-it", "--name", name, "busybox", "sh")
    shell.expect(PROMPT)
    shell.type("kept=yes\n")
    shell.expect(PROMPT)
    shell.type("\x10")
    shell.type("\x11")
    assert shell.exit_code() == 0
    assert inspect(engine, name, "{{.State.Running}}") == "true"
    again = terminal("attach", "--detach-keys", "ctrl-a,x", name)
    again.type("\n")
    again.expect(PROMPT)
    again.type("echo $kept\n")
    again.expect(r"yes\r\n")
    again.type("\x01x")
    again.exit_code()
    assert inspect(engine, name, "{{.State.Running}}") == "true"


def test_detaching_is_an_event(engine: ScratchEngine, name: str) -> None:
    """The command lines find the keys themselves; a client of the API leaves that to the engine."""
    engine.docker("run", "-dit", "--name", name, "busybox", "sh")
    api = engine.client().api
    command = api.exec_create(name, ["sh"], stdin=True, tty=True)["Id"]
    detach(engine, f"/exec/{command}/start", b'{"Tty": true}')
    detach(engine, f"/containers/{name}/attach?stdin=1&stdout=1&stream=1", b"{}")

    def told() -> bool:
        heard = events_of(engine, name)
        return [heard.count(each) for each in ("exec_detach", "detach")] == [1, 1]

    await_until(told, "both events")
    assert api.exec_inspect(command)["Running"]


def detach(engine: ScratchEngine, path: str, body: bytes) -> None:
    """Begin a session, send the keys, and await its end."""
    with socket.socket(socket.AF_UNIX) as session:
        session.settimeout(20)
        session.connect(str(engine.socket))
        head = f"POST {path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        upgrade = "Connection: Upgrade\r\nUpgrade: tcp"
        session.sendall(f"{head}\r\n{upgrade}\r\n\r\n".encode() + body)
        assert b" 101 " in session.recv(4096)
        session.sendall(b"\x10\x11")
        while session.recv(4096):
            pass


def events_of(engine: ScratchEngine, name: str) -> list[str]:
    until = f"{time.time():.9f}"
    words = ("--since", "1m", "--until", until, "--filter", f"container={name}", "--format", "{{.Action}}")
    return engine.docker("events", *words).stdout.split()


def test_exec_has_a_terminal_of_its_own(terminal: Opener, engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "-d", "--name", name, "busybox", "sleep", "300")
    shell = terminal("exec", "-it", name, "sh")
    shell.expect(PROMPT)
    shell.type("stty size; test -t 1 && echo terminal\n")
    shell.expect(r"33 111\r\nterminal\r\n")
    shell.resize(20, 70)
    shell.type(AWAIT_SIZE.format("20 70"))
    shell.expect(r"20 70\r\n")
    shell.type("exit 9\n")
    assert shell.exit_code() == 9


def test_terminal_modes_come_back(terminal: Opener) -> None:
    shell = terminal("run", "--rm", "-it", "busybox", "true")
    before = termios.tcgetattr(shell.master)
    assert shell.exit_code() == 0
    assert termios.tcgetattr(shell.master) == before


def test_asking_for_a_terminal_without_having_one(cli: Cli) -> None:
    done = cli("run", "--rm", "-it", "busybox", "true", stdin="", check=None)
    assert done.returncode != 0
    assert "not a TTY" in done.stderr
