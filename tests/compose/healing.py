"""What goes wrong with a project, at random: containers that die or go, an `up` that is killed on its way."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from typing import TypeVar

from tests.compose.test_clients import Stack

T = TypeVar("T")


class Trouble:
    """Breaks a project; the seed tells the story again."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self._stack = stack
        self._random = random.Random(seed)

    def happens(self) -> str:
        """One thing; its description."""
        names = self._stack.engine.docker(
            "ps",
            "-a",
            "--filter",
            f"label=com.docker.compose.project={self._stack.name}",
            "--format",
            "{{.Names}}",
        ).stdout.split()
        victim = self._random.choice(sorted(names) or ["nobody"])
        kind = self._random.choice(("kill", "remove", "pause and stop", "unplug", "interrupt"))
        docker = self._stack.engine.docker
        match kind:
            case "kill":
                docker("kill", victim, check=None)
            case "remove":
                docker("rm", "-f", victim, check=None)
            case "pause and stop":
                docker("pause", victim, check=None)
                docker("stop", "-t", "0", victim, check=None)
            case "unplug":
                networks = docker(
                    "inspect",
                    "-f",
                    "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}",
                    victim,
                    check=None,
                ).stdout.split()
                for network in networks:
                    docker("network", "disconnect", "-f", network, victim, check=None)
            case "interrupt":
                return f"interrupt: {self._interrupt()}"
        return f"{kind}: {victim}"

    def _interrupt(self) -> str:
        """Kill an `up` that has much to do, somewhere on its way."""
        after = self._random.uniform(0.1, 2.0)
        process = subprocess.Popen(
            self._stack.engine.nakagin_argv("compose", "up", "-d", "--force-recreate", "-t", "0"),
            cwd=self._stack.home, env=self._stack.engine.environment(), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        return f"after {after:.2f} s"


def wait_for_answer(ask: Callable[[], T], seconds: float = 60.0) -> T:
    """What it answers, once it does; the last error where it never does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except (OSError, AssertionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
