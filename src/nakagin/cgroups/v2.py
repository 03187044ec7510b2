"""Resources as files of cgroup v2 (kernel documentation, admin-guide/cgroup-v2). Pure; called by limits.py.

The runtime specification's numbers are those of cgroup v1; the conversions follow runc and crun.
"""

from __future__ import annotations

from nakagin.errors import Invalid

from .v1 import page_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.spec.runtime import CPU, BlockIO, HugepageLimit, Memory, NetworkClass

    from .layout import Layout
    from .limits import Plan


def memory(plan: Plan, wanted: Memory, layout: Layout) -> None:
    """memory.*: bytes. Swap is counted without memory here, so memory+swap becomes a difference."""
    limit = wanted.get("limit") or 0
    swap = _swap_alone(wanted.get("swap") or 0, limit)
    if swap is not None:
        plan.write("memory", "memory.swap.max", _bytes(swap))
    if limit:
        plan.write("memory", "memory.max", _bytes(limit))
    if wanted.get("reservation"):
        plan.write("memory", "memory.low", _bytes(wanted["reservation"]))
    for key in ("swappiness", "kernelTCP", "kernel"):
        if wanted.get(key) and wanted[key] != -1:
            plan.warn(f"memory.{key} has no effect: cgroup v2 cannot limit it")
    if wanted.get("disableOOMKiller"):
        plan.warn("memory.disableOOMKiller has no effect: cgroup v2 cannot switch the OOM killer off")
    if wanted.get("checkBeforeUpdate") and limit > 0:
        plan.memory_guard = limit


def _swap_alone(memory_and_swap: int, limit: int) -> int | None:
    """memory.swap.max in bytes for a v1 memory+swap limit; -1 is unlimited, None "leave as it is"."""
    where = "linux.resources.memory"
    if memory_and_swap == 0:
        return -1 if limit == -1 else None  # memory without a limit and swap with one would contradict
    if memory_and_swap < 0:
        return -1
    if limit == 0:
        raise Invalid("swap needs limit: it counts memory and swap together", where=where)
    if limit < 0:
        raise Invalid("swap is limited but memory is not", where=where)
    if memory_and_swap < limit:
        raise Invalid("swap (memory+swap) is less than limit", where=where)
    return memory_and_swap - limit


def cpu(plan: Plan, wanted: CPU, layout: Layout) -> None:
    """cpu.* and cpuset.*: microseconds, weights 1..10000."""
    if wanted.get("shares"):
        plan.write("cpu", "cpu.weight", weight_from_shares(wanted["shares"]))
    if "idle" in wanted:
        plan.write("cpu", "cpu.idle", wanted["idle"])
    quota, period = wanted.get("quota") or 0, wanted.get("period") or 0
    if quota or period:
        # Without a period the kernel keeps the one it has; a quota cannot be left out.
        maximum = str(quota) if quota > 0 else "max"
        plan.write("cpu", "cpu.max", f"{maximum} {period}" if period else maximum)
    if "burst" in wanted:
        plan.write("cpu", "cpu.max.burst", wanted["burst"])
    if wanted.get("realtimeRuntime") or wanted.get("realtimePeriod"):
        plan.warn("cpu.realtimeRuntime and realtimePeriod have no effect: cgroup v2 does not have them")
    for key in ("cpus", "mems"):
        if wanted.get(key):
            plan.write("cpuset", f"cpuset.{key}", wanted[key])


def weight_from_shares(shares: int) -> int:
    """cpu.weight 1..10000 for cpu.shares 2..262144, linearly.

    This is the formula of runc before 1.3.2, crun before 1.23, Kubernetes and systemd users of both. The
    newer one, 10^((log2(shares)^2 + 125*log2(shares)) / 612 - 7/34), maps 1024 to 100 instead of 39; we
    keep the linear one because weights only mean something beside those of other runtimes' containers.
    """
    return 1 + ((min(max(shares, 2), 262144) - 2) * 9999) // 262142


def block_io(plan: Plan, wanted: BlockIO, layout: Layout) -> None:
    """io.*: BFQ's weight takes v1's numbers; the kernel's own io.weight is 1..10000."""
    if wanted.get("weight"):
        plan.write("io", "io.bfq.weight", wanted["weight"])
        plan.otherwise("io.weight", f"default {io_weight(wanted['weight'])}")
    if wanted.get("leafWeight"):
        plan.warn("blockIO.leafWeight has no effect: cgroup v2 does not have it")
    for device in wanted.get("weightDevice") or ():
        if device.get("weight"):
            number = f"{device['major']}:{device['minor']}"
            plan.write("io", "io.bfq.weight", f"{number} {device['weight']}")
            plan.otherwise("io.weight", f"{number} {io_weight(device['weight'])}")
    for key, word in (
        ("throttleReadBpsDevice", "rbps"),
        ("throttleWriteBpsDevice", "wbps"),
        ("throttleReadIOPSDevice", "riops"),
        ("throttleWriteIOPSDevice", "wiops"),
    ):
        for throttle in wanted.get(key) or ():  # type: ignore[attr-defined]
            rate = throttle.get("rate") or "max"
            plan.write("io", "io.max", f"{throttle['major']}:{throttle['minor']} {word}={rate}")


def io_weight(weight: int) -> int:
    """io.weight 1..10000 for blkio.weight 10..1000."""
    return 1 + (weight - 10) * 9999 // 990


def hugetlb(plan: Plan, wanted: list[HugepageLimit], layout: Layout) -> None:
    """hugetlb.<size>.*: bytes, for faulted and for reserved pages alike."""
    for each in wanted:
        plan.write("hugetlb", f"hugetlb.{page_size(each)}.max", each["limit"])
        plan.write("hugetlb", f"hugetlb.{page_size(each)}.rsvd.max", each["limit"])


def network(plan: Plan, wanted: NetworkClass, layout: Layout) -> None:
    """Nothing: v2 has no controller for packet classes."""
    plan.warn("network (classID, priorities) has no effect: cgroup v2 does not have it")


def _bytes(amount: int) -> str:
    return "max" if amount == -1 else str(amount)
