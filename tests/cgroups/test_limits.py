"""Plans, compared as printed text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nakagin.cgroups.layout import Layout
from nakagin.cgroups.limits import plan
from nakagin.cgroups.v2 import io_weight, weight_from_shares
from nakagin.errors import Invalid, Unsupported

if TYPE_CHECKING:
    from nakagin.spec.runtime import Resources

V1_NAMES = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "net_cls",
    "net_prio",
    "pids",
    "rdma",
]
V1 = Layout("v1", {name: f"/cg/{name}" for name in V1_NAMES})
V2 = Layout("v2", {}, "/cg", frozenset({"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"}))
HYBRID = Layout("hybrid", {"memory": "/cg/memory", "cpu": "/cg/cpu"}, "/cg/unified", frozenset({"hugetlb"}))
NONE = Layout("none", {}, reason="/cg is not writable")

MIB = 1 << 20
EVERYTHING: Resources = {
    "memory": {
        "limit": 64 * MIB,
        "swap": 96 * MIB,
        "reservation": 32 * MIB,
        "swappiness": 10,
        "disableOOMKiller": True,
        "kernel": 1,
        "kernelTCP": MIB,
        "useHierarchy": True,
    },
    "cpu": {
        "shares": 1024,
        "quota": 50000,
        "period": 100000,
        "burst": 1000,
        "idle": 0,
        "realtimePeriod": 1000000,
        "realtimeRuntime": 5000,
        "cpus": "0-1",
        "mems": "0",
    },
    "pids": {"limit": 100},
    "blockIO": {
        "weight": 500,
        "leafWeight": 300,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 100, "leafWeight": 50}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}],
        "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 2000}],
        "throttleReadIOPSDevice": [{"major": 8, "minor": 16, "rate": 3}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 4}],
    },
    "hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}],
    "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 5}]},
    "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
}


def test_everything_on_v1() -> None:
    result = plan(EVERYTHING, V1)
    assert result.lines() == [
        "memory.limit_in_bytes = 67108864",
        "memory.memsw.limit_in_bytes = 100663296",
        "memory.soft_limit_in_bytes = 33554432",
        "memory.swappiness = 10",
        "memory.oom_control = 1",
        "memory.kmem.tcp.limit_in_bytes = 1048576",
        "cpu.shares = 1024",
        "cpu.rt_period_us = 1000000",
        "cpu.rt_runtime_us = 5000",
        "cpu.cfs_period_us = 100000",
        "cpu.cfs_quota_us = 50000",
        "cpu.cfs_burst_us = 1000",
        "cpu.idle = 0",
        "cpuset.cpus = 0-1",
        "cpuset.mems = 0",
        "pids.max = 100",
        "blkio.weight = 500",
        "blkio.leaf_weight = 300",
        "blkio.weight_device = 8:0 100",
        "blkio.leaf_weight_device = 8:0 50",
        "blkio.throttle.read_bps_device = 8:0 1000",
        "blkio.throttle.write_bps_device = 8:0 2000",
        "blkio.throttle.read_iops_device = 8:16 3",
        "blkio.throttle.write_iops_device = 8:16 4",
        "hugetlb.2MB.limit_in_bytes = 4194304",
        "hugetlb.2MB.rsvd.limit_in_bytes = 4194304",
        "net_cls.classid = 1048577",
        "net_prio.ifpriomap = eth0 5",
        "rdma.max = mlx5_1 hca_handle=3 hca_object=10000",
    ]
    assert result.instead["blkio.weight", "500"] == ("blkio.bfq.weight", "500")
    assert len(result.warnings) == 1
    assert "kernel memory" in result.warnings[0]


def test_everything_on_v2() -> None:
    result = plan(EVERYTHING, V2)
    assert result.lines() == [
        "memory.swap.max = 33554432",
        "memory.max = 67108864",
        "memory.low = 33554432",
        "cpu.weight = 39",
        "cpu.idle = 0",
        "cpu.max = 50000 100000",
        "cpu.max.burst = 1000",
        "cpuset.cpus = 0-1",
        "cpuset.mems = 0",
        "pids.max = 100",
        "io.bfq.weight = 500",
        "io.bfq.weight = 8:0 100",
        "io.max = 8:0 rbps=1000",
        "io.max = 8:0 wbps=2000",
        "io.max = 8:16 riops=3",
        "io.max = 8:16 wiops=4",
        "hugetlb.2MB.max = 4194304",
        "hugetlb.2MB.rsvd.max = 4194304",
        "rdma.max = mlx5_1 hca_handle=3 hca_object=10000",
    ]
    assert result.instead["io.bfq.weight", "500"] == ("io.weight", "default 4950")
    assert result.instead["io.bfq.weight", "8:0 100"] == ("io.weight", "8:0 910")
    said = " ".join(result.warnings)
    for word in ("swappiness", "kernelTCP", "disableOOMKiller", "realtimeRuntime", "leafWeight", "classID"):
        assert word in said


def test_hybrid_takes_each_controller_from_where_it_is() -> None:
    result = plan({"memory": {"limit": MIB}, "hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}, HYBRID)
    assert result.lines() == [
        "memory.limit_in_bytes = 1048576",
        "hugetlb.2MB.max = 0",
        "hugetlb.2MB.rsvd.max = 0",
    ]


def test_none_says_what_is_not_limited() -> None:
    result = plan({"memory": {"limit": MIB}, "pids": {"limit": 5}, "unified": {"memory.high": "1"}}, NONE)
    assert result.writes == []
    assert result.warnings == [
        "memory (limit) is not limited: /cg is not writable",
        "pids (limit) is not limited: /cg is not writable",
        "unified (memory.high) is not limited: /cg is not writable",
    ]


def test_missing_controllers() -> None:
    layout = Layout("v1", {"cpu": "/cg/cpu"})
    result = plan({"cpu": {"shares": 2, "cpus": "0"}, "pids": {"limit": 5}}, layout)
    assert result.lines() == ["cpu.shares = 2"]
    assert result.warnings == [
        "cpu.cpus is not limited: this machine has no cpuset controller",
        "pids (limit) is not limited: this machine has no pids controller",
    ]


def test_nothing_wanted_is_nothing_planned() -> None:
    for layout in (V1, V2, HYBRID, NONE):
        result = plan({}, layout)
        assert (result.lines(), result.warnings, result.device_program) == ([], [], None)


@pytest.mark.parametrize(
    ("memory", "lines"),
    [
        ({"limit": 100, "swap": 100}, ["memory.swap.max = 0", "memory.max = 100"]),
        ({"limit": 100, "swap": -1}, ["memory.swap.max = max", "memory.max = 100"]),
        ({"limit": -1}, ["memory.swap.max = max", "memory.max = max"]),
        ({"limit": 100}, ["memory.max = 100"]),
        ({"reservation": -1}, ["memory.low = max"]),
    ],
)
def test_memory_and_swap_on_v2(memory: dict[str, int], lines: list[str]) -> None:
    assert plan({"memory": memory}, V2).lines() == lines  # type: ignore[typeddict-item]


@pytest.mark.parametrize("memory", [{"limit": 100, "swap": 50}, {"swap": 50}, {"limit": -1, "swap": 50}])
def test_contradictory_swap(memory: dict[str, int]) -> None:
    with pytest.raises(Invalid, match=r"linux\.resources\.memory"):
        plan({"memory": memory}, V2)  # type: ignore[typeddict-item]


def test_memory_without_limit_takes_swap_along_on_v1() -> None:
    assert plan({"memory": {"limit": -1}}, V1).lines() == [
        "memory.limit_in_bytes = -1",
        "memory.memsw.limit_in_bytes = -1",
    ]


@pytest.mark.parametrize(
    ("cpu", "line"),
    [
        ({"quota": 20000}, "cpu.max = 20000"),
        ({"quota": -1}, "cpu.max = max"),
        ({"period": 50000}, "cpu.max = max 50000"),
        ({"quota": -1, "period": 50000}, "cpu.max = max 50000"),
    ],
)
def test_quota_on_v2(cpu: dict[str, int], line: str) -> None:
    assert plan({"cpu": cpu}, V2).lines() == [line]  # type: ignore[typeddict-item]


def test_weights_cover_their_ranges() -> None:
    assert [weight_from_shares(shares) for shares in (2, 1024, 262144, 1, 10**9)] == [1, 39, 10000, 1, 10000]
    assert [io_weight(weight) for weight in (10, 500, 1000)] == [1, 4950, 10000]


def test_look_before_update() -> None:
    assert plan({"memory": {"limit": 5, "checkBeforeUpdate": True}}, V2).memory_guard == 5
    assert plan({"memory": {"limit": 5}}, V2).memory_guard is None


def test_unlimited_pids() -> None:
    for layout in (V1, V2):
        assert plan({"pids": {"limit": -1}}, layout).lines() == ["pids.max = max"]
        assert plan({"pids": {"limit": 0}}, layout).lines() == []


def test_unified_keys_win() -> None:
    wanted: Resources = {
        "memory": {"limit": 5},
        "unified": {"memory.max": "7", "io.max": "8:0 rbps=1\n8:16 rbps=2"},
    }
    assert plan(wanted, V2).lines() == ["memory.max = 7", "io.max = 8:0 rbps=1", "io.max = 8:16 rbps=2"]


@pytest.mark.parametrize("file", ["../memory.max", "memory", "memory/x.max"])
def test_unified_refuses_other_files(file: str) -> None:
    with pytest.raises(Invalid, match="unified"):
        plan({"unified": {file: "1"}}, V2)


def test_unified_needs_v2() -> None:
    with pytest.raises(Unsupported, match="cgroup v2"):
        plan({"unified": {"memory.high": "1"}}, V1)
    with pytest.raises(Unsupported, match="memory controller is not available in cgroup v2"):
        plan({"unified": {"memory.high": "1"}}, HYBRID)


@pytest.mark.parametrize("size", ["", "MB", "2M", "2MB.x", "../MB"])
def test_page_sizes(size: str) -> None:
    with pytest.raises(Invalid, match="page size"):
        plan({"hugepageLimits": [{"pageSize": size, "limit": 1}]}, V1)
