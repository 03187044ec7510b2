"""A process without an interpreter, made by this one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from nakagin.kernel import abi, process
from nakagin.kernel.automaton import LONGEST, Automaton, Maker, script
from nakagin.kernel.calls import Call, CallFailed
from nakagin.runtime import sync

if TYPE_CHECKING:
    from nakagin.kernel.calls import Argument

pytestmark = pytest.mark.alone  # a worker of many tests has more descriptors open than a monitor


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


@pytest.fixture
def made(maker: Maker) -> Iterator[Automaton]:
    """One that waits for its script; it is reaped at the end."""
    automaton = make(maker)
    yield automaton
    automaton.socket.close()
    process.wait_pidfd(automaton.pidfd)
    os.close(automaton.pidfd)


def make(maker: Maker, flags: int = 0) -> Automaton:
    ours, theirs = sync.pair()
    pid, pidfd = maker.make(flags, theirs.fileno())
    theirs.close()
    return Automaton(pid, pidfd, ours._socket, maker.base)


def test_it_does_what_it_is_told_and_becomes_a_program(made: Automaton) -> None:
    reader, writer = os.pipe()
    made.send([Call("make a session", abi.NR_SETSID)])
    assert made.done() == []
    assert os.getsid(made.pid) == made.pid
    script_ = b"echo $0 $WORD; umask; ls /proc/self/fd | wc -l; exit 3"
    arguments: list[Argument] = [b"/bin/sh", b"-c", script_, b"name", 0]
    variables: list[Argument] = [b"WORD=word", b"PATH=/bin", 0]
    on_exec = Call("close on exec", abi.NR_CLOSE_RANGE, 3, 0xFFFF_FFFF, abi.CLOSE_RANGE_CLOEXEC)
    calls = [Call("mask", abi.NR_UMASK, 0o27), on_exec]
    made.finish(
        calls, Call("execute", abi.NR_EXECVE, b"/bin/sh", arguments, variables), [reader, writer, writer]
    )
    os.close(writer)
    made.done()
    made.executed()
    with os.fdopen(reader) as output:
        assert output.read().split() == ["name", "word", "0027", "4"]  # three streams and ls's own directory


def test_it_gives_what_it_opened(made: Automaton) -> None:
    made.send([Call("open", abi.NR_PIDFD_OPEN, os.getpid(), 0)], give_fds=[0])
    (given,) = made.done()
    with open(f"/proc/self/fdinfo/{given}") as file:
        assert f"Pid:\t{os.getpid()}\n" in file.read()
    os.close(given)


def test_it_tells_which_call_failed(made: Automaton) -> None:
    made.send([Call("may", abi.NR_FCHDIR, -1, may_fail=True), Call("go there", abi.NR_FCHDIR, -1)])
    with pytest.raises(CallFailed) as failed:
        made.done()
    assert (failed.value.words, failed.value.errno) == ("go there", errno.EBADF)


def test_a_program_that_is_missing(made: Automaton) -> None:
    made.send([])
    made.done()
    made.finish([], Call("execute", abi.NR_EXECVE, b"/no/such/program", [b"x", 0], [0]))
    made.done()
    with pytest.raises(CallFailed, match="No such file"):
        made.executed()


def test_without_a_script_it_ends(maker: Maker) -> None:
    automaton = make(maker)
    automaton.socket.close()
    assert process.wait_pidfd(automaton.pidfd) == 127
    os.close(automaton.pidfd)


def test_it_has_nothing_open_but_its_socket(made: Automaton) -> None:
    made.send([])
    made.done()
    assert os.listdir(f"/proc/{made.pid}/fd") == ["63"]


@pytest.mark.root
def test_it_lives_in_new_namespaces(maker: Maker) -> None:
    automaton = make(maker, abi.CLONE_NEWUTS | abi.CLONE_NEWPID)
    try:
        for kind, own in (("uts", False), ("pid", False), ("net", True)):
            same = os.readlink(f"/proc/{automaton.pid}/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}")
            assert same is own
    finally:
        automaton.socket.close()
        process.wait_pidfd(automaton.pidfd)
        os.close(automaton.pidfd)


def test_scripts_end_and_fit() -> None:
    text = script([Call("mask", abi.NR_UMASK, 0)], 0x1000)
    assert text[64:128] == bytes(64)
    assert len(text) < LONGEST
