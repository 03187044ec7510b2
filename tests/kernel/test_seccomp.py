"""Filters are compiled, installed in a child, and asked with real system calls."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import warnings
from functools import partial
from typing import TYPE_CHECKING

import pytest

from nakagin.errors import Invalid
from nakagin.kernel import seccomp
from nakagin.spec.seccomp_default import default_profile, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from nakagin.spec.runtime import Seccomp

libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS = 38
ALLOW: Seccomp = {"defaultAction": "SCMP_ACT_ALLOW"}


def under(section: Seccomp, work: Callable[[], int], flags: int | None = None) -> int:
    """The exit code of `work` in a child under the filter (negative for a signal)."""
    program = seccomp.compile(section)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = 99
        try:
            libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            seccomp.install(program, seccomp.install_flags(section) if flags is None else flags)
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def errno_of(call: Callable[[], object]) -> Callable[[], int]:
    """Work that answers the errno of a call, 0 where it went well."""

    def work() -> int:
        try:
            call()
        except OSError as error:
            return error.errno or 0
        return 0

    return work


def raw(number: int, *arguments: int) -> Callable[[], int]:
    """Work that answers the errno of a raw system call."""

    def work() -> int:
        return ctypes.get_errno() if libc.syscall(number, *arguments) == -1 else 0

    return work


def test_errno_for_one_call() -> None:
    section: Seccomp = {
        **ALLOW,
        "syscalls": [
            {"names": ["mkdirat", "mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSPC},
            {"names": ["getcwd"], "action": "SCMP_ACT_ERRNO"},
        ],
    }
    assert under(section, errno_of(lambda: os.mkdir("/tmp/never"))) == errno.ENOSPC
    assert under(section, errno_of(os.getcwd)) == errno.EPERM
    assert under(section, errno_of(os.uname)) == 0


def test_kill() -> None:
    section: Seccomp = {**ALLOW, "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_KILL_PROCESS"}]}
    assert under(section, errno_of(os.getcwd)) == -31  # SIGSYS


@pytest.mark.parametrize(
    ("operator", "value", "refused"),
    [
        ("SCMP_CMP_EQ", 5, {5}),
        ("SCMP_CMP_NE", 5, {4, 6}),
        ("SCMP_CMP_LT", 5, {4}),
        ("SCMP_CMP_LE", 5, {4, 5}),
        ("SCMP_CMP_GE", 5, {5, 6}),
        ("SCMP_CMP_GT", 5, {6}),
    ],
)
def test_comparisons(operator: str, value: int, refused: set[int]) -> None:
    rule = {
        "names": ["close"],
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": errno.EDOM,
        "args": [{"index": 0, "value": 900 + value, "op": operator}],
    }
    section: Seccomp = {**ALLOW, "syscalls": [rule]}  # type: ignore[list-item]

    def work() -> int:
        found = {each for each in (4, 5, 6) if errno_of(partial(os.close, 900 + each))() == errno.EDOM}
        return 0 if found == refused else 1

    assert under(section, work) == 0


def test_masked_comparison_and_repeated_arguments() -> None:
    masked = [{"index": 0, "value": 0xF0, "valueTwo": 0x30, "op": "SCMP_CMP_MASKED_EQ"}]
    either = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in (901, 902)]
    for arguments, inside, outside in ((masked, 0x330, 0x340), (either, 902, 903)):
        rule = {"names": ["close"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EDOM, "args": arguments}
        section: Seccomp = {**ALLOW, "syscalls": [rule]}  # type: ignore[list-item]
        assert under(section, errno_of(partial(os.close, inside))) == errno.EDOM
        assert under(section, errno_of(partial(os.close, outside))) == errno.EBADF


def test_unknown_names_are_skipped() -> None:
    section: Seccomp = {**ALLOW, "syscalls": [{"names": ["no_such_call"], "action": "SCMP_ACT_KILL"}]}
    assert under(section, errno_of(os.uname)) == 0


def default_section(*more: str) -> Seccomp:
    return resolve(
        default_profile(), {"CAP_CHOWN", "CAP_SYS_CHROOT", *more}, os.uname().machine, os.uname().release
    )


def test_calls_newer_than_the_profile_say_so() -> None:
    assert under(default_section(), raw(600)) == errno.ENOSYS
    assert under(default_section(), raw(4000)) == errno.ENOSYS


NEW_USER_NAMESPACE = 0x10000000


@pytest.mark.parametrize(
    ("work", "answer"),
    [
        (errno_of(os.uname), 0),
        (errno_of(lambda: socket.socket(socket.AF_INET).close()), 0),
        (errno_of(lambda: socket.socket(socket.AF_VSOCK)), errno.EPERM),
        (lambda: 0 if libc.personality(ctypes.c_ulong(0xFFFFFFFF)) >= 0 else ctypes.get_errno(), 0),
        (lambda: 0 if libc.personality(0x0040000) >= 0 else ctypes.get_errno(), errno.EPERM),
        (lambda: 0 if libc.unshare(NEW_USER_NAMESPACE) == 0 else ctypes.get_errno(), errno.EPERM),
        (lambda: 0 if libc.mount(b"a", b"/", b"tmpfs", 0, None) == 0 else ctypes.get_errno(), errno.EPERM),
        (raw(435, 0, 0), errno.ENOSYS),  # clone3
        (raw(425, 1, 0), errno.EPERM),  # io_uring_setup
        (lambda: 0 if os.fork() else os._exit(0), 0),
    ],
)
def test_default_profile(work: Callable[[], int], answer: int) -> None:
    assert under(default_section(), work) == answer


def test_capability_opens_what_it_is_for() -> None:
    section = default_section("CAP_SYS_ADMIN")
    assert under(section, raw(435, 0, 0)) == errno.EINVAL  # clone3 reaches the kernel
    assert (
        under(section, lambda: 0 if libc.umount2(b"/nowhere", 0) == 0 else ctypes.get_errno()) != errno.ENOSYS
    )


def test_listener_gets_the_call() -> None:
    section: Seccomp = {**ALLOW, "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_NOTIFY"}]}
    assert seccomp.install_flags(section) & seccomp.NEW_LISTENER
    program = seccomp.compile(section)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = 99
        try:
            libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            fd = seccomp.install(program, seccomp.install_flags(section))
            code = 0 if os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:seccomp notify" else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_flags() -> None:
    assert seccomp.install_flags(ALLOW) == 4
    assert seccomp.install_flags({**ALLOW, "flags": []}) == 0
    both = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]
    assert seccomp.install_flags({**ALLOW, "flags": both}) == 3
    assert "SECCOMP_FILTER_FLAG_LOG" in seccomp.supported_flags()
    assert under({**ALLOW, "flags": both}, errno_of(os.uname)) == 0


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"defaultAction": "SCMP_ACT_NOTHING"},
        {**ALLOW, "architectures": ["SCMP_ARCH_VAX"]},
        {**ALLOW, "syscalls": [{"names": ["close"], "action": "SCMP_ACT_X"}]},
        {
            **ALLOW,
            "syscalls": [{"names": ["close"], "action": "SCMP_ACT_KILL", "args": [{"index": 0, "op": "X"}]}],
        },
        {
            **ALLOW,
            "syscalls": [
                {"names": ["close"], "action": "SCMP_ACT_KILL", "args": [{"index": 9, "op": "SCMP_CMP_EQ"}]}
            ],
        },
    ],
)
def test_refused_sections(section: Seccomp) -> None:
    with pytest.raises(Invalid, match="seccomp"):
        seccomp.compile(section)


def test_unknown_flag() -> None:
    with pytest.raises(Invalid, match="flags"):
        seccomp.install_flags({**ALLOW, "flags": ["X"]})
