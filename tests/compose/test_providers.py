"""Services of providers, and models, by programs that write down how they were called."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.test_clients import Stack
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root

FILE = """
services:
  database:
    provider: {type: fakecloud, options: {size: 256, name: [a, b]}}
  app:
    image: busybox
    command: sleep 600
    stop_signal: SIGKILL
    network_mode: none
    environment: {OWN: "1"}
    depends_on: [database]
  other: {image: busybox, command: sleep 600, stop_signal: SIGKILL, network_mode: none}
"""
PROVIDER = """#!/bin/sh
[ "$2" = metadata ] && [ -n "$METADATA" ] && { echo "$METADATA"; exit 0; }
[ "$2" = metadata ] && exit 1
echo "$@" >> "$CALLS"
[ -n "$SAYS" ] && { echo "$SAYS"; exit 3; }
echo '{"type": "info", "message": "preparing"}'
echo '{"type": "debug", "message": "hidden"}'
[ "$3" = up ] && echo '{"type": "setenv", "message": "URL=https://cloud/?a=b"}'
exit 0
"""
MODEL = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$1" in
ls) echo '[{"tags": ["ai/here"]}]';;
status) echo '{"endpoint": "http://models/engines/v1/"}';;
esac
"""
MODELS = """
services:
  app:
    image: busybox
    command: sleep 600
    stop_signal: SIGKILL
    network_mode: none
    models: {small-one: , big: {endpoint_var: WHERE, model_var: WHICH}}
models:
  small-one: {model: ai/here}
  big: {model: ai/far, context_size: 1024, runtime_flags: ["--fast"]}
"""


@pytest.fixture
def stack(engine: ScratchEngine, tmp_path: Path) -> Iterator[Stack]:
    home = tmp_path / f"p{secrets.token_hex(3)}"
    plugins = tmp_path / "config/cli-plugins"
    for folder in (home, plugins, tmp_path / "bin"):
        folder.mkdir(parents=True)
    for path, text in ((tmp_path / "bin/fakecloud", PROVIDER), (plugins / "docker-model", MODEL)):
        path.write_text(text)
        path.chmod(0o755)
    made = Stack(engine, home)
    (home / "compose.yaml").write_text(FILE)
    yield made
    made.ours("down", "-v", "-t", "0", extra=surroundings(made))
    assert not made.left()


def surroundings(stack: Stack, **more: str) -> dict[str, str]:
    folder = stack.home.parent
    return {
        "PATH": f"{folder}/bin:{os.environ.get('PATH', os.defpath)}",
        "DOCKER_CONFIG": f"{folder}/config",
        "CALLS": f"{folder}/calls",
        **more,
    }


def calls(stack: Stack) -> list[str]:
    path = stack.home.parent / "calls"
    found = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def environment(stack: Stack, name: str) -> dict[str, str]:
    shown = stack.engine.docker("inspect", "-f", "{{json .Config.Env}}", f"{stack.name}-{name}-1").stdout
    return dict(each.split("=", 1) for each in json.loads(shown))


def test_a_provider_is_called_as_compose_calls_it(stack: Stack) -> None:
    extra = surroundings(stack)
    assert "service database  provide" in stack.ours("up", "--plan", extra=extra)
    assert not calls(stack)
    told = stack.ours("up", "-d", extra=extra)
    assert "Service database  preparing" in told
    assert "hidden" not in told
    ours = calls(stack)
    assert environment(stack, "app")["DATABASE_URL"] == "https://cloud/?a=b"
    assert environment(stack, "app")["OWN"] == "1"
    assert "DATABASE_URL" not in environment(stack, "other")
    stack.theirs("up", "-d", extra=extra)
    theirs = calls(stack)
    assert [sorted(line.split()) for line in ours] == [sorted(line.split()) for line in theirs]
    assert ours[0].endswith(" database")
    assert stack.ours("up", "-d", extra=extra).count("Recreat") == 0, "it is the same container for both"
    assert set(stack.states()) == {"app-1", "other-1"}
    calls(stack)
    stack.ours("down", "-t", "0", extra=extra)
    assert [line.split()[:3] for line in calls(stack)] == [
        ["compose", f"--project-name={stack.name}", "down"]
    ]


def test_what_a_provider_says_counts(stack: Stack) -> None:
    parameters: list[dict[str, object]] = [{"name": "size"}]
    known = {"up": {"parameters": parameters}, "down": {"parameters": []}}
    stack.ours("up", "-d", "database", extra=surroundings(stack, METADATA=json.dumps(known)))
    assert calls(stack) == [f"compose --project-name={stack.name} up --size=256 database"]
    parameters.append({"name": "region", "required": True})
    for more, said in (
        ({"METADATA": json.dumps(known)}, "the provider fakecloud needs the option 'region'"),
        ({"SAYS": '{"type": "error", "message": "no credit"}'}, "no credit"),
        ({"SAYS": "plain words"}, "it said 'plain words', which is no JSON message"),
        ({"SAYS": '{"type": "setenv", "message": "nothing"}'}, "no NAME=VALUE"),
        ({"SAYS": '{"type": "info", "message": "bye"}'}, "it exited with code 3"),
        ({"PATH": "/nowhere"}, "no provider of type 'fakecloud' is installed"),
    ):
        told = stack.ours("up", "-d", code=1, extra=surroundings(stack, **more))
        assert said in told, told
    assert stack.states() == {}, "what depends on it is not made"


def test_models_come_from_dockers_plugin(stack: Stack) -> None:
    (stack.home / "compose.yaml").write_text(MODELS)
    stack.ours("up", "-d", extra=surroundings(stack))
    ours = calls(stack)
    assert sorted(ours) == [
        "configure --context-size 1024 ai/far -- --fast", "configure ai/here", "ls --json", "pull ai/far",
        "status --json",
    ]  # fmt: skip
    seen = environment(stack, "app")
    assert {key: seen[key] for key in ("SMALL_ONE_MODEL", "SMALL_ONE_URL", "WHICH", "WHERE")} == {
        "SMALL_ONE_MODEL": "ai/here",
        "SMALL_ONE_URL": "http://models/engines/v1/",
        "WHICH": "ai/far",
        "WHERE": "http://models/engines/v1/",
    }
    told = stack.ours("up", "-d", code=1, extra=surroundings(stack, DOCKER_CONFIG="/nowhere"))
    assert "'models' support requires Docker Model plugin" in told
