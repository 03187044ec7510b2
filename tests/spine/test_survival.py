"""Anything may be killed: containers run on, no line or exit code is lost, the engine tells the truth."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from docker.errors import NotFound
from tests.engine_fixture import ScratchEngine, await_until
from tests.spine.observe import init_pid, inspect, is_gone, parent

pytestmark = pytest.mark.root

# Numbers its lines and tells through a bind mount how far it is: the test can follow it without any engine.
# In the middle it waits for a sign, so that it lives as long as the test needs it.
PRINTER = """
i=0
while [ $i -lt {lines} ]; do
  echo line $i
  i=$((i+1))
  [ $((i % 50)) = 0 ] && echo $i > /progress/at && usleep 20000
  while [ $i = {gate} ] && [ ! -e /progress/go ]; do usleep 10000; done
done
exit 7
"""


def start_printer(engine: ScratchEngine, name: str, progress: Path, lines: int) -> None:
    script = PRINTER.format(lines=lines, gate=lines // 2)
    engine.docker("run", "-d", "--name", name, "-v", f"{progress}:/progress", "busybox", "sh", "-c", script)


def printed(progress: Path) -> int:
    try:
        return int((progress / "at").read_text() or 0)
    except FileNotFoundError:
        return 0


def await_lines(progress: Path, lines: int) -> None:
    await_until(lambda: printed(progress) >= lines, f"{lines} lines")


def await_end(pid: int) -> None:
    await_until(lambda: is_gone(pid), "the program to end")


def let_go(progress: Path) -> None:
    (progress / "go").touch()


def expected(lines: int) -> str:
    return "".join(f"line {number}\n" for number in range(lines))


def test_no_line_is_lost_when_the_engine_dies(own_engine: ScratchEngine, tmp_path: Path) -> None:
    engine, lines = own_engine, 4000
    start_printer(engine, "printer", tmp_path, lines)
    pid = init_pid(engine, "printer")
    for mark in (300, 1500):  # twice, in the middle of its work
        await_lines(tmp_path, mark)
        engine.kill9()
        await_lines(tmp_path, mark + 300)  # without an engine
        assert not is_gone(pid), "the container died with its engine"
        engine.restart()
        assert init_pid(engine, "printer") == pid
        assert inspect(engine, "printer", "{{.State.Status}}") == "running"
    let_go(tmp_path)
    assert engine.docker("wait", "printer").stdout.strip() == "7"
    assert engine.docker("logs", "printer").stdout == expected(lines)
    assert inspect(engine, "printer", "{{.State.Status}} {{.State.ExitCode}}") == "exited 7"


def test_an_exit_without_an_engine_is_known_afterwards(own_engine: ScratchEngine, tmp_path: Path) -> None:
    engine, lines = own_engine, 500
    start_printer(engine, "printer", tmp_path, lines)
    pid = init_pid(engine, "printer")
    engine.kill9()
    let_go(tmp_path)
    await_end(pid)
    engine.restart()
    state = json.loads(inspect(engine, "printer", "{{json .State}}"))
    assert (state["Status"], state["ExitCode"], state["Error"]) == ("exited", 7, "")
    assert state["FinishedAt"] > state["StartedAt"]
    assert engine.docker("wait", "printer").stdout.strip() == "7"
    assert engine.docker("logs", "printer").stdout == expected(lines)
    assert "Exited (7)" in engine.docker("ps", "-a").stdout


def test_logs_are_followed_again_after_a_restart(own_engine: ScratchEngine, tmp_path: Path) -> None:
    engine, lines = own_engine, 3000
    start_printer(engine, "printer", tmp_path, lines)
    await_lines(tmp_path, 200)
    engine.kill9()
    engine.restart()
    let_go(tmp_path)
    assert engine.docker("logs", "-f", "printer").stdout == expected(lines)


def test_a_living_container_can_be_used_after_a_restart(own_engine: ScratchEngine) -> None:
    engine = own_engine
    engine.docker("run", "-d", "-i", "--name", "cat", "-p", "127.0.0.1::80", "busybox", "cat")
    engine.kill9()
    engine.restart()
    assert engine.docker("exec", "cat", "echo", "inside").stdout == "inside\n"
    assert engine.docker("port", "cat").stdout.startswith("80/tcp -> 127.0.0.1:")
    with subprocess.Popen(
        engine.docker_argv("attach", "cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=engine.environment(), text=True,
    ) as attached:  # fmt: skip
        assert attached.stdin is not None
        assert attached.stdout is not None
        attached.stdin.write("echoed\n")
        attached.stdin.flush()
        assert attached.stdout.readline() == "echoed\n"
        engine.docker("pause", "cat")
        engine.docker("unpause", "cat")
        engine.docker("stop", "-t", "0", "cat")
        assert attached.wait(20) == 137
    engine.docker("rm", "cat")


def test_execs_are_known_after_a_restart(own_engine: ScratchEngine) -> None:
    """One that runs on, one that ends while no engine is there, and one that ended before."""
    engine = own_engine
    if engine.name != "nakagin":
        pytest.skip("dockerd ends execs with itself")
    engine.docker("run", "-d", "--name", "host", "busybox", "sleep", "300")
    api = engine.client().api
    runs, ends, ended = (
        api.exec_create("host", ["sh", "-c", script])["Id"]
        for script in ("sleep 301", "while ! test -e /go; do usleep 10000; done; exit 6", "exit 3")
    )
    api.exec_start(ended)
    for each in (runs, ends):
        api.exec_start(each, detach=True)
    pid = api.exec_inspect(ends)["Pid"]
    engine.kill9()
    Path(f"/proc/{pid}/root/go").touch()
    await_until(lambda: is_gone(pid), "the exec to end")
    engine.restart()
    again = engine.client().api
    shown = again.exec_inspect(runs)
    assert (shown["Running"], shown["ExitCode"], shown["ProcessConfig"]["entrypoint"]) == (True, None, "sh")
    assert shown["ProcessConfig"]["arguments"] == ["-c", "sleep 301"]
    shown = again.exec_inspect(ends)
    assert (shown["Running"], shown["ExitCode"]) == (False, 6)
    with pytest.raises(NotFound):
        again.exec_inspect(ended)
    os.kill(again.exec_inspect(runs)["Pid"], signal.SIGKILL)
    await_until(lambda: again.exec_inspect(runs)["ExitCode"] == 137, "the exit code")


def test_a_killed_monitor_takes_only_its_own_container(own_engine: ScratchEngine) -> None:
    engine = own_engine
    if engine.name != "nakagin":
        pytest.skip("dockerd has no monitor")
    engine.docker("run", "-d", "--name", "victim", "busybox", "sleep", "300")
    engine.docker("run", "-d", "--name", "witness", "busybox", "sleep", "300")
    pid = init_pid(engine, "victim")
    os.kill(parent(pid), signal.SIGKILL)
    await_until(lambda: inspect(engine, "victim", "{{.State.Status}}") == "exited", "the news")
    assert is_gone(pid), "the program outlived its monitor"
    assert inspect(engine, "victim", "{{.State.ExitCode}}") == "137"
    assert inspect(engine, "victim", "{{.State.Error}}"), "the engine does not say what happened"
    assert inspect(engine, "witness", "{{.State.Status}}") == "running"
    assert engine.docker("exec", "witness", "echo", "well").stdout == "well\n"
    engine.docker("start", "victim")
    assert inspect(engine, "victim", "{{.State.Status}}") == "running"


def test_a_monitor_killed_while_the_engine_is_dead(own_engine: ScratchEngine) -> None:
    engine = own_engine
    if engine.name != "nakagin":
        pytest.skip("dockerd has no monitor")
    engine.docker("run", "-d", "--name", "victim", "busybox", "sleep", "300")
    pid = init_pid(engine, "victim")
    engine.kill9()
    os.kill(parent(pid), signal.SIGKILL)
    engine.restart()
    await_until(lambda: inspect(engine, "victim", "{{.State.Status}}") == "exited", "the truth")
    await_until(lambda: is_gone(pid), "the program to end")
    assert inspect(engine, "victim", "{{.State.ExitCode}}") == "137"
    engine.docker("rm", "victim")


def test_a_killed_zygote_is_replaced(own_engine: ScratchEngine) -> None:
    engine = own_engine
    if engine.name != "nakagin":
        pytest.skip("dockerd has no zygote")
    engine.docker("run", "-d", "--name", "before", "busybox", "sleep", "300")
    zygotes = [pid for pid in engine.processes() if parent(pid) == engine.pid]
    assert zygotes
    for pid in zygotes:
        os.kill(pid, signal.SIGKILL)
    assert engine.docker("run", "--rm", "busybox", "echo", "again").stdout == "again\n"
    assert inspect(engine, "before", "{{.State.Status}}") == "running"


def test_a_polite_end_keeps_containers_too(own_engine: ScratchEngine) -> None:
    engine = own_engine
    if engine.name != "nakagin":
        pytest.skip("dockerd ends them unless told otherwise")
    engine.docker("run", "-d", "--name", "kept", "busybox", "sleep", "300")
    pid = init_pid(engine, "kept")
    assert engine.terminate() == 0
    assert not is_gone(pid)
    engine.restart()
    assert init_pid(engine, "kept") == pid
