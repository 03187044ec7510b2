"""When a container is started again, and after how long."""

from __future__ import annotations

import signal

import pytest

from nakagin.containers import policy
from nakagin.containers.model import Facts
from nakagin.errors import Invalid
from nakagin.spec.docker import RestartPolicy

STARTED = "2026-01-01T00:00:00.000000000Z"


@pytest.mark.parametrize(
    ("name", "most", "facts", "again", "with_engine"),
    [
        ("no", 0, Facts(exit_code=1, started_at=STARTED), False, False),
        ("always", 0, Facts(started_at=STARTED), True, True),
        ("always", 0, Facts(started_at=STARTED, stopped_by_user=True), False, True),
        ("always", 0, Facts(), True, False),
        ("unless-stopped", 0, Facts(started_at=STARTED), True, True),
        ("unless-stopped", 0, Facts(started_at=STARTED, stopped_by_user=True), False, False),
        ("on-failure", 0, Facts(started_at=STARTED), False, False),
        ("on-failure", 0, Facts(started_at=STARTED, exit_code=1, restart_count=99), True, True),
        ("on-failure", 2, Facts(started_at=STARTED, exit_code=1, restart_count=1), True, True),
        ("on-failure", 2, Facts(started_at=STARTED, exit_code=1, restart_count=2), False, False),
        ("on-failure", 0, Facts(started_at=STARTED, healing=True), False, False),
        ("on-unhealthy", 0, Facts(started_at=STARTED), False, False),
        ("on-unhealthy", 0, Facts(started_at=STARTED, exit_code=1), True, True),
        ("on-unhealthy", 0, Facts(started_at=STARTED, healing=True, restart_count=99), True, True),
        ("on-unhealthy", 3, Facts(started_at=STARTED, healing=True, restart_count=3), False, False),
        ("on-unhealthy", 0, Facts(started_at=STARTED, healing=True, stopped_by_user=True), False, False),
    ],
)
def test_policies(name: str, most: int, facts: Facts, again: bool, with_engine: bool) -> None:
    chosen = RestartPolicy(name=name, maximum_retry_count=most)
    assert policy.wants_restart(chosen, facts) is again
    assert policy.wants_start_with_engine(chosen, facts) is with_engine


@pytest.mark.parametrize(
    ("name", "most", "auto_remove", "words"),
    [
        ("often", 0, False, "unknown policy 'often'"),
        ("always", 3, False, "maximum retry count can only be used with 'on-failure'"),
        ("on-failure", -1, False, "cannot be negative"),
        ("always", 0, True, "can't create 'AutoRemove' container with restart policy"),
    ],
)
def test_refused(name: str, most: int, auto_remove: bool, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        policy.check(RestartPolicy(name=name, maximum_retry_count=most), auto_remove=auto_remove)


def test_delays_double_up_to_a_minute_and_begin_anew_after_a_steady_run() -> None:
    delays, delay = [], 0.0
    for _ in range(12):
        delay = policy.next_delay(delay, 1.0)
        delays.append(delay)
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == 60.0
    assert policy.next_delay(60.0, 10.0) == 0.1


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("9", 9),
        ("KILL", 9),
        ("SIGTERM", 15),
        ("sigusr1", 10),
        ("RTMIN+3", signal.SIGRTMIN + 3),
        ("SIGRTMAX-1", 63),
    ],
)
def test_signals(text: str, number: int) -> None:
    assert policy.signal_number(text) == number


@pytest.mark.parametrize("text", ["", "0", "99", "SIGNOPE", "RTMIN+99", "_DFL", "RTMIN+x"])
def test_bad_signals(text: str) -> None:
    with pytest.raises(Invalid, match="invalid signal"):
        policy.signal_number(text)


def test_who_is_healed() -> None:
    twice = RestartPolicy(name="on-unhealthy", maximum_retry_count=2)
    assert policy.wants_healing(twice, Facts(restart_count=1))
    assert not policy.wants_healing(twice, Facts(restart_count=2))
    assert not policy.wants_healing(twice, Facts(stopped_by_user=True))
    assert not policy.wants_healing(RestartPolicy(name="always"), Facts())


def test_a_healed_container_waits_longer_each_time_though_its_checks_take_long() -> None:
    assert policy.next_delay(0.4, 30.0) == policy.FIRST_DELAY
    assert policy.next_delay(0.4, 30.0, healing=True) == 0.8
    assert policy.next_delay(0.4, policy.HEALED, healing=True) == policy.FIRST_DELAY
