"""The launcher: a few instructions between the runtime and the user's program."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from nakagin.kernel import launcher, process

pytestmark = pytest.mark.forked


def launch(path: str, *args: str) -> tuple[bytes, int]:
    """What the launcher reports, and the exit code."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        pid, pidfd = process.clone3(0)
        if pid == 0:
            try:
                theirs.set_inheritable(True)
                os.execve(launcher.seal(path, theirs.fileno()), ["name", *args], {"KEY": "value"})
            finally:
                os._exit(99)
        theirs.close()
        try:
            return ours.recv(100), process.wait_pidfd(pidfd)
        finally:
            os.close(pidfd)


def test_it_becomes_the_program_with_arguments_and_environment() -> None:
    script = 'test "$0 $1 $KEY" = "name first value" && exit 42'
    assert launch("/bin/sh", "-c", script.replace("$0", "name"), "x", "first") == (b"", 42)


@pytest.mark.parametrize(("path", "number"), [("/no/such/program", 2), ("/etc/passwd", 13), ("/etc", 13)])
def test_it_reports_why_not(path: str, number: int) -> None:
    report, code = launch(path)
    assert report == b"x" + number.to_bytes(4, "little")
    assert code == 127


def test_it_ends_when_it_is_executed_again() -> None:
    """As the interpreter of a script that names /proc/self/exe."""
    assert launch("/proc/self/exe") == (b"", 127)


def test_nobody_can_change_it() -> None:
    fd = launcher.seal("/bin/true", 2)
    try:
        with pytest.raises(PermissionError):
            os.pwrite(fd, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 62), ("aarch64", 183)])
def test_images_are_small_executables(machine: str, number: int) -> None:
    image = launcher.image("/bin/true", 9, machine)
    assert image[:6] == b"\x7fELF\x02\x01"
    assert int.from_bytes(image[18:20], "little") == number
    assert image.endswith(b"/bin/true\0")
    assert len(image) < 300


def test_the_other_machines_code_runs_in_an_emulator(tmp_path: Path) -> None:
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if not emulator:
        pytest.skip("qemu-user-static is not installed")
    program = tmp_path / "launcher"
    report = 2  # not 1: the launcher closes it on execve, and echo needs its output
    for path, told in (("/bin/echo", (b"hello\n", b"")), ("/no/such", (b"", b"x\2\0\0\0"))):
        program.write_bytes(launcher.image(path, report, "aarch64"))
        program.chmod(0o755)
        done = subprocess.run([emulator, program, "hello"], capture_output=True, check=False)
        assert (done.stdout, done.stderr) == told
