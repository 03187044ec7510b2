"""Every value of the specification's enumerations meets the real kernel; the ids are the rows' own (surface/)."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from nakagin.errors import Invalid
from nakagin.kernel import scheduling, seccomp
from tests.kernel.test_seccomp import ALLOW, errno_of, under
from tests.runtime.box import Box

if TYPE_CHECKING:
    from nakagin.spec.runtime import Seccomp

pytestmark = pytest.mark.root

GETCWD_ENDS = {
    "SCMP_ACT_KILL": -signal.SIGSYS,
    "SCMP_ACT_KILL_THREAD": -signal.SIGSYS,  # of a process with one thread
    "SCMP_ACT_KILL_PROCESS": -signal.SIGSYS,
    "SCMP_ACT_TRAP": -signal.SIGSYS,
    "SCMP_ACT_ERRNO": errno.EPERM,
    "SCMP_ACT_TRACE": errno.ENOSYS,  # nobody traces
    "SCMP_ACT_LOG": 0,
    "SCMP_ACT_ALLOW": 0,
}


@pytest.mark.parametrize("action", GETCWD_ENDS)
def test_actions(action: str) -> None:
    """OCIRT.enum.SeccompAction: as a rule, and as what happens to all calls that no rule names."""
    section: Seccomp = {**ALLOW, "syscalls": [{"names": ["getcwd"], "action": action}]}
    assert under(section, errno_of(os.getcwd)) == GETCWD_ENDS[action]


def test_errno_of_all_others() -> None:
    """OCIRT.linux.seccomp.defaultErrnoRet"""
    kept = [
        "exit_group",
        "write",
        "futex",
        "rt_sigaction",
        "rt_sigprocmask",
        "munmap",
        "brk",
        "mmap",
        "gettid",
    ]
    section: Seccomp = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.EDOM,
        "syscalls": [{"names": kept, "action": "SCMP_ACT_ALLOW"}],
    }
    assert under(section, errno_of(os.getcwd)) == errno.EDOM


# Known to libseccomp 2.5, and of the byte order of x86-64 and arm64: these may stand together in one filter.
LITTLE_ENDIAN = {
    f"SCMP_ARCH_{name}"
    for name in ("X86", "X86_64", "X32", "ARM", "AARCH64", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC64LE", "RISCV64")
}  # fmt: skip


@pytest.mark.parametrize("architecture", seccomp.ARCHITECTURES)
def test_architectures(architecture: str) -> None:
    """OCIRT.enum.SeccompArch: the filter compiles, or the architecture is refused by name and with the cause."""
    section: Seccomp = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": [architecture],
        "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EDOM}],
    }
    if architecture not in LITTLE_ENDIAN:
        with pytest.raises(Invalid, match=f"{architecture}: "):
            seccomp.compile(section)
        return
    # Though it is not named: the machine's own architecture is filtered too.
    assert under(section, errno_of(os.getcwd)) == errno.EDOM


@pytest.mark.parametrize("flag", seccomp.FLAGS)
def test_flags(flag: str) -> None:
    """OCIRT.enum.SeccompFlag: installed, or left out where this kernel lacks it."""
    section: Seccomp = {
        **ALLOW,
        "flags": [flag],
        "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EDOM}],
    }
    assert under(section, errno_of(os.getcwd)) == errno.EDOM


# What /proc/PID/numa_maps says of a mapping. One node is enough for all but the weights, which need Linux 6.9.
POLICIES: dict[str, tuple[dict[str, Any], str]] = {
    "MPOL_DEFAULT": ({}, "default"),
    "MPOL_BIND": ({"nodes": "0"}, "bind:0"),
    "MPOL_INTERLEAVE": ({"nodes": "0"}, "interleave:0"),
    "MPOL_WEIGHTED_INTERLEAVE": ({"nodes": "0"}, "weighted interleave:0"),
    "MPOL_PREFERRED": ({"nodes": "0"}, "prefer:0"),
    "MPOL_PREFERRED_MANY": ({"nodes": "0"}, "prefer (many):0"),
    "MPOL_LOCAL": ({}, "local"),
    "MPOL_F_NUMA_BALANCING": ({"mode": "MPOL_BIND", "nodes": "0"}, "bind"),
    "MPOL_F_RELATIVE_NODES": ({"mode": "MPOL_BIND", "nodes": "0"}, "bind=relative:0"),
    "MPOL_F_STATIC_NODES": ({"mode": "MPOL_BIND", "nodes": "0"}, "bind=static:0"),
}


@pytest.mark.parametrize("word", [*scheduling.MEMORY_MODES, *scheduling.MEMORY_FLAGS])
def test_memory_policies(box: Box, word: str) -> None:
    """OCIRT.enum.MemoryPolicyMode, OCIRT.enum.MemoryPolicyFlag"""
    fields, seen = POLICIES[word]
    policy = {"mode": word, **fields}
    if word.startswith("MPOL_F_"):
        policy["flags"] = [word]
    if not _kernel_takes(policy):
        box.linux["memoryPolicy"] = policy
        assert "memory policy" in box.run("true").err  # told, not skipped
        return
    box.linux["memoryPolicy"] = policy
    maps = box.run("sh", "-c", "test ! -e /proc/self/numa_maps || cat /proc/self/numa_maps")
    assert maps.code == 0, maps.err
    assert not maps.out or seen in maps.out  # a kernel without NUMA takes the call and has no such file


def _kernel_takes(policy: dict[str, Any]) -> bool:
    mode = scheduling.MEMORY_MODES[policy["mode"]]
    for flag in policy.get("flags", ()):
        mode |= scheduling.MEMORY_FLAGS[flag]
    return _in_child(lambda: scheduling.set_memory_policy(mode, [0] if policy.get("nodes") else []))


def _in_child(deed: Callable[[], object]) -> bool:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            deed()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


SCHEDULERS: dict[str, dict[str, Any]] = {
    "SCHED_OTHER": {"nice": 3},
    "SCHED_FIFO": {"priority": 7},
    "SCHED_RR": {"priority": 8},
    "SCHED_BATCH": {"nice": 4},
    "SCHED_IDLE": {},
    "SCHED_DEADLINE": {"runtime": 1_000_000, "deadline": 50_000_000, "period": 100_000_000},
}


@pytest.mark.parametrize("policy", SCHEDULERS)
def test_schedulers(box: Box, policy: str) -> None:
    """OCIRT.enum.SchedulerPolicy: in force, or the kernel's refusal with the step's name."""
    fields = SCHEDULERS[policy]
    box.process["scheduler"] = {"policy": policy, **fields}
    answer = box.run("cat", "/proc/self/stat")
    if answer.code != 0:
        # Real time is the host's to give: a control group without a share of it (cgroup v1), or no such right.
        assert policy in {"SCHED_FIFO", "SCHED_RR", "SCHED_DEADLINE"}
        assert "scheduler" in answer.err
        return
    words = answer.out.rpartition(")")[2].split()
    assert int(words[38]) == scheduling.POLICIES[policy]
    if "nice" in fields:
        assert int(words[16]) == fields["nice"]
    if "priority" in fields:
        assert int(words[37]) == fields["priority"]


@pytest.mark.parametrize("flag", scheduling.SCHEDULER_FLAGS)
def test_scheduler_flags(box: Box, flag: str) -> None:
    """OCIRT.enum.SchedulerFlag: taken as the kernel takes it for this policy, or refused in its words."""
    box.process["scheduler"] = {"policy": "SCHED_OTHER", "flags": [flag]}
    takes = _in_child(lambda: scheduling.set_scheduler(0, flags=scheduling.SCHEDULER_FLAGS[flag]))
    answer = box.run("true")
    assert (answer.code == 0) == takes
    assert takes or "scheduler" in answer.err


def test_reset_on_fork_is_seen(box: Box) -> None:
    """The program has the better nice value, its children have not."""
    box.process["scheduler"] = {"policy": "SCHED_OTHER", "nice": -3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}
    lines = box.sh("cat /proc/$$/stat /proc/self/stat; true").splitlines()
    assert [line.rpartition(")")[2].split()[16] for line in lines] == ["-3", "0"]


def test_no_word_is_left_out() -> None:
    assert {*GETCWD_ENDS} == {*seccomp.ACTIONS} - {"SCMP_ACT_NOTIFY"}  # tests/runtime/test_listener.py
    assert {*POLICIES} == {*scheduling.MEMORY_MODES, *scheduling.MEMORY_FLAGS}
    assert {*SCHEDULERS} == {*scheduling.POLICIES} - {"SCHED_ISO"}
