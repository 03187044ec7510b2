"""Containers that the engine starts on a schedule."""

from __future__ import annotations

import json

import pytest
from tests.engine_fixture import ScratchEngine, await_until

pytestmark = pytest.mark.root


def test_a_container_is_started_again_and_again(own_engine: ScratchEngine) -> None:
    engine = own_engine
    engine.docker(
        "create", "--name", "tick", "--label", "nakagin.schedule=@every 1s", "busybox", "echo", "tick"
    )
    engine.docker("create", "--name", "later", "--label", "nakagin.schedule=@yearly", "busybox", "true")
    engine.docker("create", "--name", "plain", "busybox", "true")

    def ticks() -> int:
        return engine.docker("logs", "tick").stdout.count("tick\n")

    await_until(lambda: ticks() >= 2, "two runs")
    # one that still runs when its time comes is left alone
    engine.docker(
        "run", "-d", "--name", "long", "--label", "nakagin.schedule=@every 1s", "--stop-signal", "KILL", "busybox",
        "sleep", "600",
    )  # fmt: skip
    began = engine.docker("inspect", "-f", "{{.State.StartedAt}}", "long").stdout

    def passed_over() -> list[str]:
        words = [
            "events",
            "--since",
            "0",
            "--until",
            "0s",
            "--filter",
            "container=long",
            "--format",
            "{{json .}}",
        ]
        events = [json.loads(line) for line in engine.docker(*words).stdout.splitlines()]
        return [event["Action"] for event in events if event["Action"].startswith("schedule")]

    await_until(passed_over, "it is told")
    assert passed_over()[0] == "schedule: still running"
    assert engine.docker("inspect", "-f", "{{.State.StartedAt}}", "long").stdout == began
    # the next engine goes on with it
    engine.kill9()
    engine.restart()
    before = ticks()
    await_until(lambda: ticks() > before, "another run")
    states = engine.docker("ps", "-a", "--format", "{{.Names}} {{.State}}").stdout.splitlines()
    assert {"later created", "plain created"} <= set(states)
    engine.docker("rm", "-f", "tick", "long", "later", "plain")


def test_what_is_no_schedule_is_refused(engine: ScratchEngine, name: str) -> None:
    for label, said in (
        ("nakagin.schedule=now and then", "not a schedule: 'now and then'"),
        ("nakagin.schedule=61 * * * *", "'61' is not a minute: from 0 to 59"),
    ):
        told = engine.docker("create", "--name", name, "--label", label, "busybox", check=1)
        assert said in told.stderr
    assert name not in engine.docker("ps", "-a").stdout
