"""Limits that test_group.py does not meet, row by row of the runtime specification's list: they stand in the kernel,
or a warning says that they do not.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from nakagin.cgroups import files
from nakagin.cgroups.group import Group
from nakagin.cgroups.limits import plan
from nakagin.errors import StepFailed

pytestmark = pytest.mark.root

MIB = 1 << 20


def _disk() -> str:
    """The number of some block device of this machine: "7:0"."""
    for name in sorted(os.listdir("/sys/block")):
        return (Path("/sys/block") / name / "dev").read_text().strip()
    return "7:0"


DISK = _disk()
MAJOR, MINOR = map(int, DISK.split(":"))
DEVICE = {"major": MAJOR, "minor": MINOR}


class Row(NamedTuple):
    """What is asked for, and (controller, file, line of it) as v1 and v2 have it; a word of the warning where not."""

    resources: dict[str, Any]
    v1: tuple[str, str, str]
    v2: tuple[str, str, str]
    told: str


def _throttle(key: str, v1: str, word: str) -> Row:
    wanted = {"blockIO": {key: [{**DEVICE, "rate": 1 << 20}]}}
    file = f"blkio.throttle.{v1}_device"
    return Row(wanted, ("blkio", file, f"{DISK} 1048576"), ("io", "io.max", f"{word}=1048576"), word)


NOWHERE = ("", "", "")
ROWS = {
    "memory.swappiness": Row(
        {"memory": {"swappiness": 30}}, ("memory", "memory.swappiness", "30"), NOWHERE, "swappiness",
    ),
    "memory.disableOOMKiller": Row(
        {"memory": {"disableOOMKiller": True}},
        ("memory", "memory.oom_control", "oom_kill_disable 1"), NOWHERE, "disableOOMKiller",
    ),
    "memory.kernelTCP": Row(
        {"memory": {"kernelTCP": 8 * MIB}},
        ("memory", "memory.kmem.tcp.limit_in_bytes", str(8 * MIB)), NOWHERE, "kernelTCP",
    ),
    "memory.kernel": Row({"memory": {"kernel": 8 * MIB}}, NOWHERE, NOWHERE, "memory.kernel"),
    "memory.useHierarchy": Row(
        {"memory": {"useHierarchy": True}}, ("memory", "memory.use_hierarchy", "1"), NOWHERE, "",
    ),
    "cpu.idle": Row({"cpu": {"idle": 1}}, ("cpu", "cpu.idle", "1"), ("cpu", "cpu.idle", "1"), "cpu.idle"),
    "cpu.realtimePeriod": Row(
        {"cpu": {"realtimePeriod": 500000}}, ("cpu", "cpu.rt_period_us", "500000"), NOWHERE, "rt_period_us|realtime",
    ),
    "cpu.realtimeRuntime": Row(
        {"cpu": {"realtimeRuntime": 1000}}, ("cpu", "cpu.rt_runtime_us", "1000"), NOWHERE, "rt_runtime_us|realtime",
    ),
    "blockIO.throttleReadBpsDevice": _throttle("throttleReadBpsDevice", "read_bps", "rbps"),
    "blockIO.throttleWriteBpsDevice": _throttle("throttleWriteBpsDevice", "write_bps", "wbps"),
    "blockIO.throttleReadIOPSDevice": _throttle("throttleReadIOPSDevice", "read_iops", "riops"),
    "blockIO.throttleWriteIOPSDevice": _throttle("throttleWriteIOPSDevice", "write_iops", "wiops"),
    "blockIO.weightDevice": Row(
        {"blockIO": {"weightDevice": [{**DEVICE, "weight": 500}]}},
        ("blkio", "blkio.bfq.weight_device", f"{DISK} 500"), ("io", "io.bfq.weight", f"{DISK} 500"), "weight",
    ),
    "blockIO.weightDevice[].leafWeight": Row(
        {"blockIO": {"weightDevice": [{**DEVICE, "leafWeight": 300}]}},
        ("blkio", "blkio.leaf_weight_device", f"{DISK} 300"), NOWHERE, "leaf",
    ),
    "network.classID": Row(
        {"network": {"classID": 0x100001}}, ("net_cls", "net_cls.classid", str(0x100001)), NOWHERE, "classID",
    ),
    "network.priorities": Row(
        {"network": {"priorities": [{"name": "lo", "priority": 5}]}},
        ("net_prio", "net_prio.ifpriomap", "lo 5"), NOWHERE, "network",
    ),
    "rdma": Row(
        {"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}}},
        ("rdma", "rdma.max", "mlx5_1 hca_handle=3 hca_object=10000"),
        ("rdma", "rdma.max", "mlx5_1 hca_handle=3 hca_object=10000"), "rdma",
    ),
    "hugepageLimits": Row(
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]},
        ("hugetlb", "hugetlb.2MB.limit_in_bytes", str(4 * MIB)),
        ("hugetlb", "hugetlb.2MB.max", str(4 * MIB)), "hugetlb",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_it_stands_in_the_kernel_or_is_told(group: Group, name: str) -> None:
    """OCIRT.linux.resources: …"""
    row = ROWS[name]
    _share_realtime(group)
    warnings = group.apply(plan(row.resources, group.layout))  # type: ignore[arg-type]
    words = row.told.split("|")
    if warnings:
        assert any(word in each for each in warnings for word in words), warnings
        return
    controller = row.v1[0] or row.v2[0]
    _, file, line = row.v1 if group.layout.version(controller) == 1 else row.v2
    lines = files.read(f"{group.directory(controller)}/{file}").splitlines()
    assert any(line in each for each in lines), f"{file}: {lines}; and nothing was told"


def _share_realtime(group: Group) -> None:
    """Let the group above have realtime to give: where a kernel has it, it is shared from the top."""
    above = Path(os.path.dirname(group.directory("cpu"))) / "cpu.rt_runtime_us"
    if above.exists():
        above.write_text("10000")


def test_realtime_that_the_group_above_does_not_have_is_refused(group: Group) -> None:
    file = Path(os.path.dirname(group.directory("cpu"))) / "cpu.rt_runtime_us"
    if not file.exists():
        assert group.apply(plan({"cpu": {"realtimeRuntime": 1000}}, group.layout)), "told, at least"
        return
    with pytest.raises(StepFailed, match=r"cpu.rt_runtime_us to 1000.*an ancestor's limit forbids it"):
        group.apply(plan({"cpu": {"realtimeRuntime": 1000}}, group.layout))


def test_unified_files_are_written_as_they_are(group: Group) -> None:
    """OCIRT.linux.resources.unified: on a hybrid machine into the v2 group beside those of v1."""
    there = group.layout.v2_controllers
    wanted = {"pids": ("pids.max", "55"), "hugetlb": ("hugetlb.2MB.max", str(4 * MIB))}
    known = next((wanted[each] for each in wanted if each in there), None)
    if known is None:
        pytest.skip(f"cgroup v2 has none of these controllers here: {there}")
    file, value = known
    assert group.apply(plan({"unified": {file: value}}, group.layout)) == []
    assert files.read(f"{group.layout.v2}{group.path}/{file}").strip() == value
