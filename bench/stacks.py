"""A project of ten services: `up -d --wait` until all are healthy, and `down`; our `compose` on our engine, the Compose
binary on every engine. And `ps` of thirty services.

No service is healthy before the first look at it, which comes an interval after its start: that part of `up` is a sleep
that all have alike. So a short interval is measured, and half a second beside it.
"""

from __future__ import annotations

import os
import subprocess
import time
from functools import partial

from tests.compose.corpus import binary
from tests.engine_fixture import ScratchEngine

from bench.measure import Row, in_turns, say

_SERVICE = """  s{number}:
    image: busybox
    command: sleep 100000
    stop_signal: SIGKILL
    labels: {{bench: compose}}
    environment: {{A: one, B: two}}
    healthcheck: {{test: "true", interval: {interval}ms}}
    volumes: ["data{number}:/data"]
"""


class Stack:
    """A project in a folder of its own, on one engine, by one client."""

    def __init__(
        self, engine: ScratchEngine, folder: str, services: int, argv: list[str], interval: int = 500
    ) -> None:
        self.engine = engine
        self.home = os.path.join(folder, f"stack-{engine.instance}-{services}-{len(argv)}-{interval}")
        os.makedirs(self.home, exist_ok=True)
        text = "services:\n" + "".join(
            _SERVICE.format(number=number, interval=interval) for number in range(services)
        )
        text += "volumes:\n" + "".join(f"  data{number}:\n" for number in range(services))
        with open(os.path.join(self.home, "compose.yaml"), "w") as file:
            file.write(text)
        self.argv = argv

    def __call__(self, *words: str) -> None:
        done = subprocess.run(
            [*self.argv, *words], cwd=self.home, env=self.engine.environment(), capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(
                f"{words} exited with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}"
            )


def rows(engines: dict[str, ScratchEngine], folder: str, rounds: int) -> list[Row]:
    """The targets are those of the issue."""
    theirs = [binary()]
    clients = {
        peer: theirs if peer != "nakagin" else each.nakagin_argv("compose") for peer, each in engines.items()
    }
    same = dict.fromkeys(engines, theirs)
    up, down = _measured(engines, folder, clients, 200, rounds)
    found = [
        Row("compose up -d, 10 healthy, looks every 200 ms", "ms", up, target=1 / 4),
        Row("compose down -v, 10 services", "ms", down, target=1 / 4),
    ]
    for title, argv in (("compose", clients), ("docker compose", same)):
        up, down = _measured(engines, folder, argv, 500, rounds)
        found.append(Row(f"{title} up -d, 10 healthy, looks every 500 ms", "ms", up))
    found.append(Row("docker compose down -v, 10 services", "ms", down))
    return found + _listing(engines, folder, clients, rounds)


def _measured(
    engines: dict[str, ScratchEngine], folder: str, argv: dict[str, list[str]], interval: int, rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """The times of `up` and of `down` of ten services, by engine; the first round of each does not count."""
    up: dict[str, list[float]] = {peer: [] for peer in engines}
    down: dict[str, list[float]] = {peer: [] for peer in engines}
    stacks = {peer: Stack(each, folder, 10, argv[peer], interval) for peer, each in engines.items()}
    for turn in range(rounds + 1):
        for peer, stack in stacks.items():
            began = time.perf_counter()
            stack("up", "-d", "--wait")
            healthy = time.perf_counter()
            stack("down", "-v")
            if turn:
                up[peer].append((healthy - began) * 1000)
                down[peer].append((time.perf_counter() - healthy) * 1000)
    return up, down


def _listing(
    engines: dict[str, ScratchEngine], folder: str, clients: dict[str, list[str]], rounds: int
) -> list[Row]:
    stacks = {peer: Stack(each, folder, 30, clients[peer]) for peer, each in engines.items()}
    try:
        for stack in stacks.values():
            stack("up", "-d")
        samples = in_turns({peer: partial(stack, "ps") for peer, stack in stacks.items()}, max(rounds, 5))
        return [Row("compose ps, 30 services", "ms", samples, target=150, absolute=True)]
    finally:
        for peer, stack in stacks.items():
            say(f"{peer}: taking 30 services down")
            stack("down", "-v")
