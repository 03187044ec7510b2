"""`compose watch`: files that change here change there."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from nakagin.compose.parts import Hook, Trigger
from nakagin.compose.watching import Reaction, Rule, react
from tests.compose.test_clients import Stack
from tests.engine_fixture import ScratchEngine, await_until

FILE = """
services:
  app:
    build: .
    command: sh -c 'cat /conf/a; exec sleep 600'
    stop_signal: SIGKILL
    network_mode: none
    develop:
      watch:
        - {path: ./src, action: sync, target: /src, ignore: [skipped], initial_sync: true}
        - {path: ./conf, action: sync+restart, target: /conf}
        - {path: ./made, action: rebuild}
"""


@pytest.mark.root
def test_files_follow(engine: ScratchEngine, tmp_path: Path) -> None:
    home = tmp_path / "watched"
    home.mkdir()
    stack = Stack(engine, home)
    for name, text in {
        "compose.yaml": FILE, "Dockerfile": "FROM busybox\nCOPY made /made\nCOPY conf /conf\n", "src/deep/a": "1",
        "conf/a": "first\n", "made": "built 1",
    }.items():  # fmt: skip
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    container = f"{stack.name}-app-1"

    def there(path: str) -> str:
        return engine.docker("exec", container, "cat", path, check=None).stdout

    said = (tmp_path / "said").open("w+")
    process = subprocess.Popen(
        engine.nakagin_argv("compose", "watch"), cwd=home, env=engine.environment(), stdout=said, stderr=said
    )
    try:
        await_until(lambda: "Watch enabled" in (tmp_path / "said").read_text(), "the watch stands", 90)
        assert there("/src/deep/a") == "1", "synced at the beginning"
        (home / "src/skipped").write_text("no")
        (home / "src/deep/a").write_text("2")
        await_until(lambda: there("/src/deep/a") == "2", "the change is there", 60)
        (home / "src/deep/a").unlink()
        await_until(lambda: not there("/src/deep/a"), "the removal is there", 60)
        assert not there("/src/skipped")
        (home / "conf/a").write_text("second\n")
        await_until(
            lambda: engine.docker("logs", container).stdout == "first\nsecond\n", "it was started again", 60
        )
        (home / "made").write_text("built 2")
        await_until(lambda: there("/made") == "built 2", "it was built again", 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
        said.close()
        stack.ours("down", "-t", "0", "--rmi", "local")
    assert "none of the selected services is configured for watch" in _without(stack)


ATTACHED = """
services:
  app:
    image: busybox
    command: sh -c 'cat /conf/a; exec sleep 600'
    stop_signal: SIGKILL
    network_mode: none
    develop: {watch: [{path: ./conf, action: sync+restart, target: /conf, initial_sync: true}]}
"""


@pytest.mark.root
def test_up_stays_and_watches(engine: ScratchEngine, tmp_path: Path) -> None:
    home = tmp_path / "attended"
    (home / "conf").mkdir(parents=True)
    stack = Stack(engine, home)
    (home / "compose.yaml").write_text(ATTACHED)
    (home / "conf/a").write_text("first\n")
    said = tmp_path / "said"
    with said.open("w") as output:
        process = subprocess.Popen(
            engine.nakagin_argv("compose", "up", "--watch"), cwd=home, env=engine.environment(),
            stdout=output, stderr=output,
        )  # fmt: skip
    try:
        await_until(lambda: "Watch enabled" in said.read_text(), "the watch stands", 60)
        (home / "conf/a").write_text("second\n")
        await_until(lambda: "app-1  | second" in said.read_text(), "it restarted, and its log goes on", 60)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130, said.read_text()
        assert stack.states() == {"app-1": "exited"}
    finally:
        process.kill()
        process.wait()
        stack.ours("down", "-t", "0")
    assert "--watch cannot be combined" in stack.ours("up", "-d", "--watch", code=1)


def _without(stack: Stack) -> str:
    (stack.home / "compose.yaml").write_text("services: {a: {image: busybox}}")
    return stack.ours("watch", code=1)


def test_what_changes_mean() -> None:
    hook = Hook(command=["true"])
    none = Hook(command=[])
    rules = [
        Rule(Trigger(path="/p/src", action="sync", target="/app", include=["*.py", "**/*.py"], exec=none)),
        Rule(Trigger(path="/p/conf", action="sync+exec", target="/conf", exec=hook), "/p", "conf/secret\n"),
        Rule(Trigger(path="/p/new", action="rebuild", exec=none)),
        Rule(Trigger(path="/p/again", action="restart", exec=none)),
    ]
    assert react(rules, {"/p/src/a/b.py": True, "/p/src/c.txt": True, "/p/src/d.py": False}) == Reaction(
        copies={"/p/src/a/b.py": "/app/a/b.py"}, removed=["/app/d.py"]
    )
    assert react(rules, {"/p/conf/x": True, "/p/conf/secret": True}) == Reaction(
        copies={"/p/conf/x": "/conf/x"}, commands=[hook]
    )
    assert react(rules, {"/p/src/a.py": True, "/p/new": True}) == Reaction(rebuild=True)
    assert react(rules, {"/p/again/x": False}) == Reaction(restart=True)
    assert not react(rules, {"/p/src/.git": True, "/p/src/a.py~": True, "/p/srcs/a.py": True})
