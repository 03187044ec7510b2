"""How the caller is scheduled: CPU policy, I/O priority, memory policy, execution domain."""

from __future__ import annotations

import ctypes
import struct

from nakagin.kernel import abi
from nakagin.kernel.libc import fail, function, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# include/uapi/linux/sched.h
POLICIES = {
    "SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_ISO": 4, "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}  # fmt: skip
SCHEDULER_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}

# include/uapi/linux/mempolicy.h
MEMORY_MODES = {
    "MPOL_DEFAULT": 0, "MPOL_PREFERRED": 1, "MPOL_BIND": 2, "MPOL_INTERLEAVE": 3, "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5, "MPOL_WEIGHTED_INTERLEAVE": 6,
}  # fmt: skip
MEMORY_FLAGS = {
    "MPOL_F_NUMA_BALANCING": 1 << 13,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_STATIC_NODES": 1 << 15,
}

_personality = function("personality", ctypes.c_ulong)


def set_scheduler(
    policy: int, *, flags: int = 0, nice: int = 0, priority: int = 0, times: tuple[int, int, int] = (0, 0, 0)
) -> None:
    """sched_setattr(2); `times` are runtime, deadline and period in nanoseconds."""
    attributes = struct.pack("2IQiI3Q", 48, policy, flags, nice, priority, *times)  # struct sched_attr
    syscall(abi.NR_SCHED_SETATTR, 0, attributes, 0)


def set_io_priority(value: int) -> None:
    """ioprio_set(2) for the caller: class << 13 | level."""
    syscall(abi.NR_IOPRIO_SET, abi.IOPRIO_WHO_PROCESS, 0, value)


def set_memory_policy(mode: int, nodes: Iterable[int]) -> None:
    """set_mempolicy(2): `mode` with its flags, on these memory nodes."""
    mask = sum(1 << node for node in set(nodes))
    words = max(1, (mask.bit_length() + 63) // 64)
    packed = mask.to_bytes(words * 8, "little") if mask else None
    # The kernel reads one bit less than it is told of.
    syscall(abi.NR_SET_MEMPOLICY, mode, packed, words * 64 + 1 if mask else 0)


def set_personality(domain: int) -> None:
    """personality(2)."""
    if _personality(domain) < 0:
        raise fail("personality")
