"""A monitor that has nothing left of its container serves another one (docs/decisions/221)."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine, await_until
from tests.spine.observe import init_pid, is_gone, parent

pytestmark = pytest.mark.root


@pytest.fixture
def door(engine: ScratchEngine) -> Iterator[Path]:
    """A folder with a FIFO: containers that read it end when somebody has written."""
    folder = engine.root / f"door-{uuid.uuid4().hex[:6]}"
    folder.mkdir()
    os.mkfifo(folder / "open")
    yield folder
    (folder / "open").unlink()
    folder.rmdir()


def life(engine: ScratchEngine, door: Path, *between: str) -> int:
    """A container from its start to its end, whose output must be its own; the pid of its monitor."""
    word = uuid.uuid4().hex
    script = f"cat /door/open; echo {word}; exit 3"
    run = ("run", "-d", "-v", f"{door}:/door", "busybox", "sh", "-c", script)
    identity = engine.docker(*run).stdout.strip()
    try:
        monitor = parent(init_pid(engine, identity))
        match between:
            case ("exec", *words):
                engine.docker("exec", identity, *words)
            case _ if between:
                engine.docker(*between, identity)
        (door / "open").write_text("")
        assert engine.docker("wait", identity).stdout.strip() == "3"
        assert engine.docker("logs", identity).stdout == f"{word}\n"
    finally:
        engine.docker("rm", "-f", identity)
    return monitor


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_the_next_container_gets_the_monitor_of_the_last(engine: ScratchEngine, door: Path) -> None:
    served: list[int] = []

    def again() -> bool:
        """Where seconds lie between two containers, the next one gets a fresh monitor."""
        served.append(life(engine, door))
        return served.count(served[-1]) == 4

    await_until(again, "a monitor to serve four containers", 60)
    with suppress(FileNotFoundError):  # it may have had to leave just now
        assert descriptors(served[-1]) < 20, "each container must leave nothing open"
    await_until(lambda: all(map(is_gone, served)), "a fresh monitor to wait in the place of the used ones")


@pytest.mark.parametrize(
    "between", [("exec", "true"), ("update", "--pids-limit", "90")], ids=lambda words: words[0]
)
def test_a_monitor_that_did_more_than_serve_does_not_come_back(
    engine: ScratchEngine, door: Path, between: tuple[str, ...]
) -> None:
    monitor = life(engine, door, *between)
    assert monitor not in {life(engine, door) for _ in range(3)}
    await_until(lambda: is_gone(monitor), "the monitor to end with its container")


@pytest.mark.parametrize("turn", range(3))
def test_one_that_is_killed_while_it_waits_takes_nothing_along(
    engine: ScratchEngine, door: Path, turn: int
) -> None:
    monitor = life(engine, door)
    with suppress(ProcessLookupError):  # it may have had to leave
        os.kill(monitor, signal.SIGKILL)
    await_until(lambda: is_gone(monitor), "the kernel to end it")
    assert engine.docker("run", "--rm", "busybox", "echo", f"here {turn}").stdout == f"here {turn}\n"
