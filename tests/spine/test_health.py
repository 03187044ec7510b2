"""Health checks, and the restart policy that follows from them; how containers are stopped."""

from __future__ import annotations

import json

import pytest
from tests.engine_fixture import ScratchEngine, await_until
from tests.spine.observe import inspect

pytestmark = pytest.mark.root

QUICK = ("--health-interval", "100ms", "--health-timeout", "5s", "--health-retries", "2")
STATUS = "{{.State.Health.Status}}"


def test_healthy_then_unhealthy_then_healthy(engine: ScratchEngine, name: str) -> None:
    check = ("--health-cmd", "test -e /ok && echo fine")
    engine.docker("run", "-d", "--name", name, *QUICK, *check, "busybox", "sh", "-c", "touch /ok; sleep 300")
    await_until(lambda: inspect(engine, name, STATUS) == "healthy", "health")
    assert "(healthy)" in engine.docker("ps", "-f", f"name={name}", "-f", "health=healthy").stdout
    engine.docker("exec", name, "rm", "/ok")
    await_until(lambda: inspect(engine, name, STATUS) == "unhealthy", "illness")
    health = json.loads(inspect(engine, name, "{{json .State.Health}}"))
    assert health["FailingStreak"] >= 2
    assert health["Log"][-1]["ExitCode"] == 1
    assert len(health["Log"]) <= 5
    engine.docker("exec", name, "touch", "/ok")
    await_until(lambda: inspect(engine, name, STATUS) == "healthy", "recovery")
    assert json.loads(inspect(engine, name, "{{json .State.Health}}"))["Log"][-1]["Output"] == "fine\n"


def test_failures_do_not_count_while_it_starts(engine: ScratchEngine, name: str) -> None:
    flags = ("--health-start-period", "1h", "--health-start-interval", "50ms", "--health-interval", "1h")
    check = ("--health-retries", "1", "--health-cmd", "test -e /ok")
    engine.nakagin("run", "-d", "--name", name, *flags, *check, "busybox", "sleep", "300")
    await_until(lambda: inspect(engine, name, "{{len .State.Health.Log}}") >= "3", "some failures")
    assert inspect(engine, name, STATUS) == "starting"
    engine.docker("exec", name, "touch", "/ok")
    await_until(lambda: inspect(engine, name, STATUS) == "healthy", "health, by the short interval")


def test_a_check_that_hangs_is_ended(engine: ScratchEngine, name: str) -> None:
    flags = ("--health-interval", "100ms", "--health-timeout", "200ms", "--health-retries", "1")
    engine.docker("run", "-d", "--name", name, *flags, "--health-cmd", "sleep 100", "busybox", "sleep", "300")
    await_until(lambda: inspect(engine, name, STATUS) == "unhealthy", "the verdict")
    last = json.loads(inspect(engine, name, "{{json .State.Health.Log}}"))[0]
    assert last["ExitCode"] == -1
    assert "exceeded timeout (0.2s)" in last["Output"]


def test_no_healthcheck(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "-d", "--name", name, "--no-healthcheck", "busybox", "sleep", "300")
    assert inspect(engine, name, "{{.Config.Healthcheck.Test}} {{.State.Health}}") == "[NONE] <nil>"


def test_an_unhealthy_container_is_started_again_so_many_times(engine: ScratchEngine, name: str) -> None:
    # It ends politely, with exit code 0: what counts is that it was unhealthy.
    script = "trap 'exit 0' TERM; echo run; while :; do sleep 0.05; done"
    engine.nakagin(
        "run", "-d", "--name", name, "--restart", "on-unhealthy:2", *QUICK, "--health-cmd", "false",
        "busybox", "sh", "-c", script,
    )  # fmt: skip
    state = "{{.RestartCount}} {{.State.Status}} " + STATUS
    await_until(
        lambda: inspect(engine, name, state) == "2 running unhealthy", "two restarts, and no third", 60
    )
    assert engine.docker("logs", name).stdout == "run\n" * 3
    engine.docker("stop", "-t", "5", name)
    assert inspect(engine, name, "{{.State.Status}}") == "exited"


def test_a_slow_stop_is_explained_once(engine: ScratchEngine, name: str) -> None:
    for each in ("1", "2"):
        engine.docker("run", "-d", "--name", f"{name}-{each}", "busybox", "sleep", "300")
    done = engine.nakagin("stop", "-t", "1", f"{name}-1", f"{name}-2")
    assert done.stdout == f"{name}-1\n{name}-2\n"
    assert done.stderr.count("hint:") == 1
    assert "--init" in done.stderr
    engine.docker("rm", f"{name}-1", f"{name}-2")


@pytest.mark.parametrize("flags", [("--init",), ("--stop-signal", "KILL")])
def test_a_program_without_handlers_stops_at_once(
    engine: ScratchEngine, name: str, flags: tuple[str, ...]
) -> None:
    engine.docker("run", "-d", "--name", name, *flags, "--stop-timeout", "600", "busybox", "sleep", "300")
    engine.docker("stop", name, timeout=60)
    assert inspect(engine, name, "{{.State.Status}}") == "exited"
