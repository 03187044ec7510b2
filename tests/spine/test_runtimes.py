"""Runtimes of another's making under our engine: runc, crun, and our own by its command line, are all driven alike."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import running_engine
from tests.engine_fixture import ScratchEngine, await_until
from tests.spine.observe import cgroup_file, init_pid, inspect, is_gone, parent
from tests.spine.test_terminal import Terminal

pytestmark = pytest.mark.root

PROGRAMS = {
    "rc": shutil.which("runc", path="/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin") or "",
    "crun": shutil.which("crun") or "",
    "own": str(Path(__file__).parents[2] / "bin/nakagin-runtime"),
}


@pytest.fixture(scope="module")
def engine(pytestconfig: pytest.Config) -> Iterator[ScratchEngine]:
    """An engine that knows all of them, and one that is not there."""
    if pytestconfig.getoption("--against") != "nakagin":
        pytest.skip("dockerd has its own tests of this")
    flags = [f"--add-runtime={name}={path}" for name, path in PROGRAMS.items() if path]
    with running_engine(pytestconfig, *flags, "--add-runtime=absent=/no/such/runtime") as engine:
        yield engine


@pytest.fixture(params=list(PROGRAMS))
def runtime(request: pytest.FixtureRequest, engine: ScratchEngine) -> str:
    """The name of each that this machine has and that can run here."""
    name: str = request.param
    if not PROGRAMS[name]:
        pytest.skip(f"{name} is not installed")
    if name == "crun":
        tried = engine.docker("run", "--rm", "--runtime", name, "busybox", "true", check=None)
        if "hybrid mode not supported" in tried.stderr:
            pytest.skip("this crun refuses machines with hybrid cgroups")
    return name


def test_a_run_with_output_exit_code_and_network(engine: ScratchEngine, runtime: str) -> None:
    script = "echo out; echo err >&2; ip -o addr show eth0 | grep -q 'inet '; exit $((40 + $?))"
    done = engine.docker("run", "--rm", "--runtime", runtime, "busybox", "sh", "-c", script, check=40)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("/etc/passwd", 126), ("/etc", 126)])
def test_what_cannot_be_executed(engine: ScratchEngine, runtime: str, command: str, code: int) -> None:
    done = engine.docker("run", "--rm", "--runtime", runtime, "busybox", command, check=code)
    assert command in done.stderr


def test_standard_input_reaches_it(engine: ScratchEngine, runtime: str) -> None:
    done = engine.docker("run", "-i", "--rm", "--runtime", runtime, "busybox", "wc", "-c", stdin="12345")
    assert done.stdout.strip() == "5"


def test_a_terminal(engine: ScratchEngine, runtime: str) -> None:
    with_terminal = Terminal(
        engine.docker_argv("run", "-it", "--rm", "--runtime", runtime, "busybox", "sh"), engine.environment()
    )
    try:
        with_terminal.expect("/ # ")
        with_terminal.type("stty size; tty\n")
        with_terminal.expect(r"33 111\r\n/dev/pts/0|33 111\r\n/dev/console")
        with_terminal.type("exit 3\n")
        assert with_terminal.process.wait(15) == 3
    finally:
        with_terminal.process.kill()
        with_terminal.process.wait()
        os.close(with_terminal.master)


def test_its_life(engine: ScratchEngine, runtime: str, name: str) -> None:
    flags = ("--runtime", runtime, "-m", "64m", "--pids-limit", "33")
    engine.docker("run", "-d", "--name", name, *flags, "busybox", "sh", "-c", "echo begun; exec sleep 300")
    assert inspect(engine, name, "{{.HostConfig.Runtime}}") == runtime
    pid = init_pid(engine, name)
    assert cgroup_file(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert Path(f"/proc/{parent(pid)}/comm").read_text().strip() == "nakagin-monitor"
    assert not [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(engine.root) in line
    ]

    await_until(lambda: engine.docker("logs", name).stdout == "begun\n", "its first word")
    assert engine.docker("exec", name, "sh", "-c", "echo inside; exit 7", check=7).stdout == "inside\n"
    assert engine.docker("exec", "-i", name, "cat", stdin="through").stdout == "through"
    engine.docker("exec", name, "no-such-command", check=127)
    assert "sleep 300" in engine.docker("top", name).stdout
    assert "64MiB" in engine.docker("stats", "--no-stream", name).stdout
    engine.docker("update", "--pids-limit", "7", name)
    assert cgroup_file(pid, "pids", "pids.max", "pids.max") == "7"
    engine.docker("pause", name)
    assert inspect(engine, name, "{{.State.Status}}") == "paused"
    engine.docker("unpause", name)
    engine.docker("kill", "-s", "KILL", name)
    assert inspect(engine, name, "{{.State.ExitCode}}") == "137"
    assert is_gone(pid)
    engine.docker("start", name)
    await_until(lambda: engine.docker("logs", name).stdout == "begun\n" * 2, "its first word again")
    engine.docker("stop", "-t", "0", name)


def test_exec_has_a_terminal(engine: ScratchEngine, runtime: str, name: str) -> None:
    engine.docker("run", "-d", "--name", name, "--runtime", runtime, "busybox", "sleep", "300")
    terminal = Terminal(engine.docker_argv("exec", "-it", name, "sh"), engine.environment())
    try:
        terminal.expect("/ # ")
        terminal.type("stty size\n")
        terminal.expect("33 111")
        terminal.type("exit 5\n")
        assert terminal.process.wait(15) == 5
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)


def test_a_memory_hog_is_told(engine: ScratchEngine, runtime: str, name: str) -> None:
    flags = ("--runtime", runtime, "-m", "16m", "--name", name)
    engine.docker("run", *flags, "busybox", "tail", "/dev/zero", check=137)
    assert inspect(engine, name, "{{.State.OOMKilled}} {{.State.ExitCode}}") == "true 137"


def test_its_volumes_and_files(engine: ScratchEngine, runtime: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("from the host\n")
    engine.docker(
        "run", "-d", "--name", name, "--runtime", runtime, "-v", f"{tmp_path}:/host:ro", "--tmpfs", "/scratch",
        "busybox", "sh", "-c", "cat /host/given > /kept; exec sleep 300",
    )  # fmt: skip
    await_until(lambda: "/kept" in engine.docker("diff", name).stdout, "the file to be written", 10)
    assert engine.docker("exec", name, "cat", "/kept").stdout == "from the host\n"
    engine.docker("exec", name, "touch", "/host/refused", check=1)


def test_it_outlives_the_engine(engine: ScratchEngine, name: str) -> None:
    script = "while [ ! -e /go ]; do usleep 10000; done; echo late; exit 9"
    engine.docker("run", "-d", "--name", name, "--runtime", "rc", "busybox", "sh", "-c", script)
    pid = init_pid(engine, name)
    engine.kill9()
    Path(f"/proc/{pid}/root/go").touch()
    await_until(lambda: is_gone(pid), "the program to end")
    engine.restart()
    assert engine.docker("wait", name).stdout == "9\n"
    assert engine.docker("logs", name).stdout == "late\n"


def test_a_killed_monitor_takes_the_container_along(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "-d", "--name", name, "--runtime", "rc", "busybox", "sleep", "300")
    pid = init_pid(engine, name)
    os.kill(parent(pid), signal.SIGKILL)
    await_until(lambda: inspect(engine, name, "{{.State.Running}}") == "false", "the engine to notice")
    assert inspect(engine, name, "{{.State.ExitCode}}") == "137"
    await_until(lambda: is_gone(pid), "the program to end")
    assert os.listdir(engine.exec_root / "foreign/rc") == []


def test_names(engine: ScratchEngine) -> None:
    done = engine.docker("run", "--rm", "--runtime", "nobody", "busybox", "true", check=125)
    assert "unknown or invalid runtime name: nobody" in done.stderr
    done = engine.docker("run", "--rm", "--runtime", "absent", "busybox", "true", check=127)
    assert "/no/such/runtime: no such file or directory" in done.stderr
    # Docker's name of its own runtime is there without being added; it is the runtime inside.
    assert engine.docker("run", "--rm", "--runtime", "runc", "busybox", "echo", "ours").stdout == "ours\n"
    assert not (engine.exec_root / "foreign/runc").exists()
    known = json.loads(engine.docker("info", "-f", "{{json .Runtimes}}").stdout)
    assert set(known) >= {"nakagin", "runc", "rc", "own", "absent"}
    assert known["rc"]["path"] == PROGRAMS["rc"]


def test_another_default(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    config = tmp_path / "daemon.json"
    words = {"path": PROGRAMS["own"], "runtimeArgs": ["--debug"]}
    config.write_text(json.dumps({"runtimes": {"mine": words}, "default-runtime": "mine"}))
    with running_engine(pytestconfig, "--config-file", str(config)) as engine:
        assert engine.docker("info", "-f", "{{.DefaultRuntime}}").stdout == "mine\n"
        assert engine.docker("run", "--name", "one", "busybox", "echo", "by", "mine").stdout == "by mine\n"
        assert inspect(engine, "one", "{{.HostConfig.Runtime}}") == "mine"
