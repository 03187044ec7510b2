"""A shortened filter answers every system call as libseccomp's own does."""

from __future__ import annotations

import errno
import random
import struct
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nakagin.errors import Invalid
from nakagin.kernel import filtertree, seccomp
from nakagin.spec.runtime import Seccomp
from nakagin.spec.seccomp_default import default_profile, resolve

X86_64, X86, X32_BIT = 0xC000003E, 0x40000003, 0x40000000
ARGUMENTS = range(16, 64, 4)
CAPABILITIES = {"CAP_CHOWN", "CAP_SETUID", "CAP_SYS_CHROOT", "CAP_NET_BIND_SERVICE"}


def long_and_short(section: Seccomp, monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, bytes]:
    """The program with and without shortening."""
    short = seccomp.compile(section)
    monkeypatch.setattr(filtertree, "shorten", lambda program: program)
    return seccomp.compile(section), short


def answer(program: bytes, number: int, architecture: int, words: dict[int, int]) -> int:
    """What the kernel's interpreter of classic BPF would return."""
    code: list[tuple[int, int, int, int]] = list(struct.iter_unpack("=HBBI", program))
    data = {0: number, 4: architecture, **words}
    at = held = 0
    while True:
        kind, when, otherwise, k = code[at]
        at += 1
        if kind == 0x06:
            return k
        if kind == 0x20:
            held = data[k]
        elif kind == 0x54:
            held &= k
        elif kind == 0x05:
            at += k
        else:
            true = {0x15: held == k, 0x25: held > k, 0x35: held >= k, 0x45: bool(held & k)}[kind]
            at += when if true else otherwise


def assert_same(long: bytes, short: bytes) -> None:
    """For every number near one that the program knows, on every architecture, with arguments that it looks for."""
    dice = random.Random(1)
    constants = {k for *_, k in struct.iter_unpack("=HBBI", long)}
    edges = sorted({(k + step) & 0xFFFFFFFF for k in constants for step in (-1, 0, 1)} | {0, 0xFFFFFFFF})
    for architecture, number in product((X86_64, X86, X32_BIT | 0x3E, 0xC00000B7, 7), edges):
        words = {offset: dice.choice(edges) for offset in ARGUMENTS}
        assert answer(short, number, architecture, words) == answer(long, number, architecture, words), (
            f"call {number:#x} of architecture {architecture:#x} with {words}"
        )


def test_the_default_profile_keeps_its_answers_in_a_third_of_the_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long, short = long_and_short(resolve(default_profile(), CAPABILITIES, "x86_64", "6.1.0"), monkeypatch)
    assert len(short) * 3 < len(long)
    assert_same(long, short)


CALLS = [
    "read",
    "write",
    "openat",
    "clone",
    "clone3",
    "personality",
    "socket",
    "mkdir",
    "waitpid",
    "ioctl",
    "futex",
]
ACTIONS = ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG", "SCMP_ACT_TRAP"]
CONDITION = st.fixed_dictionaries(
    {
        "index": st.integers(0, 5),
        "value": st.sampled_from([0, 1, 8, 0x7E020000, 0xFFFFFFFF, 1 << 40]),
        "valueTwo": st.sampled_from([0, 8, 0xFFFFFFFF]),
        "op": st.sampled_from(sorted(seccomp.OPERATORS)),
    }
)
RULE = st.fixed_dictionaries(
    {
        "names": st.lists(st.sampled_from(CALLS), min_size=1, max_size=4, unique=True),
        "action": st.sampled_from(ACTIONS),
        "args": st.lists(CONDITION, max_size=2),
    }
)
SECTION = st.fixed_dictionaries(
    {
        "defaultAction": st.sampled_from(ACTIONS),
        "defaultErrnoRet": st.sampled_from([errno.EPERM, errno.ENOSYS]),
        "architectures": st.lists(
            st.sampled_from(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]), unique=True
        ),
        "syscalls": st.lists(RULE, max_size=6),
    }
)


@given(SECTION)
def test_any_section_keeps_its_answers(section: Seccomp) -> None:
    with pytest.MonkeyPatch.context() as patch:
        try:
            long, short = long_and_short(section, patch)
        except Invalid:  # libseccomp takes no two answers for one call
            return
        assert_same(long, short)


def test_what_is_not_understood_stays_as_it_is() -> None:
    def program(*code: tuple[int, int, int, int]) -> bytes:
        return b"".join(struct.pack("=HBBI", *each) for each in code)

    load, done = (0x20, 0, 0, 0), (0x06, 0, 0, 0x7FFF0000)
    for strange in ((0x07, 0, 0, 0), (0x45, 0, 0, 1), (0x54, 0, 0, 1), (0x05, 0, 0, 9)):
        kept = program(load, strange, (0x15, 0, 0, 1), done)
        assert filtertree.shorten(kept) == kept
