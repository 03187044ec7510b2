"""Resources as files of cgroup v1 (kernel documentation, cgroup-v1). Pure; called by limits.py."""

from __future__ import annotations

from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.spec.runtime import CPU, BlockIO, HugepageLimit, Memory, NetworkClass, Pids, Rdma

    from .layout import Layout
    from .limits import Plan


def memory(plan: Plan, wanted: Memory, layout: Layout) -> None:
    """memory.*: bytes, -1 is unlimited, 0 is "not set"."""
    limit = wanted.get("limit") or 0
    swap = wanted.get("swap") or 0
    if limit == -1 and not swap:
        swap = -1  # memory without a limit and memory+swap with one would contradict each other
    if limit > 0 and 0 < swap < limit:
        raise Invalid("swap (memory+swap) is less than limit", where="linux.resources.memory")
    if limit:
        plan.write("memory", "memory.limit_in_bytes", limit)
    if swap:
        plan.write("memory", "memory.memsw.limit_in_bytes", swap)
    if wanted.get("reservation"):
        plan.write("memory", "memory.soft_limit_in_bytes", wanted["reservation"])
    if "swappiness" in wanted:
        plan.write("memory", "memory.swappiness", wanted["swappiness"])
    if "disableOOMKiller" in wanted:
        plan.write("memory", "memory.oom_control", int(wanted["disableOOMKiller"]))
    if wanted.get("kernelTCP"):
        plan.write("memory", "memory.kmem.tcp.limit_in_bytes", wanted["kernelTCP"])
    if wanted.get("kernel"):
        plan.warn("memory.kernel is not limited: kernels since 5.16 cannot limit kernel memory by itself")
    if wanted.get("checkBeforeUpdate") and limit > 0:
        plan.memory_guard = limit


def cpu(plan: Plan, wanted: CPU, layout: Layout) -> None:
    """cpu.* and cpuset.*: microseconds, shares 2..262144."""
    if "cpu" in layout.v1:
        for key, file in (
            ("shares", "cpu.shares"),
            ("realtimePeriod", "cpu.rt_period_us"),
            ("realtimeRuntime", "cpu.rt_runtime_us"),
            ("period", "cpu.cfs_period_us"),
            ("quota", "cpu.cfs_quota_us"),
        ):
            if wanted.get(key):
                plan.write("cpu", file, wanted[key])  # type: ignore[literal-required]
        if "burst" in wanted:
            plan.write("cpu", "cpu.cfs_burst_us", wanted["burst"])
        if "idle" in wanted:
            plan.write("cpu", "cpu.idle", wanted["idle"])
    elif wanted.keys() - {"cpus", "mems"}:
        plan.warn("cpu time is not limited: this machine has no cpu controller")
    for key in ("cpus", "mems"):
        value = wanted.get(key)
        if value and "cpuset" in layout.v1:
            plan.write("cpuset", f"cpuset.{key}", value)
        elif value:
            plan.warn(f"cpu.{key} is not limited: this machine has no cpuset controller")


def pids(plan: Plan, wanted: Pids, layout: Layout) -> None:
    """pids.max: a count; less than 0 is unlimited, 0 is "not set"."""
    limit = wanted.get("limit") or 0
    if limit:
        plan.write("pids", "pids.max", limit if limit > 0 else "max")


def block_io(plan: Plan, wanted: BlockIO, layout: Layout) -> None:
    """blkio.*: weights 10..1000 (CFQ's files, or BFQ's where the kernel has those), throttles per second."""
    if wanted.get("weight"):
        plan.write("blkio", "blkio.weight", wanted["weight"])
        plan.otherwise("blkio.bfq.weight", wanted["weight"])
    if wanted.get("leafWeight"):
        plan.write("blkio", "blkio.leaf_weight", wanted["leafWeight"])
    for device in wanted.get("weightDevice") or ():
        number = f"{device['major']}:{device['minor']}"
        if device.get("weight"):
            plan.write("blkio", "blkio.weight_device", f"{number} {device['weight']}")
            plan.otherwise("blkio.bfq.weight_device", f"{number} {device['weight']}")
        if device.get("leafWeight"):
            plan.write("blkio", "blkio.leaf_weight_device", f"{number} {device['leafWeight']}")
    for key, file in (
        ("throttleReadBpsDevice", "blkio.throttle.read_bps_device"),
        ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device"),
        ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device"),
        ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device"),
    ):
        for device in wanted.get(key) or ():  # type: ignore[attr-defined]
            plan.write("blkio", file, f"{device['major']}:{device['minor']} {device.get('rate', 0)}")


def hugetlb(plan: Plan, wanted: list[HugepageLimit], layout: Layout) -> None:
    """hugetlb.<size>.*: bytes, for faulted and for reserved pages alike."""
    for each in wanted:
        plan.write("hugetlb", f"hugetlb.{page_size(each)}.limit_in_bytes", each["limit"])
        plan.write("hugetlb", f"hugetlb.{page_size(each)}.rsvd.limit_in_bytes", each["limit"])


def network(plan: Plan, wanted: NetworkClass, layout: Layout) -> None:
    """net_cls.classid and net_prio.ifpriomap."""
    if wanted.get("classID"):
        if "net_cls" in layout.v1:
            plan.write("net_cls", "net_cls.classid", wanted["classID"])
        else:
            plan.warn("network.classID is not set: this machine has no net_cls controller")
    for each in wanted.get("priorities") or ():
        if "net_prio" in layout.v1:
            plan.write("net_prio", "net_prio.ifpriomap", f"{each['name']} {each['priority']}")
        else:
            plan.warn(f"network priority of {each['name']} is not set: there is no net_prio controller")


def rdma(plan: Plan, wanted: dict[str, Rdma], layout: Layout) -> None:
    """rdma.max: handles and objects per device."""
    for device, limits in wanted.items():
        words = [device]
        if "hcaHandles" in limits:
            words.append(f"hca_handle={limits['hcaHandles']}")
        if "hcaObjects" in limits:
            words.append(f"hca_object={limits['hcaObjects']}")
        plan.write("rdma", "rdma.max", " ".join(words))


def page_size(each: HugepageLimit) -> str:
    """The page size as the kernel names the files ("2MB"); Invalid when it is anything else."""
    size = each["pageSize"]
    number, unit = size[:-2], size[-2:]
    if not number.isdecimal() or unit not in ("KB", "MB", "GB"):
        raise Invalid(
            f"{size!r} is not a page size", where="linux.resources.hugepageLimits", hint="as in 2MB"
        )
    return size
