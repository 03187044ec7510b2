"""Health checks: a probe runs the check now and then and keeps the verdict in the record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from nakagin.containers.model import nanoseconds, now
from nakagin.errors import NakaginError
from nakagin.spec.docker import Health, Healthcheck, HealthcheckResult

if TYPE_CHECKING:
    from nakagin.containers.exec import Execs
    from nakagin.containers.shelf import Capsule, Shelf

SECOND = 1_000_000_000
INTERVAL = 30 * SECOND
TIMEOUT = 30 * SECOND
START_INTERVAL = 5 * SECOND
RETRIES = 3
RESULTS_KEPT = 5


def command(check: Healthcheck, shell: tuple[str, ...]) -> tuple[str, ...]:
    """The program and arguments of a check."""
    if check.test[0] == "CMD-SHELL":
        return (*(shell or ("/bin/sh", "-c")), *check.test[1:])
    return check.test[1:]


def judge(health: Health, result: HealthcheckResult, check: Healthcheck, *, in_start_period: bool) -> Health:
    """The verdict after one more result; failures while starting up do not count. Pure."""
    log = (*health.log, result)[-RESULTS_KEPT:]
    if result.exit_code == 0:
        return Health(status="healthy", failing_streak=0, log=log)
    if health.status == "starting" and in_start_period:
        return Health(status="starting", failing_streak=health.failing_streak, log=log)
    streak = health.failing_streak + 1
    status = "unhealthy" if streak >= (check.retries or RETRIES) else health.status
    return Health(status=status, failing_streak=streak, log=log)


class Probe:
    """The checks of one run of one container."""

    def __init__(
        self, shelf: Shelf, execs: Execs, capsule: Capsule, on_change: Callable[[Capsule, str], None]
    ) -> None:
        self._shelf = shelf
        self._execs = execs
        self._capsule = capsule
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Check from now on, until `end`."""
        if self._capsule.record.facts.health is None:
            self._keep(Health(status="starting"))
        self._task = asyncio.get_running_loop().create_task(self._run())

    def end(self) -> None:
        """Check no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        check = self._capsule.record.config.healthcheck
        assert check is not None
        loop = asyncio.get_running_loop()
        ran = (time.time_ns() - nanoseconds(self._capsule.record.facts.started_at)) / SECOND
        patience = loop.time() + check.start_period / SECOND - max(ran, 0.0)
        while True:
            starting = self._health.status == "starting" and loop.time() < patience
            pause = (check.start_interval or START_INTERVAL) if starting else (check.interval or INTERVAL)
            await asyncio.sleep(pause / SECOND)
            if self._capsule.record.status != "running":
                continue
            await self._check(check, in_start_period=loop.time() < patience)

    async def _check(self, check: Healthcheck, *, in_start_period: bool) -> None:
        start = now()
        wanted = command(check, self._capsule.record.config.shell)
        try:
            code, output = await self._execs.probe(self._capsule, wanted, (check.timeout or TIMEOUT) / SECOND)
        except NakaginError:
            return  # it was paused or has ended meanwhile
        result = HealthcheckResult(start=start, end=now(), exit_code=code, output=output)
        before = self._health.status
        self._keep(judge(self._health, result, check, in_start_period=in_start_period))
        if self._health.status != before:
            self._on_change(self._capsule, self._health.status)

    @property
    def _health(self) -> Health:
        return self._capsule.record.facts.health or Health(status="starting")

    def _keep(self, health: Health) -> None:
        self._shelf.save(self._capsule, self._capsule.record.with_facts(health=health))
