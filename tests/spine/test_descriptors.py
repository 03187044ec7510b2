"""Who lives longer than a container keeps nothing of it open: descriptors run out, and hold mounts that are gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine, await_until

pytestmark = pytest.mark.root

LONG_LIVED = {"nakagin-zygote", "nakagin-midwife"}
LIVES = {
    "plain": ("run", "--rm", "busybox", "true"),
    "no network": ("run", "--rm", "--network", "none", "busybox", "true"),
    "a port": ("run", "--rm", "-p", "127.0.0.1::80", "busybox", "true"),
    "a volume": ("run", "--rm", "-v", "/data", "--tmpfs", "/scratch", "busybox", "true"),
    "privileged": ("run", "--rm", "--privileged", "busybox", "true"),
    "a terminal": ("run", "--rm", "-t", "busybox", "true"),
    "no such command": ("run", "--rm", "busybox", "/no/such"),
    "no directory": ("run", "--rm", "-w", "/etc/passwd/x", "busybox", "true"),
    "no place for a mount": ("run", "--rm", "-v", "/dev:/etc/passwd/x", "busybox", "true"),
    "a sysctl that is refused": ("run", "--rm", "--sysctl", "net.ipv4.no_such=1", "busybox", "true"),
}


def open_descriptors(engine: ScratchEngine) -> dict[str, list[str]]:
    """What each of the engine's long-lived processes has open, without the numbers of sockets and pipes."""
    found = {"engine": _targets(engine.pid)}
    for pid in engine.processes():
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        if name in LONG_LIVED:
            found[name] = _targets(pid)
    return found


def _targets(pid: int) -> list[str]:
    targets = []
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            targets.append(os.readlink(entry.path).partition(":[")[0])
        except FileNotFoundError:
            continue
    return sorted(targets)


# What is made ahead for the next container comes and goes; a leak grows with every life.
TIMES = 12
AHEAD = 8


@pytest.mark.parametrize("words", LIVES.values(), ids=LIVES)
def test_nothing_stays_open(engine: ScratchEngine, words: tuple[str, ...]) -> None:
    engine.docker(*words, check=None)  # whatever is opened once, at the first use
    before = {name: len(targets) for name, targets in open_descriptors(engine).items()}
    for _ in range(TIMES):
        engine.docker(*words, check=None)

    def settled() -> bool:
        return all(len(targets) <= before[name] + AHEAD for name, targets in open_descriptors(engine).items())

    try:
        await_until(settled, "descriptors to be closed", 10)
    except AssertionError:
        raise AssertionError(f"more than {before}: {open_descriptors(engine)}") from None
