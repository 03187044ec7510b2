"""`compose run`: one container more, with every flag, as the Compose v2 binary makes it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compose.test_clients import Stack
from tests.compose.test_same import differences
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root

FILE = """
services:
  db:
    image: busybox
    command: sh -c 'touch /ready; exec sleep 600'
    stop_signal: SIGKILL
    healthcheck: {test: test -f /ready, interval: 1s}
  app:
    image: busybox
    command: echo service
    restart: always
    environment: {A: file, B: file}
    cap_drop: [NET_RAW, CHOWN]
    ports: ["127.0.0.1::80"]
    volumes: ["data:/data", "./here:/here"]
    networks: {net: {aliases: [application]}}
    secrets: [password]
    depends_on: {db: {condition: service_healthy}}
    deploy: {restart_policy: {condition: any}}
  loner: {image: busybox, command: "true", network_mode: none}
networks: {net: }
volumes: {data: }
secrets: {password: {environment: PASSWORD}}
"""
MANY = [
    "--no-deps", "-d", "-e", "A=flag", "-e", "PASSED", "-e", "UNKNOWN", "--env-from-file", "vars", "-l", "one=1",
    "--cap-add", "CHOWN", "--cap-drop", "KILL", "-u", "12:34", "-w", "/tmp", "-v", "named:/named", "-v", "/srv:/srv:ro",
    "-p", "127.0.0.1::8080", "--entrypoint", "sleep 600", "-T",
]  # fmt: skip


@pytest.fixture(scope="module")
def stack(engine: ScratchEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home: Path = tmp_path_factory.mktemp("run")
    made = Stack(engine, home)
    (home / "compose.yaml").write_text(FILE)
    (home / "vars").write_text("A=vars\nFROM_FILE=${A}-x\n")
    yield made
    made.ours("down", "-v", "-t", "0", "--remove-orphans")
    assert not made.left()


def inspected(stack: Stack, name: str) -> Any:
    """What the engine knows of a container, without what differs each time."""
    (found,) = json.loads(stack.engine.docker("inspect", name).stdout)
    text = json.dumps({key: found[key] for key in ("Config", "HostConfig", "Mounts", "NetworkSettings")})
    shown = json.loads(text.replace(found["Id"], "ID").replace(found["Id"][:12], "ID"))
    shown["Config"]["Labels"].pop("com.docker.compose.slug")
    shown["Config"]["Labels"].pop("io.nakagin.compose.contents-hash", None)  # ours alone
    shown["NetworkSettings"] = sorted(shown["NetworkSettings"]["Networks"])
    for kind in ("Binds", "Mounts"):
        holder = shown["HostConfig"] if kind == "Binds" else shown
        holder[kind] = sorted(holder[kind] or [], key=str)
    shown["Config"]["Env"] = sorted(shown["Config"]["Env"])
    return shown


def test_the_container_is_the_one_that_compose_makes(stack: Stack) -> None:
    extra = {"PASSED": "through", "PASSWORD": "s3cret"}
    name = f"{stack.name}-once"
    for flags in (["--no-deps", "-d", "-P", "--use-aliases", "-T", "--rm"], MANY):
        made = []
        for run in (stack.theirs, stack.ours):
            try:
                run(
                    "run",
                    *flags,
                    "--name",
                    name,
                    "app",
                    *([] if flags is MANY else ["sleep", "600"]),
                    extra=extra,
                )
                made.append(inspected(stack, name))
            finally:
                stack.engine.docker("rm", "-f", "-v", name, check=None)
        assert differences(made[1], made[0]) == []


def test_its_exit_code_its_input_and_nothing_left(stack: Stack) -> None:
    assert stack.ours("run", "--rm", "-q", "-T", "loner", "sh", "-c", "echo out; exit 7", code=7) == "out\n"
    told = stack.ours("run", "--rm", "-q", "--entrypoint", "nothing-like-it", "loner", code=127)
    assert "executable file not found" in told
    done = subprocess.run(
        stack.engine.nakagin_argv("compose", "run", "--rm", "-q", "loner", "cat"), cwd=stack.home,
        env=stack.engine.environment(), input=b"typed\n", capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == (b"typed\n", 0)
    assert stack.states() == {}


def test_what_it_depends_on_comes_first(stack: Stack) -> None:
    shown = stack.ours("--dry-run", "run", "app")
    assert shown.index("until it is healthy, for app") < shown.index("it is run once")
    assert stack.states() == {}
    told = stack.ours(
        "run", "--rm", "-q", "-T", "app", "cat", "/run/secrets/password", extra={"PASSWORD": "x"}
    )
    assert told == "x"
    assert stack.states() == {"db-1": "running"}
    health = stack.engine.docker("inspect", "-f", "{{.State.Health.Status}}", f"{stack.name}-db-1").stdout
    assert health == "healthy\n"


def test_on_a_terminal_it_has_one(stack: Stack) -> None:
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            stack.engine.nakagin_argv("compose", "run", "--rm", "-q", "loner", "sh", "-c", "tty; stty size"),
            cwd=stack.home, env=stack.engine.environment(), stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 4096):
                said += piece
        except OSError:  # the other end is closed
            pass
        assert process.wait(60) == 0, said
    finally:
        os.close(ours)
    assert b"/dev/" in said, said


def test_what_cannot_be_is_refused(stack: Stack) -> None:
    assert "--service-ports and --publish are incompatible" in stack.ours(
        "run", "-P", "-p", "80", "app", code=1
    )
    assert "--tty and --no-TTY can't be used together" in stack.ours("run", "-t", "--no-TTY", "app", code=1)
    assert "no such service: nobody" in stack.ours("run", "nobody", code=1)
    assert "requires at least 1 argument" in stack.ours("run", code=1)
    assert "invalid port specification" in stack.ours("run", "-p", "a:b", "app", code=1)
