"""Flags of the verbs of containers and volumes, by docker's command line and by ours, with the same effect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.engine_fixture import CLI, ScratchEngine, await_until
from tests.spine.observe import inspect

pytestmark = pytest.mark.root


@pytest.fixture(params=["docker", "nakagin"])
def program(request: pytest.FixtureRequest) -> str:
    """Whose command line."""
    return str(request.param)


def runner(engine: ScratchEngine, program: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """That command line on this engine."""
    return engine.docker if program == "docker" else engine.nakagin


def test_exec(engine: ScratchEngine, program: str, name: str, tmp_path: Path) -> None:
    """CLI.exec CLI.container_exec CLI.exec.detach CLI.exec.detach-keys CLI.exec.env CLI.exec.env-file
    CLI.exec.interactive CLI.exec.privileged CLI.exec.tty CLI.exec.user CLI.exec.workdir
    """
    run = runner(engine, program)
    (tmp_path / "env").write_text("FILE=yes\n")
    engine.docker("run", "-d", "--init", "--name", name, "busybox", "sleep", "1000")
    script = "echo $A $FILE; pwd; id -u; grep CapEff /proc/self/status; cat"
    flags = (
        "-i",
        "-e",
        "A=b",
        "--env-file",
        str(tmp_path / "env"),
        "-w",
        "/etc",
        "-u",
        "0:5",
        "--privileged",
    )
    shown = run(
        "exec", *flags, "--detach-keys", "ctrl-a", name, "sh", "-c", script, stdin="given"
    ).stdout.split()
    assert shown[:4] == ["b", "yes", "/etc", "0"]
    whole = Path("/proc/self/status").read_text().partition("CapBnd:")[2].split()[0]
    assert shown[4:] == ["CapEff:", whole, "given"]
    run("exec", "-d", name, "touch", "/detached")
    await_until(
        lambda: engine.docker("exec", name, "test", "-e", "/detached", check=None).returncode == 0, "it"
    )
    assert run("exec", "-t", name, "tty").stdout.startswith("/dev/pts/")
    assert run("exec", name, "sh", "-c", "exit 7", check=7).stdout == ""
    assert run("exec", name, "/nowhere", check=127).stdout in ("", "OCI runtime exec failed")


def test_create_start_attach(engine: ScratchEngine, program: str, name: str) -> None:
    """CLI.create CLI.container_create CLI.create.help CLI.start CLI.container_start CLI.start.attach
    CLI.start.interactive CLI.start.detach-keys CLI.start.checkpoint CLI.start.checkpoint-dir CLI.attach
    CLI.container_attach CLI.attach.no-stdin CLI.attach.sig-proxy CLI.attach.detach-keys CLI.run.interactive
    CLI.run.tty CLI.run.sig-proxy CLI.run.detach-keys CLI.run.init
    """
    run = runner(engine, program)
    run("create", "-i", "--init", "--name", name, "busybox", "sh", "-c", "cat; exit 4")
    assert (
        run("start", "-a", "-i", "--detach-keys", "ctrl-a", name, stdin="through", check=4).stdout
        == "through"
    )
    assert run("create", "--help").stdout.count("--") > 90
    refused = run("start", "--checkpoint", "c1", "--checkpoint-dir", "/tmp", name, check=1)
    assert refused.stderr
    assert run("start", name).stdout == f"{name}\n"
    argv = engine.docker_argv if program == "docker" else engine.nakagin_argv
    # Without input the program waits on for some, and what ends the client does not reach it.
    attached = subprocess.Popen(
        argv("attach", "--no-stdin", "--sig-proxy=false", name), env=engine.environment()
    )
    chosen = ("--since", "1h", "--until", "0s", "-f", f"container={name}", "-f", "event=attach")
    await_until(lambda: engine.docker("events", *chosen).stdout.count("attach") == 2, "the attach")
    attached.kill()
    attached.wait(30)
    assert inspect(engine, name, "{{.State.Running}}") == "true"
    assert run("attach", name, stdin="", check=4).stdout == "", "the end of its input is the program's"
    done = run("run", "--rm", "-t", "--sig-proxy=false", "--detach-keys", "a", "busybox", "tty")
    assert done.stdout.startswith("/dev/pts/")
    assert run("attach", "--detach-keys", "nonsense", name, check=1).stderr


def test_removal(engine: ScratchEngine, program: str, name: str) -> None:
    """CLI.rm CLI.container_rm CLI.rm.force CLI.rm.volumes CLI.rm.link CLI.container_prune CLI.container_prune.filter
    CLI.container_prune.force CLI.container CLI.rename CLI.container_rename CLI.pause CLI.unpause CLI.kill
    CLI.container_kill CLI.kill.signal
    """
    run = runner(engine, program)
    engine.docker("run", "-d", "--init", "--name", name, "-v", "/anonymous", "busybox", "sleep", "1000")
    volume = inspect(engine, name, "{{(index .Mounts 0).Name}}")
    assert run("container", "pause", name).stdout == f"{name}\n"
    assert run("unpause", name).stdout == f"{name}\n"
    run("container", "rename", name, f"{name}-x")
    run("rename", f"{name}-x", name)
    assert run("container", "kill", "-s", "STOP", name).stdout == f"{name}\n"
    engine.docker(
        "run", "-d", "--init", "--name", f"{name}-l", "--link", f"{name}:alias", "busybox", "sleep", "1000"
    )
    assert run("rm", "--link", f"{name}-l/alias").stdout == f"{name}-l/alias\n"
    assert run("rm", "-f", "-v", name, f"{name}-l").stdout == f"{name}\n{name}-l\n"
    assert engine.docker("volume", "inspect", volume, check=1).stdout == "[]\n"
    engine.docker("create", "--name", name, "-l", f"of={name}", "busybox")
    asked = run("container", "prune", "--filter", f"label=of={name}", stdin="n\n", check=None)
    assert "WARNING! This will remove all stopped containers" in asked.stdout + asked.stderr
    inspect(engine, name, "{{.Id}}")
    done = run("container", "prune", "-f", "--filter", f"label=of={name}")
    assert done.stdout.startswith("Deleted Containers:\n")
    assert "Total reclaimed space: " in done.stdout
    assert "Usage:" in run("container", "--help").stdout


@pytest.mark.docker(28)
def test_files(engine: ScratchEngine, program: str, name: str, tmp_path: Path) -> None:
    """CLI.cp CLI.container_cp CLI.cp.archive CLI.cp.follow-link CLI.cp.quiet CLI.export CLI.container_export
    CLI.export.output CLI.diff CLI.container_diff CLI.commit CLI.container_commit CLI.container_commit.author
    CLI.container_commit.change CLI.container_commit.message CLI.container_commit.pause
    """
    run = runner(engine, program)
    (tmp_path / "f").write_text("content")
    os.chown(tmp_path / "f", 1234, 2345)
    (tmp_path / "link").symlink_to("f")
    engine.docker("run", "--name", name, "busybox", "touch", "/made")
    assert run("cp", "-q", str(tmp_path / "f"), f"{name}:/g").stderr == ""
    run("container", "cp", "-L", str(tmp_path / "link"), f"{name}:/followed")
    run("cp", "-a", f"{name}:/g", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "content"
    assert program == "docker" or (tmp_path / "back").stat().st_uid == 1234, "docker copies no owners out"
    assert sorted(run("diff", name).stdout.split("\n")) == ["", "A /followed", "A /g", "A /made"]
    run("export", "-o", str(tmp_path / "out.tar"), name)
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert archive.getmember("followed").isreg()
        assert archive.getmember("g").uid == 1234
    flags = ("-a", "who", "-m", "why", "-c", "ENV A=b", "-p=false")
    made = run("container", "commit", *flags, name, f"img-{name}").stdout.strip()
    shown = engine.docker("image", "inspect", "-f", "{{.Author}} {{.Comment}} {{.Config.Env}}", made).stdout
    assert shown.startswith("who why [")
    assert "A=b" in shown
    engine.docker("rmi", f"img-{name}")


def test_logs_and_stats(engine: ScratchEngine, program: str, name: str) -> None:
    """CLI.logs.follow CLI.container_logs CLI.stats.no-trunc CLI.container_top CLI.container_port CLI.container_wait"""
    run = runner(engine, program)
    engine.docker(
        "run", "-d", "--init", "--name", name, "busybox", "sh", "-c", "echo one; sleep 0.3; echo two"
    )
    assert run("logs", "-f", name).stdout == "one\ntwo\n"
    assert run("container", "logs", "-n", "1", name).stdout == "two\n"
    engine.docker("start", name)
    whole = run("stats", "--no-stream", "--no-trunc", "--format", "{{.ID}}", name, check=None).stdout.strip()
    assert whole in ("", inspect(engine, name, "{{.Id}}"), "--")


@pytest.mark.docker(28)
def test_volumes(engine: ScratchEngine, program: str, name: str) -> None:
    """CLI.volume CLI.volume_create CLI.volume_create.driver CLI.volume_create.label CLI.volume_create.opt
    CLI.volume_create.availability CLI.volume_create.group CLI.volume_create.limit-bytes
    CLI.volume_create.required-bytes CLI.volume_create.scope CLI.volume_create.secret CLI.volume_create.sharing
    CLI.volume_create.topology-preferred CLI.volume_create.topology-required CLI.volume_create.type
    CLI.volume_ls.cluster CLI.volume_prune CLI.volume_prune.all CLI.volume_prune.filter CLI.volume_prune.force
    CLI.volume_rm CLI.volume_rm.force
    """
    run = runner(engine, program)
    flags = ("-d", "local", "--label", f"of={name}", "-o", "type=tmpfs", "-o", "device=tmpfs")
    assert run("volume", "create", *flags, name).stdout == f"{name}\n"
    made = json.loads(engine.docker("volume", "inspect", name).stdout)[0]
    assert (made["Labels"], made["Options"]["type"], made["Driver"]) == ({"of": name}, "tmpfs", "local")
    # Volumes of a swarm's cluster: there is none.
    cluster = (
        "--availability", "active", "--group", "g", "--limit-bytes", "5", "--required-bytes", "5", "--scope", "single",
        "--secret", "a=b", "--sharing", "none", "--topology-preferred", "a=b", "--topology-required", "a=b", "--type",
        "block",
    )  # fmt: skip
    refused = run("volume", "create", *cluster, f"{name}-c", check=1)
    assert refused.stderr
    assert run("volume", "ls", "--cluster", "-q").stdout == ""
    assert name not in run("volume", "prune", "-f", "--filter", f"label=of={name}").stdout, "it has a name"
    assert name in run("volume", "prune", "--force", "--all", "--filter", f"label=of={name}").stdout
    run("volume", "create", name)
    assert run("volume", "rm", name).stdout == f"{name}\n"
    run("volume", "rm", "-f", name)
    assert "Usage:" in run("volume", "--help").stdout


@pytest.mark.docker(28)
def test_before_the_verb(engine: ScratchEngine, program: str, tmp_path: Path) -> None:
    """CLI.root CLI.root.config CLI.root.debug CLI.root.host CLI.root.log-level CLI.root.version CLI.root.context
    CLI.system CLI.system_info CLI.info CLI.version CLI.system_dial_stdio
    """
    run = runner(engine, program)
    where = () if program == "nakagin" else ("-H", engine.host)  # ours has one already
    words = ("-D", "-l", "debug", "--config", str(tmp_path), *where, "info", "-f", "{{.OSType}}")
    assert run(*words).stdout == "linux\n"
    assert run("--version").stdout.lower().startswith(program)
    assert "Usage:" in run("--help").stdout
    assert "Server:" in run("info").stdout
    assert "Server:" in run("system", "info").stdout
    assert "API version" in run("version").stdout
    assert "Usage:" in run("system", "--help").stdout
    refused = run("-c", "nowhere", *where, "ps", check=1)
    assert "cannot specify both --host and --context" in refused.stderr
    asked = "GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert "200 OK" in run("system", "dial-stdio", stdin=asked).stdout


@pytest.mark.docker(28)
def test_use_api_socket(engine: ScratchEngine, program: str, name: str, tmp_path: Path) -> None:
    """CLI.run.use-api-socket: the engine's socket is in the container at Docker's place, and what the user may."""
    argv = engine.docker_argv if program == "docker" else engine.nakagin_argv
    (tmp_path / "config.json").write_text('{"auths": {"registry.example": {"auth": "d2hvOnNlY3JldA=="}}}')
    environment = engine.environment({"DOCKER_CONFIG": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)})
    script = "cat $DOCKER_CONFIG/config.json; test -S /var/run/docker.sock && echo socket"
    words = ("create", "--use-api-socket", "--name", name, "busybox", "sh", "-c", script)
    subprocess.run(argv(*words), env=environment, check=True, capture_output=True)
    shown = engine.docker("start", "-a", name).stdout
    assert shown.endswith("socket\n")
    known = json.loads(shown.removesuffix("socket\n"))["auths"]["registry.example"]
    assert known.get("auth") == "d2hvOnNlY3JldA==" or known["username"] == "who"
    if program == "nakagin":
        refused = subprocess.run(
            [sys.executable, "-c", CLI, "-H", "tcp://127.0.0.1:1", "create", "--use-api-socket", "busybox"],
            env=environment, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert "needs an engine at a unix socket" in refused.stderr
