"""Restart policies, also across a restart of the engine."""

from __future__ import annotations

import os
import signal

import pytest
from tests.engine_fixture import ScratchEngine, await_until
from tests.spine.observe import init_pid, inspect, is_gone

pytestmark = pytest.mark.root


def test_on_failure_gives_up_after_its_number(engine: ScratchEngine, name: str) -> None:
    engine.docker(
        "run", "-d", "--restart", "on-failure:2", "--name", name, "busybox", "sh", "-c", "echo x; exit 3"
    )
    state = "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}"
    await_until(lambda: inspect(engine, name, state) == "exited 2 3", "two restarts")
    assert engine.docker("logs", name).stdout == "x\nx\nx\n"


def test_on_failure_is_content_with_success(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "-d", "--restart", "on-failure", "--name", name, "busybox", "true")
    assert engine.docker("wait", name).stdout.strip() == "0"
    assert inspect(engine, name, "{{.RestartCount}}") == "0"


def test_always_comes_back_after_a_kill_from_outside(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "-d", "--restart", "always", "--name", name, "busybox", "sleep", "300")
    first = init_pid(engine, name)
    os.kill(first, signal.SIGKILL)
    await_until(lambda: init_pid(engine, name) not in {0, first}, "the restart")
    assert inspect(engine, name, "{{.RestartCount}}") == "1"


def test_always_respects_a_stop_by_hand(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "-d", "--restart", "always", "--name", name, "busybox", "sleep", "300")
    engine.docker("stop", "-t", "0", name)
    assert inspect(engine, name, "{{.State.Status}}") == "exited"
    engine.docker("start", name)
    assert inspect(engine, name, "{{.State.Status}}") == "running"


def test_back_off_grows(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "-d", "--restart", "always", "--name", name, "busybox", "false")
    await_until(lambda: int(inspect(engine, name, "{{.RestartCount}}")) >= 3, "three restarts")
    assert inspect(engine, name, "{{.State.Status}}") in {"restarting", "running"}
    engine.docker("rm", "-f", name)


def test_policies_across_a_restart_of_the_engine(own_engine: ScratchEngine) -> None:
    engine = own_engine
    for policy in ("always", "unless-stopped", "no"):
        engine.docker("run", "-d", "--restart", policy, "--name", policy, "busybox", "sleep", "300")
        engine.docker(
            "run", "-d", "--restart", policy, "--name", f"stopped-{policy}", "busybox", "sleep", "300"
        )
        engine.docker("stop", "-t", "0", f"stopped-{policy}")
    pids = [init_pid(engine, policy) for policy in ("always", "unless-stopped", "no")]
    engine.kill9()
    for pid in pids:  # the programs end while no engine is there to see it
        os.kill(pid, signal.SIGKILL)
    await_until(lambda: all(is_gone(pid) for pid in pids), "the programs to end")
    engine.restart()

    def running() -> set[str]:
        return set(engine.docker("ps", "--format", "{{.Names}}").stdout.split())

    await_until(lambda: running() == {"always", "unless-stopped", "stopped-always"}, "the restarts")
    assert inspect(engine, "no", "{{.State.ExitCode}}") == "137"
