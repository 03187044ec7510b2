"""Signals by name, and what programs inherit of them."""

from __future__ import annotations

import signal

import pytest

from nakagin.errors import Invalid
from nakagin.kernel import signals


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("KILL", 9),
        ("sigkill", 9),
        ("SIGTERM", 15),
        ("9", 9),
        ("0", 0),
        ("rtmin+3", 37),
        ("RTMAX-1", 63),
        ("SIGRTMIN", 34),
    ],
)
def test_names(text: str, number: int) -> None:
    assert signals.number_of(text) == number


@pytest.mark.parametrize("text", ["NOPE", "99", "", "KILL+1", "_IGN", "RTMIN+x", "-1"])
def test_no_signals(text: str) -> None:
    with pytest.raises(Invalid):
        signals.number_of(text)


def test_held_back_until_released() -> None:
    seen: list[int] = []
    old = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        signals.hold_back()
        signal.raise_signal(signal.SIGUSR1)
        assert not seen
        signals.release()
        assert seen == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, old)
