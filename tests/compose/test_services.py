"""The verbs that speak to containers by the names of their services, on a real engine."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.corpus import binary
from tests.compose.test_clients import Stack
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root

FILE = """
services:
  app:
    image: busybox
    command: sh -c 'echo made > /made; exec sleep 600'
    stop_signal: SIGKILL
    volumes: ["data:/data"]
    scale: 2
    depends_on: [job]
    ports: ["127.0.0.1::80"]
    networks: [front]
  job: {image: busybox, command: sh -c 'exit 3', network_mode: none}
  talk: {image: busybox, command: sh -c 'read a; echo got $$a; exit 5', stdin_open: true, networks: [front]}
  idle: {image: busybox, command: sleep 600, stop_signal: SIGKILL, networks: [front], volumes: ["other:/other"]}
networks: {front: }
volumes: {data: , other: }
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("services")


@pytest.fixture(scope="module")
def stack(engine: ScratchEngine, home: Path) -> Iterator[Stack]:
    made = Stack(engine, home)
    (home / "compose.yaml").write_text(FILE)
    made.ours("up", "-d")
    yield made
    made.ours("down", "-v", "-t", "0")
    assert not made.left()


def test_files_go_into_all_containers_and_out_of_the_first(stack: Stack) -> None:
    (stack.home / "note").write_text("here")
    stack.ours("cp", "note", "app:/tmp/note")
    for number in (1, 2):
        assert stack.engine.docker("exec", f"{stack.name}-app-{number}", "cat", "/tmp/note").stdout == "here"
    stack.ours("cp", "--index", "2", "note", "app:/tmp/second")
    stack.ours("cp", "app:/tmp/note", "back")
    assert (stack.home / "back").read_text() == "here"
    assert (
        "No such file" in stack.ours("cp", "--index", "1", "app:/tmp/second", "x", code=1)
        or not (stack.home / "x").exists()
    )
    assert "exactly one of the two is SERVICE:PATH" in stack.ours("cp", "a", "b", code=1)
    assert "no such service: nothing" in stack.ours("cp", "nothing:/a", "b", code=1)
    assert "DRY-RUN" in stack.ours("cp", "--dry-run", "note", "app:/never")
    stack.engine.docker("exec", f"{stack.name}-app-1", "test", "!", "-e", "/never")


def test_export_and_commit(stack: Stack) -> None:
    stack.ours("export", "--index", "2", "-o", "out.tar", "app")
    with tarfile.open(stack.home / "out.tar") as archive:
        made = archive.extractfile("made")
        assert made is not None
        assert made.read() == b"made\n"
    image = f"{stack.name}-kept:1"
    told = stack.ours("commit", "-m", "as it is", "app", image)
    assert told.startswith("sha256:")
    assert stack.engine.docker("run", "--rm", "--network", "none", image, "cat", "/made").stdout == "made\n"
    stack.engine.docker("rmi", image)
    assert 'service "app" is not running container #7' in stack.ours("export", "--index", "7", "app", code=1)


def test_the_volumes_of_a_project_and_of_a_service(stack: Stack) -> None:
    assert stack.ours("volumes", "-q").split() == [f"{stack.name}_data", f"{stack.name}_other"]
    assert stack.ours("volumes", "-q", "idle").split() == [f"{stack.name}_other"]
    (row,) = map(json.loads, stack.ours("volumes", "--format", "json", "app").splitlines())
    assert row["Name"] == f"{stack.name}_data"
    theirs = stack.theirs("volumes", "idle")
    assert [line.split() for line in stack.ours("volumes", "idle").splitlines()] == [
        line.split() for line in theirs.splitlines()
    ]


def test_stats_of_a_project_and_of_a_service(stack: Stack) -> None:
    names = ["stats", "--no-stream", "--format", "{{.Name}}"]
    shown = stack.ours(*names).split()
    assert {f"{stack.name}-app-1", f"{stack.name}-app-2", f"{stack.name}-idle-1"} <= set(shown)
    assert stack.ours(*names, "idle").split() == [f"{stack.name}-idle-1"]
    assert stack.ours(*names, "job").split() == [], "it does not run"
    assert f"{stack.name}-job-1" in stack.ours(*names, "-a", "job")


