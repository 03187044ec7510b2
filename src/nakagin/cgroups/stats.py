"""What a group has used, in the shape of the Docker API's stats (cpu, memory, pids, block I/O).

Times are nanoseconds, sizes bytes. A group that is gone, or a machine without cgroups, gives zeros.
"""

from __future__ import annotations

import os

from . import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    from .group import Group

    class CPUUsage(TypedDict, total=False):
        total_usage: int
        usage_in_kernelmode: int
        usage_in_usermode: int
        percpu_usage: list[int]

    class Throttling(TypedDict):
        periods: int
        throttled_periods: int
        throttled_time: int

    class CPUStats(TypedDict):
        cpu_usage: CPUUsage
        system_cpu_usage: int
        online_cpus: int
        throttling_data: Throttling

    class MemoryStats(TypedDict, total=False):
        usage: int
        max_usage: int
        limit: int
        failcnt: int
        stats: dict[str, int]

    class PidsStats(TypedDict, total=False):
        current: int
        limit: int

    class BlockEntry(TypedDict):
        major: int
        minor: int
        op: str
        value: int

    class Stats(TypedDict):
        cpu_stats: CPUStats
        memory_stats: MemoryStats
        pids_stats: PidsStats
        blkio_stats: dict[str, list[BlockEntry] | None]


_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_NO_LIMIT = 2**64 - 1

# The arrays of Docker's blkio_stats. Only the first has a source in v2; both first have one in v1.
_BLOCK_ARRAYS = (
    "io_service_bytes_recursive",
    "io_serviced_recursive",
    "io_queue_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "io_time_recursive",
    "sectors_recursive",
)


def no_block_io() -> dict[str, list[BlockEntry] | None]:
    """What a container that does not run has used: Docker names the arrays all the same."""
    return dict.fromkeys(_BLOCK_ARRAYS)


class Machine:
    """What a stats answer says of the whole machine. Read once, it serves many groups."""

    __slots__ = ("cpus", "memory", "used")

    def __init__(self, used: int, cpus: int, memory: int) -> None:
        self.used = used
        self.cpus = cpus
        self.memory = memory


def machine() -> Machine:
    """CPU time used by everyone since boot (ns), online CPUs and memory (bytes), as Docker counts them."""
    used = cpus = 0
    for line in files.read_or_empty("/proc/stat").splitlines():
        if not line.startswith("cpu"):
            break
        if line.startswith("cpu "):
            used = sum(map(int, line.split()[1:9])) * _TICK
        else:
            cpus += 1
    return Machine(used, cpus, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def read(group: Group, host: Machine | None = None) -> Stats:
    """The group's figures now."""
    host = host or machine()
    version = group.layout.version
    cpu_directory = group.directory("cpuacct") or group.directory("cpu")
    v2_cpu = not group.directory("cpuacct") and group.layout.mode == "v2"
    memory, pids = group.directory("memory"), group.directory("pids")
    block = group.directory("blkio") or group.directory("io")
    return {
        "cpu_stats": {
            "cpu_usage": _cpu_v2(group.layout.v2 + group.path) if v2_cpu else _cpu_v1(cpu_directory),
            "system_cpu_usage": host.used,
            "online_cpus": host.cpus,
            "throttling_data": _throttling(group.directory("cpu"), version("cpu")),
        },
        "memory_stats": (_memory_v1 if version("memory") == 1 else _memory_v2)(memory, host.memory),
        "pids_stats": _pids(pids, version("pids")),
        "blkio_stats": _block_v1(block) if version("blkio") else _block_v2(block),
    }


def _cpu_v1(directory: str) -> CPUUsage:
    ticks = files.read_table(f"{directory}/cpuacct.stat")
    return {
        "total_usage": files.read_number(f"{directory}/cpuacct.usage"),
        "usage_in_kernelmode": ticks.get("system", 0) * _TICK,
        "usage_in_usermode": ticks.get("user", 0) * _TICK,
        "percpu_usage": [*map(int, files.read_or_empty(f"{directory}/cpuacct.usage_percpu").split())],
    }


def _cpu_v2(directory: str) -> CPUUsage:
    """cpu.stat exists without the cpu controller too."""
    table = files.read_table(f"{directory}/cpu.stat")
    return {
        "total_usage": table.get("usage_usec", 0) * 1000,
        "usage_in_kernelmode": table.get("system_usec", 0) * 1000,
        "usage_in_usermode": table.get("user_usec", 0) * 1000,
    }


def _throttling(directory: str, version: int) -> Throttling:
    table = files.read_table(f"{directory}/cpu.stat") if directory else {}
    time = table.get("throttled_time", 0) if version == 1 else table.get("throttled_usec", 0) * 1000
    return {
        "periods": table.get("nr_periods", 0),
        "throttled_periods": table.get("nr_throttled", 0),
        "throttled_time": time,
    }


def _memory_v1(directory: str, machine_memory: int) -> MemoryStats:
    return {
        "usage": files.read_number(f"{directory}/memory.usage_in_bytes"),
        "max_usage": files.read_number(f"{directory}/memory.max_usage_in_bytes"),
        "limit": min(files.read_number(f"{directory}/memory.limit_in_bytes", machine_memory), machine_memory),
        "failcnt": files.read_number(f"{directory}/memory.failcnt"),
        "stats": files.read_table(f"{directory}/memory.stat"),
    }


def _memory_v2(directory: str, machine_memory: int) -> MemoryStats:
    if not directory:
        return {}
    result: MemoryStats = {
        "usage": files.read_number(f"{directory}/memory.current"),
        "limit": min(files.read_number(f"{directory}/memory.max", machine_memory), machine_memory),
        "stats": files.read_table(f"{directory}/memory.stat"),
    }
    peak = files.read_number(f"{directory}/memory.peak")  # Linux 5.19
    if peak:
        result["max_usage"] = peak
    return result


def _pids(directory: str, version: int) -> PidsStats:
    """Docker leaves an unlimited limit out on v1 and says 2^64-1 on v2."""
    if not directory:
        return {}
    result: PidsStats = {"current": files.read_number(f"{directory}/pids.current")}
    limit = files.read_number(f"{directory}/pids.max", 0 if version == 1 else _NO_LIMIT)
    if limit:
        result["limit"] = limit
    return result


def _block_v1(directory: str) -> dict[str, list[BlockEntry] | None]:
    result: dict[str, list[BlockEntry] | None] = {name: [] for name in _BLOCK_ARRAYS}
    for name in _BLOCK_ARRAYS[:2]:
        entries: list[BlockEntry] = []
        for line in files.read_or_empty(f"{directory}/blkio.throttle.{name}").splitlines():
            words = line.split()
            if len(words) == 3:  # the last line is the total over all devices
                entries.append(_entry(words[0], words[1], words[2]))
        result[name] = entries
    return result


def _block_v2(directory: str) -> dict[str, list[BlockEntry] | None]:
    result = no_block_io()
    entries: list[BlockEntry] = []
    for line in files.read_or_empty(f"{directory}/io.stat").splitlines() if directory else ():
        device, *pairs = line.split()
        table = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        entries += [
            _entry(device, op, table[key])
            for op, key in (("read", "rbytes"), ("write", "wbytes"))
            if table.get(key, "").isdecimal()
        ]
    result[_BLOCK_ARRAYS[0]] = entries
    return result


def _entry(device: str, op: str, value: str) -> BlockEntry:
    major, _, minor = device.partition(":")
    return {"major": int(major), "minor": int(minor), "op": op, "value": int(value)}
