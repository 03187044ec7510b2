"""The midwife and a monitor in waiting that is killed: she must take another, whatever it had read by then."""

from __future__ import annotations

import socket

import pytest

from nakagin.monitor import protocol
from nakagin.monitor.midwife import _Attendant, _Gone


@pytest.mark.parametrize("has_read", [False, True])
def test_one_that_dies_when_it_is_asked_for_a_capsule(has_read: bool) -> None:
    ours, theirs = protocol.pair()
    attendant = _Attendant(ours, 0, is_fresh=False)
    attendant.expect_capsule()
    if has_read:
        received = protocol.receive(theirs)
        assert received is not None
        assert received[0] == {"kind": "attend", "flags": protocol.USUAL}
    theirs.close()
    with pytest.raises(_Gone):
        attendant.capsule(protocol.USUAL, -1)
    attendant.close()


def test_one_that_is_dead_when_it_is_asked() -> None:
    ours, theirs = protocol.pair()
    attendant = _Attendant(ours, 0, is_fresh=False)
    theirs.close()
    with pytest.raises(_Gone):
        attendant.expect_capsule()
    attendant.close()
    assert socket.socket.fileno(ours) < 0
