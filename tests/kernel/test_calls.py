"""System calls as data."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

import pytest

from nakagin.kernel import abi
from nakagin.kernel.calls import Call, CallFailed, perform, relocated

if TYPE_CHECKING:
    from nakagin.kernel.calls import Argument


def test_numbers_bytes_and_lists_reach_the_kernel() -> None:
    reader, writer = os.pipe()
    try:
        assert perform([Call("write", abi.NR_WRITE, writer, b"hello", 5)]) == 5
        # struct msghdr on a pipe is refused, but only after the kernel has found it: ENOTSOCK, not EFAULT.
        header: list[Argument] = [0, 0, [b"x", 1], 1, 0, 0, 0]
        with pytest.raises(CallFailed) as failed:
            perform([Call("send it", abi.NR_SENDMSG, writer, header, 0)])
        assert (failed.value.words, failed.value.errno) == ("send it", errno.ENOTSOCK)
        assert os.read(reader, 9) == b"hello"
    finally:
        os.close(reader)
        os.close(writer)


def test_what_may_fail_does_not_stop_the_rest() -> None:
    calls = [Call("no", abi.NR_FCHDIR, -1, may_fail=True), Call("mask", abi.NR_UMASK, 0o22)]
    before = os.umask(0o77)
    try:
        assert perform(calls) == 0o77
    finally:
        os.umask(before)


def test_pointers_are_those_of_the_process_that_will_have_the_data() -> None:
    data = bytearray()
    place = relocated([b"ls", b"-l", 0], data, 0x1000)
    first, second, end = struct.unpack_from("3Q", data, place - 0x1000)
    assert data[first - 0x1000 :].startswith(b"ls\0")
    assert data[second - 0x1000 :].startswith(b"-l\0")
    assert end == 0
    assert relocated(-1, data, 0) == 2**64 - 1
