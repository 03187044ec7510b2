"""Where and how a program runs: scheduler, CPUs, I/O priority, memory nodes, execution domain. In the child."""

from __future__ import annotations

import os

from nakagin.errors import StepFailed
from nakagin.kernel import scheduling
from nakagin.runtime.become import step
from nakagin.runtime.program import cpu_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.runtime.program import Program


def place(program: Program) -> None:
    """CPU, I/O and memory placement. Raises StepFailed."""
    if program.io_priority is not None:
        step("set the I/O priority", scheduling.set_io_priority, program.io_priority)
    if program.scheduler:
        _set_scheduler(program)
    if program.final_cpus:
        step("set the CPU affinity", os.sched_setaffinity, 0, program.final_cpus)
    if program.memory_policy:
        _set_memory_policy(program)
    if program.personality is not None:
        step("set the personality", scheduling.set_personality, program.personality)


def _set_scheduler(program: Program) -> None:
    wanted = program.scheduler or {}
    policy = wanted.get("policy", "SCHED_OTHER")
    flags = wanted.get("flags") or []
    unknown = [flag for flag in flags if flag not in scheduling.SCHEDULER_FLAGS]
    if policy not in scheduling.POLICIES or unknown:
        raise StepFailed(f"set scheduler {policy}", f"unknown: {' '.join(unknown) or policy}", errno=22)
    step(
        f"set scheduler {policy}",
        lambda: scheduling.set_scheduler(
            scheduling.POLICIES[policy],
            flags=sum(scheduling.SCHEDULER_FLAGS[flag] for flag in set(flags)),
            nice=wanted.get("nice", 0),
            priority=wanted.get("priority", 0),
            times=(wanted.get("runtime", 0), wanted.get("deadline", 0), wanted.get("period", 0)),
        ),
    )


def _set_memory_policy(program: Program) -> None:
    wanted = program.memory_policy or {}
    mode, flags = wanted.get("mode", "MPOL_DEFAULT"), wanted.get("flags") or []
    unknown = [flag for flag in flags if flag not in scheduling.MEMORY_FLAGS]
    if mode not in scheduling.MEMORY_MODES or unknown:
        raise StepFailed(f"set memory policy {mode}", f"unknown: {' '.join(unknown) or mode}", errno=22)
    number = scheduling.MEMORY_MODES[mode] | sum(scheduling.MEMORY_FLAGS[flag] for flag in set(flags))
    nodes = cpu_list(wanted.get("nodes", ""), "linux.memoryPolicy.nodes")
    step(f"set memory policy {mode}", scheduling.set_memory_policy, number, nodes)
