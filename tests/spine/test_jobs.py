"""The everyday jobs, by docker's command line and by ours, with the same output."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine, await_until
from tests.spine.conftest import Cli
from tests.spine.observe import inspect

pytestmark = pytest.mark.root


def test_run_prints_what_the_program_prints(cli: Cli) -> None:
    done = cli("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_run_gives_stdin_to_the_program(cli: Cli) -> None:
    text = "".join(f"line {number}\n" for number in range(5000))
    assert cli("run", "--rm", "-i", "busybox", "cat", stdin=text).stdout == text


def test_run_takes_environment_folder_user_and_hostname(cli: Cli) -> None:
    script = "echo $A $B; pwd; id -u; id -g; hostname"
    flags = ("-e", "A=1", "--env", "B=x y", "-w", "/var/new", "-u", "12:34", "-h", "capsule")
    assert cli("run", "--rm", *flags, "busybox", "sh", "-c", script).stdout.splitlines() == [
        "1 x y", "/var/new", "12", "34", "capsule",
    ]  # fmt: skip


def test_large_output_is_complete(cli: Cli) -> None:
    done = cli("run", "--rm", "busybox", "sh", "-c", "seq 200000")
    assert done.stdout.split()[-1] == "200000"
    assert done.stdout.count("\n") == 200000


def test_rm_flag_removes_the_container(cli: Cli, engine: ScratchEngine, name: str) -> None:
    cli("run", "--rm", "--name", name, "busybox", "true")
    await_until(lambda: engine.docker("inspect", name, check=None).returncode == 1, "the container to go")


def test_create_start_wait_logs_remove(cli: Cli, name: str) -> None:
    identity = cli("create", "--name", name, "busybox", "sh", "-c", "echo hello; exit 3").stdout.strip()
    assert len(identity) == 64
    assert cli("start", name).stdout.strip() == name
    assert cli("wait", name).stdout.strip() == "3"
    assert cli("logs", name).stdout == "hello\n"
    assert cli("rm", name).stdout.strip() == name
    assert "no such" in cli("inspect", name, check=1).stderr.lower()


def test_detached_container_is_listed(cli: Cli, name: str) -> None:
    identity = cli("run", "-d", "--name", name, "busybox", "sleep", "300").stdout.strip()
    row = next(line for line in cli("ps").stdout.splitlines() if line.endswith(name))
    assert row.startswith(identity[:12])
    assert "Up" in row
    assert '"sleep 300"' in row
    listed = cli("ps", "--no-trunc", "-q", "--filter", f"name={name}").stdout.split()
    assert listed == [identity]
    shown = cli(
        "ps", "-a", "--filter", f"id={identity}", "--format", "{{.Names}} {{.Image}} {{.State}}"
    ).stdout
    assert shown.strip() == f"{name} busybox running"


def test_prefix_of_an_id_is_enough(cli: Cli, name: str) -> None:
    identity = cli("create", "--name", name, "busybox").stdout.strip()
    assert cli("inspect", "-f", "{{.Id}}", identity[:10]).stdout.strip() == identity


def test_inspect_has_the_known_shape(cli: Cli, name: str) -> None:
    cli("run", "-d", "--name", name, "-m", "64m", "-e", "A=1", "--label", "x=y", "busybox", "sleep", "300")
    [document] = json.loads(cli("inspect", name).stdout)
    assert document["Name"] == f"/{name}"
    assert document["State"]["Status"] == "running"
    assert document["State"]["Pid"] > 0
    assert document["HostConfig"]["Memory"] == 64 << 20
    assert "A=1" in document["Config"]["Env"]
    assert document["Config"]["Labels"] == {"x": "y"}
    assert document["Path"] == "sleep"
    assert document["Args"] == ["300"]
    assert document["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]


def test_exec_runs_beside_the_first_process(cli: Cli, name: str) -> None:
    cli("run", "-d", "--name", name, "-e", "A=1", "busybox", "sleep", "300")
    assert cli("exec", "-e", "B=2", name, "sh", "-c", "echo $A$B; exit 4", check=4).stdout == "12\n"
    assert cli("exec", "-i", name, "cat", stdin="abc").stdout == "abc"
    assert cli("exec", "-u", "7", "-w", "/tmp", name, "sh", "-c", "id -u; pwd").stdout.split() == [
        "7",
        "/tmp",
    ]
    missing = cli("exec", name, "missing", check=127)
    assert "executable file not found" in missing.stdout + missing.stderr
    assert cli("exec", name, "/etc/passwd", check=126)


def test_exec_knows_users_that_came_later(engine: ScratchEngine, name: str, tmp_path: Path) -> None:
    """The accounts of an image are remembered; what a container writes or mounts over them counts."""
    (tmp_path / "passwd").write_text("root:x:0:0::/root:/bin/sh\nbound:x:77:77::/tmp:/bin/sh\n")
    engine.docker("run", "-d", "--name", name, "busybox", "sleep", "300")
    assert engine.docker("exec", name, "id", "-u").stdout == "0\n"
    assert "unable to find user later" in engine.docker("exec", "-u", "later", name, "id", check=126).stderr
    line = "later:x:4242:4242::/tmp:/bin/sh"
    engine.docker("exec", name, "sh", "-c", f"echo {line} >> /etc/passwd")
    assert (
        engine.docker("exec", "-u", "later", name, "sh", "-c", "id -u; echo $HOME").stdout == "4242\n/tmp\n"
    )
    bind = ("-v", f"{tmp_path}/passwd:/etc/passwd")
    engine.docker("run", "-d", "--name", f"{name}-bound", *bind, "busybox", "sleep", "300")
    assert engine.docker("exec", "-u", "bound", f"{name}-bound", "id", "-u").stdout == "77\n"


def test_exec_detached(cli: Cli, name: str) -> None:
    cli("run", "-d", "--name", name, "busybox", "sleep", "300")
    cli("exec", "-d", name, "touch", "/made")
    await_until(lambda: cli("exec", name, "test", "-e", "/made", check=None).returncode == 0, "the file")


def test_stop_asks_first_and_kill_does_not(cli: Cli, name: str) -> None:
    script = "trap 'echo asked; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    cli("run", "-d", "--name", name, "busybox", "sh", "-c", script)
    await_until(lambda: "ready" in cli("logs", name).stdout, "the trap")
    cli("stop", name)
    assert cli("wait", name).stdout.strip() == "9"
    assert cli("logs", name).stdout == "ready\nasked\n"
    cli("start", name)
    cli("kill", name)
    assert cli("wait", name).stdout.strip() == "137"


def test_stop_kills_after_its_patience(cli: Cli, engine: ScratchEngine, name: str) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    cli("run", "-d", "--name", name, "busybox", "sh", "-c", script)
    await_until(lambda: "ready" in cli("logs", name).stdout, "the trap")
    cli("stop", "-t", "1", name)
    assert inspect(engine, name, "{{.State.ExitCode}}") == "137"


def test_signals_by_name(cli: Cli, name: str) -> None:
    script = "trap 'echo got; exit 0' USR1; echo ready; while :; do sleep 0.05; done"
    cli("run", "-d", "--name", name, "busybox", "sh", "-c", script)
    await_until(lambda: "ready" in cli("logs", name).stdout, "the trap")
    cli("kill", "-s", "SIGUSR1", name)
    assert cli("wait", name).stdout.strip() == "0"
    assert cli("logs", name).stdout == "ready\ngot\n"


def test_restart_pause_rename_top_port(cli: Cli, engine: ScratchEngine, name: str) -> None:
    cli("run", "-d", "--name", name, "busybox", "sleep", "300")
    before = inspect(engine, name, "{{.State.Pid}}")
    cli("restart", "-t", "0", name)
    assert inspect(engine, name, "{{.State.Pid}}") != before
    cli("pause", name)
    assert inspect(engine, name, "{{.State.Status}}") == "paused"
    assert "(Paused)" in cli("ps", "--filter", f"name={name}").stdout
    cli("unpause", name)
    assert inspect(engine, name, "{{.State.Status}}") == "running"
    cli("rename", name, name + "-new")
    assert inspect(engine, name + "-new", "{{.Name}}") == f"/{name}-new"
    cli("rename", name + "-new", name)
    assert "sleep 300" in cli("top", name).stdout
    assert cli("port", name).stdout == ""


def test_running_container_is_not_removed_without_force(cli: Cli, name: str) -> None:
    cli("run", "-d", "--name", name, "busybox", "sleep", "300")
    refused = cli("rm", name, check=1).stderr.lower()
    assert "cannot remove" in refused
    assert "stop the container" in refused
    cli("rm", "-f", name)


def test_logs_know_tail_timestamps_and_streams(cli: Cli, name: str) -> None:
    cli("run", "--name", name, "busybox", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; done; echo e >&2")
    done = cli("logs", "--tail", "2", name)
    assert (done.stdout, done.stderr) in {("5\n", "e\n"), ("4\n5\n", "")}  # two pipes have no common order
    stamped = cli("logs", "-t", name).stdout.splitlines()
    assert len(stamped) == 5
    assert all(line[4] == "-" and line.split()[0].endswith("Z") for line in stamped)
    assert cli("logs", "--since", stamped[3].split()[0], name).stdout == "4\n5\n"


def test_logs_follow_until_the_end(cli: Cli, name: str) -> None:
    cli("run", "-d", "--name", name, "busybox", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done")
    assert cli("logs", "-f", name).stdout == "1\n2\n3\n"


def test_attach_sees_output_and_gives_the_exit_code(cli: Cli, name: str) -> None:
    cli("run", "-d", "-i", "--name", name, "busybox", "sh", "-c", "read line; echo got $line; exit 5")
    assert cli("attach", name, stdin="word\n", check=5).stdout == "got word\n"


def test_start_attached(cli: Cli, name: str) -> None:
    cli("create", "-i", "--name", name, "busybox", "sh", "-c", "cat; exit 6")
    assert cli("start", "-ai", name, stdin="through\n", check=6).stdout == "through\n"


def test_signals_pass_through_the_command_line(cli: Cli, engine: ScratchEngine, name: str) -> None:
    script = "trap 'echo term; exit 11' TERM; echo ready; while :; do sleep 0.05; done"
    arguments = ("run", "--name", name, "busybox", "sh", "-c", script)
    argv = (engine.docker_argv if cli == engine.docker else engine.nakagin_argv)(*arguments)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=engine.environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.read() == "term\n"
        assert process.wait(20) == 11


def test_init_reaps_and_forwards(cli: Cli, name: str) -> None:
    cli("run", "-d", "--init", "--name", name, "busybox", "sleep", "300")
    assert cli("exec", name, "cat", "/proc/1/comm").stdout.strip() in {"tini", "docker-init"}
    cli("stop", name)
    assert cli("wait", name).stdout.strip() == "143"


def test_cidfile_and_labels(cli: Cli, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("cid") / "id"
    identity = cli(
        "run", "-d", "--cidfile", str(path), "--name", name, "-l", f"of={name}", "busybox", "true"
    ).stdout
    assert path.read_text() == identity.strip()
    assert cli("ps", "-aq", "--no-trunc", "--filter", f"label=of={name}").stdout == identity


def test_version_and_info(cli: Cli) -> None:
    assert re.fullmatch(r"1\.\d\d\n", cli("version", "--format", "{{.Server.APIVersion}}").stdout)
    assert cli("version", "--format", "{{.Server.Os}}").stdout.strip() == "linux"
    info = json.loads(cli("info", "--format", "{{json .}}").stdout)
    assert info["OSType"] == "linux"
    assert info["NCPU"] >= 1
    assert info["DockerRootDir"]
    assert "runc" in info["Runtimes"] or info["DefaultRuntime"] in info["Runtimes"]
    assert any("seccomp" in option for option in info["SecurityOptions"])


def test_images_are_listed(cli: Cli) -> None:
    row = next(line for line in cli("images").stdout.splitlines() if line.startswith("busybox"))
    assert "latest" in row
    assert cli("images", "-q", "busybox").stdout.strip()


def test_events_tell_the_life_of_a_container(cli: Cli, name: str) -> None:
    cli("run", "--name", name, "busybox", "true")
    cli("rm", name)
    period = ("--since", "5m", "--until", f"{time.time():.6f}")
    lines = cli("events", *period, "--filter", f"container={name}", "--format", "{{.Action}}")
    told = [line for line in lines.stdout.split() if line in {"create", "start", "die", "destroy"}]
    assert told == ["create", "start", "die", "destroy"]
