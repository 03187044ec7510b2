"""Processes: births, deaths, descriptors of both."""

from __future__ import annotations

import os
import select

import pytest

from nakagin.kernel import abi, process

pytestmark = pytest.mark.forked


def test_clone3_is_a_fork_with_a_pidfd() -> None:
    pid, pidfd = process.clone3(0)
    if pid == 0:
        os._exit(7)
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    assert poller.poll(5000)
    assert process.wait_pidfd(pidfd) == 7
    os.close(pidfd)


def test_death_by_signal() -> None:
    pid, pidfd = process.clone3(0)
    if pid == 0:
        select.select([], [], [])
    process.pidfd_send_signal(pidfd, 9)
    assert process.wait_pidfd(pidfd) == 137
    with pytest.raises(ProcessLookupError):
        process.pidfd_send_signal(pidfd, 9)
    os.close(pidfd)


@pytest.mark.root
def test_a_grandchild_can_be_born_as_a_child() -> None:
    reader, writer = os.pipe()
    pid, pidfd = process.clone3(0)
    if pid == 0:
        inner, _ = process.clone3(abi.CLONE_PARENT)
        if inner == 0:
            os.write(writer, str(os.getppid()).encode())
            os._exit(3)
        os.write(writer, b"")
        os._exit(0)
    assert process.wait_pidfd(pidfd) == 0
    os.close(pidfd)
    _, status = os.wait()
    assert os.waitstatus_to_exitcode(status) == 3
    assert int(os.read(reader, 100)) == os.getpid()
    os.close(reader)
    os.close(writer)


@pytest.mark.root
def test_without_clone3_there_is_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container engine's filter may answer ENOSYS to clone3; here the number is one that no call has."""
    monkeypatch.setattr(abi, "NR_CLONE3", 1 << 20)
    pid, pidfd = process.clone3(abi.CLONE_NEWPID)
    if pid == 0:
        os._exit(4 if os.getpid() == 1 else 5)
    assert process.wait_pidfd(pidfd) == 4
    os.close(pidfd)


def test_start_ticks_name_a_process() -> None:
    ticks = process.start_ticks(os.getpid())
    assert process.is_alive(os.getpid(), ticks)
    assert not process.is_alive(os.getpid(), ticks + 1)
    pid, pidfd = process.clone3(0)
    if pid == 0:
        os._exit(0)
    select.select([pidfd], [], [], 5)
    assert not process.is_alive(pid, process.start_ticks(pid))  # a zombie
    process.wait_pidfd(pidfd)
    assert not process.is_alive(pid, ticks)
    os.close(pidfd)


def test_dumpable_and_name() -> None:
    pid, pidfd = process.clone3(0)
    if pid == 0:
        process.set_name("a name with blanks")
        process.set_dumpable(False)
        right = process.prctl(abi.PR_GET_DUMPABLE) == 0
        process.set_dumpable(True)
        with open("/proc/self/comm") as file:
            os._exit(0 if right and file.read() == "a name with bla\n" else 1)
    assert process.wait_pidfd(pidfd) == 0
    os.close(pidfd)


@pytest.mark.root
def test_a_descriptor_of_another_process() -> None:
    reader, writer = os.pipe()
    pid, pidfd = process.clone3(0)
    if pid == 0:
        os.dup2(writer, 200)
        os.write(writer, b"!")
        select.select([], [], [])
    assert os.read(reader, 1) == b"!"
    copy = process.pidfd_getfd(pidfd, 200)
    os.write(copy, b"through")
    assert os.read(reader, 10) == b"through"
    process.pidfd_send_signal(pidfd, 9)
    process.wait_pidfd(pidfd)
    for fd in (reader, writer, copy, pidfd):
        os.close(fd)
