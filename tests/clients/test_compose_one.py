"""Debian's docker-compose 1.29 (the one in Python), unpacked beside the system: a project's basic cycle."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root

KEPT = Path("/var/tmp/nakagin-test-images/compose-1.29")
MODULES = KEPT / "usr/lib/python3/dist-packages"
Compose = Callable[..., str]

PROJECT = """
version: "3.7"
services:
  web:
    build: {context: ., args: {GREETING: hello}}
    command: sh -c "cp /greeting /data/index.html; exec httpd -f -p 80 -h /data"
    environment: {WORD: served}
    volumes: [data:/data, /scratch]
    ports: ["127.0.0.1::80"]
    init: true
    healthcheck: {test: wget -qO- http://127.0.0.1, interval: 1s, timeout: 5s, retries: 30}
  client:
    image: busybox
    command: sh -c "until wget -qO- http://web; do sleep 0.1; done; exec sleep 1000"
    init: true
    depends_on: [web]
    networks: [default, back]
    volumes: ["./given:/given:ro"]
networks: {back: {}}
volumes: {data: {}}
"""


def fetch() -> None:
    """The package, and what it needs that this machine has not, from Debian; nothing is installed."""
    archives = KEPT / "archives"
    (archives / "partial").mkdir(parents=True)
    get = [
        "apt-get",
        "-y",
        "-q",
        "--no-install-recommends",
        "--download-only",
        "-o",
        f"Dir::Cache::archives={archives}",
    ]
    subprocess.run([*get, "install", "docker-compose"], check=True, capture_output=True)
    for package in archives.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, KEPT], check=True)


@pytest.fixture
def compose(engine: ScratchEngine, name: str, tmp_path: Path) -> Iterator[Compose]:
    """docker-compose in the project's folder."""
    if not MODULES.exists():
        if not os.environ.get("NAKAGIN_CLIENTS"):
            pytest.skip("docker-compose 1.29 is not here: `make clients` fetches it")
        fetch()
    (tmp_path / "docker-compose.yml").write_text(PROJECT)
    (tmp_path / "Dockerfile").write_text("FROM busybox\nARG GREETING\nRUN echo $GREETING > /greeting\n")
    (tmp_path / "given").mkdir()
    (tmp_path / "given/f").write_text("given")
    environment = engine.environment({"PYTHONPATH": str(MODULES), "PYTHONWARNINGS": "ignore"})

    def call(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            ["/usr/bin/python3", "-c", "from compose.cli.main import main; main()", "-p", name, *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    yield call
    call("down", "-v", "-t", "1", "--rmi", "local")


def test_the_cycle_of_a_project(compose: Compose, engine: ScratchEngine, name: str, tmp_path: Path) -> None:
    assert "1.29" in compose("version", "--short")
    compose("config", "-q")
    compose("build")
    compose("up", "-d")
    rows = [row for row in compose("ps").splitlines() if row.startswith(name)]  # others go on with a command
    assert {row.split()[0] for row in rows} == {f"{name}_web_1", f"{name}_client_1"}
    assert all(" Up" in row for row in rows)
    logs = compose("logs", "--no-color", "client")
    assert re.search(r"client_1\s+\| hello", logs) or "hello" in compose("logs", "-f", "--tail", "1", "web")
    assert compose("exec", "-T", "client", "cat", "/given/f") == "given"
    assert compose("port", "web", "80").startswith("127.0.0.1:")
    assert "httpd" in compose("top", "web")
    assert compose("run", "--rm", "-T", "client", "wget", "-qO-", "http://web") == "hello\n"
    compose("up", "-d", "--scale", "client=2")
    assert compose("ps", "-q", "client").count("\n") == 2
    # A change makes one service anew; its anonymous volume stays.
    compose("exec", "-T", "web", "touch", "/scratch/kept")
    (tmp_path / "docker-compose.yml").write_text(PROJECT.replace("WORD: served", "WORD: changed"))
    before = compose("ps", "-q", "web")
    compose("up", "-d")
    assert compose("ps", "-q", "web") != before
    assert compose("exec", "-T", "web", "sh", "-c", "echo $WORD; ls /scratch") == "changed\nkept\n"
    compose("pause", "web")
    compose("unpause", "web")
    compose("restart", "-t", "1", "web")
    compose("stop", "-t", "1", "client")
    compose("start", "client")
    compose("kill", "client")
    compose("rm", "-f", "client")
    compose("down", "-v", "-t", "1")
    label = f"label=com.docker.compose.project={name}"
    for words in (("ps", "-aq"), ("volume", "ls", "-q"), ("network", "ls", "-q")):
        assert engine.docker(*words, "--filter", label).stdout == ""
