"""`nakagin-compose`: docker-compose's command line, alone and below `docker`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nakagin.cli.composing.alias import arranged
from tests.engine_fixture import ScratchEngine, docker_cli

SCRIPT = Path(sys.executable).parent / "nakagin-compose"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("up -d", "compose up -d"),
        ("-f a.yaml -H tcp://x:1 --profile p up", "-H tcp://x:1 compose -f a.yaml --profile p up"),
        ("--host=tcp://x:1 -p name ps -a", "--host=tcp://x:1 compose -p name ps -a"),
        ("--context far compose -f a.yaml ps", "--context far compose -f a.yaml ps"),
        ("compose -f a.yaml logs -f", "compose -f a.yaml logs -f"),
        ("--tlsverify --tlscacert ca.pem -v", "--tlsverify --tlscacert ca.pem compose -v"),
        ("-p compose run compose -H", "compose -p compose run compose -H"),
        ("--nothing up", "compose --nothing up"),
        ("", "compose"),
    ],
)
def test_words_find_their_place(words: str, meant: str) -> None:
    assert arranged(words.split()) == meant.split()


@pytest.mark.root
def test_alone_and_as_a_plugin(engine: ScratchEngine, tmp_path: Path) -> None:
    home = tmp_path / "aliased"
    home.mkdir()
    (home / "compose.yaml").write_text(
        "services: {a: {image: busybox, command: sleep 600, stop_signal: SIGKILL}}\n"
    )
    plugins = tmp_path / "config/cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-compose").symlink_to(SCRIPT)

    def said(*argv: object, code: int = 0) -> str:
        environment = engine.environment({"DOCKER_CONFIG": str(tmp_path / "config")})
        done = subprocess.run(
            [str(each) for each in argv], cwd=home, env=environment, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    assert json.loads(said(SCRIPT, "docker-cli-plugin-metadata"))["SchemaVersion"] == "0.1.0"
    assert "Nakagin" in said(docker_cli(), "compose", "version")
    try:
        said(docker_cli(), "compose", "up", "-d")
        assert said(SCRIPT, "ps", "--services") == "a\n"
        assert said(docker_cli(), "compose", "exec", "-T", "a", "echo", "inside") == "inside\n"
        said(docker_cli(), "-H", engine.host, "compose", "exec", "-T", "a", "sh", "-c", "exit 7", code=7)
    finally:
        said(SCRIPT, "-H", engine.host, "down", "-t", "0")
    assert said(SCRIPT, "ps", "-aq") == ""
