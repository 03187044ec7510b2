"""Which run of the kernel this is. What was written in it and not yet synced is doubtful in another one."""

from __future__ import annotations

from functools import cache


@cache
def boot_id() -> str:
    """What tells this run of the kernel from others."""
    with open("/proc/sys/kernel/random/boot_id") as stream:
        return stream.read().strip()