def test_attach_gives_input_and_the_exit_code(stack: Stack) -> None:
    done = subprocess.run(
        stack.engine.nakagin_argv("compose", "attach", "talk"), cwd=stack.home, env=stack.engine.environment(),
        input="word\n", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (5, "got word\n"), done.stderr
    assert 'service "talk" is not running' in stack.ours("attach", "talk", code=1)


def test_wait_tells_the_end(engine: ScratchEngine, tmp_path: Path) -> None:
    stack = Stack(engine, tmp_path)
    (tmp_path / "compose.yaml").write_text(
        "services:\n"
        "  ends: {image: busybox, network_mode: none, command: sh -c 'sleep 2; exit 4'}\n"
        "  stays: {image: busybox, network_mode: none, command: sleep 600, stop_signal: SIGKILL}\n"
    )
    assert "no containers for project" in stack.ours("wait", "ends", code=1)
    stack.ours("up", "-d")
    assert "exited with status code 4" in stack.ours("wait", "ends", code=4)
    assert "exited with status code 4" in stack.ours("wait", "--down-project", "ends", "stays", code=4)
    assert not stack.left()


def test_the_graph_is_composes(stack: Stack) -> None:
    words = ["alpha", "viz", "--networks", "--ports", "--image", "--spaces", "--indentation-size", "2"]
    done = subprocess.run(
        [binary(), *words], cwd=stack.home, env=stack.engine.environment(), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    ours = stack.ours(*words)
    assert sorted(ours.split("\n")) == sorted(done.stdout.split("\n")), "its order is that of a Go map"
    assert (
        stack.ours("viz", "--networks", "--ports", "--image", "--spaces", "--indentation-size", "2") == ours
    )


def test_a_file_is_generated_from_containers(stack: Stack) -> None:
    idle, app = f"{stack.name}-idle-1", f"{stack.name}-app-1"
    (stack.home / "again.yaml").write_text(stack.ours("alpha", "generate", "--name", "again", idle, app))
    shown = json.loads(stack.ours("-f", "again.yaml", "config", "--format", "json"))
    assert shown["name"] == "again"
    services = shown["services"]
    assert set(services) == {"app", "idle"}
    assert services["idle"]["command"] == ["sleep", "600"]
    assert services["idle"]["volumes"][0]["source"] == f"{stack.name}_other"
    assert not [key for key in services["app"].get("labels", {}) if key.startswith("com.docker.compose")]
    assert shown["networks"][f"{stack.name}_front"]["external"] is True
    told = stack.ours("generate", app, f"{stack.name}-app-2", code=1)
    assert "two containers of the service app" in told
    assert (
        json.loads(stack.ours("generate", "--format", "json", idle))["services"]["idle"]["image"] == "busybox"
    )


def test_a_dry_run_as_compose_once_wrote_it(stack: Stack) -> None:
    before = stack.states()
    assert "stop" in stack.ours("alpha", "dry-run", "--", "stop", "idle")
    assert stack.states() == before


def test_progress_on_standard_output(stack: Stack) -> None:
    for value, shown in (("1", True), ("", False)):
        done = subprocess.run(
            stack.engine.nakagin_argv("compose", "restart", "-t", "0", "idle"), cwd=stack.home, capture_output=True,
            env=stack.engine.environment({"COMPOSE_STATUS_STDOUT": value}), text=True, timeout=60, check=True,
        )  # fmt: skip
        assert ("idle-1  Restarting" in done.stdout) is shown
        assert ("idle-1  Restarting" in done.stderr) is not shown


def test_a_service_reaches_the_engine_and_registries(stack: Stack) -> None:
    (stack.home / "socket.yaml").write_text(
        f"name: {stack.name}\nservices: {{idle: {{image: busybox, network_mode: none, use_api_socket: true}}}}\n"
    )
    config = stack.home / "docker"
    config.mkdir()
    (config / "config.json").write_text('{"auths": {"registry.example": {"auth": "bWU6c2VjcmV0"}}}')
    script = "test -S /var/run/docker.sock && cat $DOCKER_CONFIG/config.json"
    words = ("-f", "socket.yaml", "run", "--rm", "-q", "-T", "idle", "sh", "-c", script)
    told = stack.ours(*words, extra={"DOCKER_CONFIG": str(config), "COMPOSE_IGNORE_ORPHANS": "1"})
    assert json.loads(told) == {"auths": {"registry.example": {"auth": "bWU6c2VjcmV0"}}}
