"""The default profile, and profiles of the user's, as OCI sections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nakagin.errors import Invalid
from nakagin.spec.seccomp_default import default_profile, parse, resolve

if TYPE_CHECKING:
    from nakagin.spec.runtime import Seccomp

# What Docker's documentation lists as blocked by default.
BLOCKED = {
    "acct",
    "add_key",
    "bpf",
    "clock_settime",
    "create_module",
    "delete_module",
    "finit_module",
    "get_kernel_syms",
    "get_mempolicy",
    "init_module",
    "ioperm",
    "iopl",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mbind",
    "mount",
    "move_pages",
    "nfsservctl",
    "open_by_handle_at",
    "perf_event_open",
    "pivot_root",
    "process_madvise",
    "query_module",
    "quotactl",
    "reboot",
    "request_key",
    "set_mempolicy",
    "setns",
    "settimeofday",
    "stime",
    "swapon",
    "swapoff",
    "sysfs",
    "_sysctl",
    "umount",
    "umount2",
    "unshare",
    "uselib",
    "userfaultfd",
    "ustat",
    "vm86",
    "vm86old",
    "clone3",
}


def allowed(section: Seccomp) -> set[str]:
    return {
        name
        for rule in section["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
        for name in rule["names"]
    }


def section(*capabilities: str, machine: str = "x86_64", kernel: str = "6.1.0-18-amd64") -> Seccomp:
    return resolve(default_profile(), capabilities, machine, kernel)


def test_blocks_what_docker_blocks() -> None:
    assert allowed(section()) & BLOCKED == set()
    assert {"read", "execve", "futex", "ptrace", "landlock_restrict_self", "memfd_create"} <= allowed(
        section()
    )


def test_conditional_calls() -> None:
    rules = section()["syscalls"]
    conditional = {rule["names"][0]: rule for rule in rules if rule.get("args")}
    assert set(conditional) == {"socket", "personality", "clone"}
    assert conditional["clone"]["args"][0]["value"] == 0x7E020000
    assert [rule for rule in rules if rule["names"] == ["clone3"]] == [
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
    ]


@pytest.mark.parametrize(
    ("capability", "calls"),
    [
        ("CAP_SYS_ADMIN", {"mount", "clone3", "clone", "setns", "bpf", "unshare"}),
        ("CAP_SYS_PTRACE", {"kcmp", "pidfd_getfd"}),
        ("CAP_SYS_TIME", {"clock_settime"}),
        ("CAP_SYS_MODULE", {"init_module"}),
        ("CAP_SYS_NICE", {"mbind"}),
        ("CAP_SYSLOG", {"syslog"}),
        ("CAP_SYS_CHROOT", {"chroot"}),
    ],
)
def test_capabilities_open_calls(capability: str, calls: set[str]) -> None:
    assert allowed(section()) & calls == set()
    assert calls <= allowed(section(capability))


def test_architectures() -> None:
    assert section()["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert section(machine="aarch64")["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert "arch_prctl" in allowed(section())
    assert "arch_prctl" not in allowed(section(machine="aarch64"))
    assert "cacheflush" in allowed(section(machine="aarch64"))


def test_kernel_version() -> None:
    assert "ptrace" not in allowed(section(kernel="4.4.0"))
    assert "ptrace" in allowed(section(kernel="4.8"))
    assert "ptrace" in allowed(section(kernel="6.18.44-fc-v669"))
    with pytest.raises(Invalid, match="kernel version"):
        section(kernel="six")


def test_profile_of_the_users() -> None:
    profile = parse(
        b"""{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "flags": ["X"],
        "syscalls": [
        {"name": "chmod", "action": "SCMP_ACT_ERRNO", "args": null, "comment": "old form", "includes": {}},
        {"names": ["a"], "action": "SCMP_ACT_KILL", "excludes": {"caps": ["CAP_A", "CAP_B"]}},
        {"names": ["b"], "action": "SCMP_ACT_KILL", "excludes": {"arches": ["amd64"]}},
        {"names": ["c"], "action": "SCMP_ACT_KILL", "excludes": {"minKernel": "5.0"}},
        {"names": ["d"], "action": "SCMP_ACT_KILL", "includes": {"caps": ["CAP_A", "CAP_C"]}}]}"""
    )
    assert resolve(profile, ["CAP_A"], "x86_64", "4.19") == {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86"],
        "flags": ["X"],
        "syscalls": [
            {"names": ["chmod"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["c"], "action": "SCMP_ACT_KILL"},
        ],
    }


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"syscalls": {"a": 1}}',
        '{"syscalls": [{}]}',
        '{"syscalls": [{"action": "SCMP_ACT_ALLOW"}]}',
        '{"syscalls": [{"name": "a", "names": ["b"], "action": "SCMP_ACT_ALLOW"}]}',
    ],
)
def test_refused_profiles(text: str) -> None:
    with pytest.raises(Invalid, match="seccomp profile"):
        parse(text)


def test_contradictory_profiles() -> None:
    with pytest.raises(Invalid, match="defaultAction"):
        resolve({}, [], "x86_64", "6.1")
    both = {"defaultAction": "X", "architectures": ["X"], "archMap": [{"architecture": "X"}]}
    with pytest.raises(Invalid, match="both"):
        resolve(both, [], "x86_64", "6.1")  # type: ignore[arg-type]
