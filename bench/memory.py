"""Memory of an engine: the proportional set size of every process of its side, never of the workload."""

from __future__ import annotations

import contextlib
import os

from tests.engine_fixture import ScratchEngine


def engine_side(engine: ScratchEngine) -> list[int]:
    """Engine, zygote, monitors; dockerd, containerd, shims: all that live in our own process namespace."""
    here = os.stat("/proc/self/ns/pid").st_ino
    found = []
    for pid in engine.processes():
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}/ns/pid").st_ino == here:
                found.append(pid)
    return found


def proportional_kilobytes(pids: list[int]) -> int:
    """The sum of Pss (proc_pid_smaps(5)); shared pages count by their share."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as file:
            total += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return total


def megabytes(engine: ScratchEngine) -> float:
    """All of an engine's side, in MB."""
    return proportional_kilobytes(engine_side(engine)) / 1024
