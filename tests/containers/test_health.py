"""Verdicts of health checks."""

from __future__ import annotations

from nakagin.containers.health import RESULTS_KEPT, command, judge
from nakagin.spec.docker import Health, Healthcheck, HealthcheckResult

GOOD, BAD = HealthcheckResult(exit_code=0), HealthcheckResult(exit_code=1)
CHECK = Healthcheck(test=("CMD", "true"), retries=2)


def after(*results: HealthcheckResult, in_start_period: bool = False) -> Health:
    health = Health(status="starting")
    for result in results:
        health = judge(health, result, CHECK, in_start_period=in_start_period)
    return health


def test_verdicts() -> None:
    assert after(GOOD).status == "healthy"
    assert after(BAD).status == "starting"
    assert after(BAD, BAD).status == "unhealthy"
    assert after(GOOD, BAD).status == "healthy"
    assert after(GOOD, BAD, BAD, GOOD).status == "healthy"
    assert after(BAD, BAD, BAD, in_start_period=True) == Health(
        status="starting", failing_streak=0, log=(BAD, BAD, BAD)
    )


def test_the_last_results_are_kept() -> None:
    assert len(after(*[BAD] * 9).log) == RESULTS_KEPT


def test_command() -> None:
    assert command(Healthcheck(test=("CMD", "a", "b")), ()) == ("a", "b")
    assert command(Healthcheck(test=("CMD-SHELL", "a | b")), ()) == ("/bin/sh", "-c", "a | b")
    assert command(Healthcheck(test=("CMD-SHELL", "a")), ("ash", "-c")) == ("ash", "-c", "a")
