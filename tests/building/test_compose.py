"""Compose builds by our API: the binary of Compose itself, with Docker's classic builder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root

COMPOSE = Path(sys.executable).parent / "docker-compose"
PROJECT = """
services:
  web:
    image: composed-{name}
    build:
      context: web
      args: {{WHO: compose}}
      target: final
      labels: {{made: by-compose}}
    command: cat /who /c/a.txt
"""


def test_compose_builds_and_runs(engine: ScratchEngine, tmp_path: Path) -> None:
    if not COMPOSE.exists():
        pytest.skip("no docker-compose: make setup-test installs it")
    name = f"p{tmp_path.name.strip('_').replace('_', '')}".lower()
    (tmp_path / "web").mkdir()
    (tmp_path / "compose.yaml").write_text(PROJECT.format(name=name))
    (tmp_path / "web" / "a.txt").write_text("a\n")
    (tmp_path / "web" / "Dockerfile").write_text(
        "FROM busybox AS base\nARG WHO\nRUN echo $WHO > /who\nFROM base AS final\nCOPY . /c\nFROM base\nRUN false\n"
    )

    def compose(*words: str, check: int | None = 0) -> str:
        done = subprocess.run(
            [COMPOSE, "-p", name, *words], cwd=tmp_path, env=engine.environment({"DOCKER_BUILDKIT": "0"}),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert check is None or done.returncode == check, done.stdout + done.stderr
        return done.stdout + done.stderr

    try:
        assert f"Successfully tagged composed-{name}:latest" in compose("build")
        assert "Using cache" in compose("build")
        shown = compose("up")
        assert "compose" in shown
        labels = engine.docker("image", "inspect", "-f", "{{.Config.Labels}}", f"composed-{name}").stdout
        assert "made:by-compose" in labels
        (tmp_path / "web" / "Dockerfile").write_text("FROM busybox AS final\nRUN exit 7\n")
        assert "returned a non-zero code: 7" in compose("build", check=None)
    finally:
        compose("down", "-v", "--rmi", "all")
