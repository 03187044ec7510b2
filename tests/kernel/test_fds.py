"""Descriptors: closed in ranges, passed over sockets."""

from __future__ import annotations

import os
import socket

import pytest

from nakagin.kernel import fds, process

pytestmark = pytest.mark.forked


def test_everything_but_what_is_kept_is_closed() -> None:
    keep = os.dup(0)
    other = os.dup(0)
    pid, pidfd = process.clone3(0)
    if pid == 0:
        fds.close_all_except([0, 1, 2, keep])
        code = 0
        try:
            os.fstat(keep)
            os.fstat(other)
            code = 1
        except OSError:
            pass
        finally:
            os._exit(code)
    assert process.wait_pidfd(pidfd) == 0
    for fd in (keep, other, pidfd):
        os.close(fd)


def test_descriptors_travel_with_a_message() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        reader, writer = os.pipe()
        fds.send_fds(one, b"here", [reader, writer])
        message, received = fds.receive_fds(other, 100, 4)
        assert message == b"here"
        os.write(received[1], b"x")
        assert os.read(reader, 1) == b"x"
        assert not any(os.get_inheritable(fd) for fd in received)
        fds.send_fds(one, b"none", [])
        assert fds.receive_fds(other, 100, 4) == (b"none", [])
        for fd in (reader, writer, *received):
            os.close(fd)
