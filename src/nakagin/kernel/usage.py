"""What a process takes of the machine, as /proc tells it."""

from __future__ import annotations

import os


def private_set(pid: int) -> int:
    """The memory that a process shares with nobody, in bytes: what its end would free; 0 if it is gone.

    Source: proc_pid_smaps(5). Pages that many share are not in it: one more of the same kind does not take them again.
    """
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Private_"))
    except OSError:
        return 0


def processor_seconds(pid: int) -> float:
    """Time that its threads have run, in user and kernel mode (proc_pid_stat(5)); 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # the name in brackets may hold anything
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
