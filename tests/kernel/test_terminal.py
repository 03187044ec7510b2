"""Pseudo terminals."""

from __future__ import annotations

import os
import termios
from typing import TYPE_CHECKING

import pytest

from nakagin.kernel import process, terminal

pytestmark = pytest.mark.forked

if TYPE_CHECKING:
    from pathlib import Path


def test_a_pair_with_a_size() -> None:
    master, slave = terminal.open_pty()
    terminal.set_size(master, 33, 77)
    assert os.get_terminal_size(slave) == (77, 33)
    assert termios.tcgetwinsize(slave) == (33, 77)
    os.write(slave, b"out\n")
    assert os.read(master, 10) == b"out\r\n"
    os.close(master)
    os.close(slave)


def test_it_controls_a_session() -> None:
    master, slave = terminal.open_pty()
    pid, pidfd = process.clone3(0)
    if pid == 0:
        os.setsid()
        terminal.make_controlling(slave)
        os._exit(0 if os.open("/dev/tty", os.O_RDWR) >= 0 else 1)
    assert process.wait_pidfd(pidfd) == 0
    for fd in (master, slave, pidfd):
        os.close(fd)


def test_from_a_given_dev() -> None:
    dev = os.open("/dev", os.O_PATH)
    master, slave = terminal.open_pty(dev)
    assert os.ttyname(slave).startswith("/dev/pts/")
    for fd in (dev, master, slave):
        os.close(fd)


@pytest.mark.parametrize("kind", ["file", "link", "null"])
def test_a_false_multiplexer_is_refused(tmp_path: Path, kind: str) -> None:
    """CVE-2025-52565."""
    (tmp_path / "pts").mkdir()
    place = tmp_path / "pts" / "ptmx"
    if kind == "file":
        place.touch()
    elif kind == "link":
        place.symlink_to("/dev/ptmx")
    elif os.geteuid() == 0:
        os.mknod(place, 0o20666, os.makedev(1, 3))
    else:
        pytest.skip("needs root to make a device")
    dev = os.open(tmp_path, os.O_PATH)
    with pytest.raises(OSError, match=r"not a|levels of symbolic links"):
        terminal.open_pty(dev)
    os.close(dev)
