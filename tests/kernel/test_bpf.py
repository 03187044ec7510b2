"""Device programs on a real v2 group (a hybrid machine has that too)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from nakagin.cgroups.devices import program
from nakagin.cgroups.layout import detect
from nakagin.kernel import bpf

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

DENY_ALL = program([(False, "a", -1, -1, 7)])
ALLOW_ALL = program([(True, "a", -1, -1, 7)])


@pytest.fixture
def directory() -> Iterator[str]:
    top = detect().v2
    if not top:
        pytest.skip("no cgroup v2 hierarchy here")
    path = f"{top}/nk-test-{uuid4().hex[:8]}"
    os.mkdir(path)
    yield path
    os.rmdir(path)


def opens(directory: str, path: str) -> bool:
    """Whether a process in the group can open the device."""
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            with open(f"{directory}/cgroup.procs", "w") as procs:
                procs.write("0")
            os.open(path, os.O_RDWR)
            code = 0
        except PermissionError:
            code = 1
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 1)
    return code == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_attach_and_replace(directory: str) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        bpf.attach_device_program(fd, DENY_ALL)
        assert not opens(directory, "/dev/zero")
        bpf.attach_device_program(fd, program([(False, "a", -1, -1, 7), (True, "c", 1, 5, 6)]))
        assert opens(directory, "/dev/zero")
        assert not opens(directory, "/dev/full")
        bpf.attach_device_program(fd, ALLOW_ALL)
        assert opens(directory, "/dev/full")
    finally:
        os.close(fd)


def test_refused_program_carries_the_verifiers_words(directory: str) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(OSError, match="R0 !read_ok"):
            bpf.attach_device_program(fd, program([])[-8:])  # exit without an answer
    finally:
        os.close(fd)
