"""Whatever happens to a project, and wherever its `up` was killed: the next `up` heals it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.healing import Trouble
from tests.compose.test_clients import Stack
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root

ROUNDS = 4
FILE = """
services:
  web:
    image: busybox
    command: sh -c 'mkdir -p /w; cp /etc/page /w/index.html; exec httpd -f -p 80 -h /w'
    stop_signal: SIGKILL
    networks: [front, back]
    configs: [{source: page, target: /etc/page}]
    depends_on: {db: {condition: service_healthy}}
    scale: 2
    x-nakagin-ready: {tcp: 80}
  db:
    image: busybox
    command: sh -c 'echo life >> /data/lives; exec sleep 600'
    stop_signal: SIGKILL
    networks: [back]
    volumes: ["data:/data", /scratch]
    healthcheck: {test: test -s /data/lives, interval: 500ms}
networks: {front: , back: {internal: true}}
volumes: {data: }
configs: {page: {content: "page\\n"}}
"""


@pytest.fixture
def stack(engine: ScratchEngine, tmp_path: Path) -> Iterator[Stack]:
    home = tmp_path / f"h{secrets.token_hex(3)}"
    home.mkdir()
    made = Stack(engine, home)
    (home / "compose.yaml").write_text(FILE)
    yield made
    made.ours("down", "-v", "-t", "0", "--remove-orphans", check=False)


def test_up_heals_whatever_happened(stack: Stack) -> None:
    stack.ours("up", "-d", "--wait")
    whole = {"web-1": "running", "web-2": "running", "db-1": "running"}
    lives = 0
    seed = secrets.randbelow(1 << 30)
    trouble = Trouble(stack, seed)
    story = [f"seed {seed}"]
    for _ in range(ROUNDS):
        story.append(trouble.happens())
        stack.ours("up", "-d", "--wait")
        assert stack.states() == whole, story
        told = stack.ours("exec", "-T", "db", "cat", "/data/lives")
        assert told.count("life") >= max(lives, 1), story
        lives = told.count("life")
        assert stack.ours("exec", "-T", "db", "wget", "-qO-", "http://web/") == "page\n", story
    assert "Nothing to do" in stack.ours("up", "--plan"), story
    stack.ours("down", "-v", "-t", "0")
    assert not stack.left()
