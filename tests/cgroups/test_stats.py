"""Statistics from folders that look like groups, and from a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.cgroups.conftest import run_inside

from nakagin.cgroups import stats
from nakagin.cgroups.group import Group
from nakagin.cgroups.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path

HOST = stats.Machine(used=7, cpus=2, memory=1 << 30)


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_v2(tmp_path: Path) -> None:
    write(
        tmp_path / "a",
        {
            "cpu.stat": "usage_usec 30\nuser_usec 20\nsystem_usec 10\n"
            "nr_periods 4\nnr_throttled 2\nthrottled_usec 9\n",
            "memory.current": "4096\n",
            "memory.max": "8192\n",
            "memory.peak": "5000\n",
            "memory.stat": "anon 1\ninactive_file 2\n",
            "pids.current": "3\n",
            "pids.max": "max\n",
            "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n7:0 \n",
        },
    )
    layout = Layout("v2", {}, str(tmp_path), frozenset({"cpu", "memory", "pids", "io"}))
    result = stats.read(Group("/a", layout), HOST)
    assert result["cpu_stats"] == {
        "cpu_usage": {"total_usage": 30000, "usage_in_kernelmode": 10000, "usage_in_usermode": 20000},
        "system_cpu_usage": 7,
        "online_cpus": 2,
        "throttling_data": {"periods": 4, "throttled_periods": 2, "throttled_time": 9000},
    }
    assert result["memory_stats"] == {
        "usage": 4096,
        "max_usage": 5000,
        "limit": 8192,
        "stats": {"anon": 1, "inactive_file": 2},
    }
    assert result["pids_stats"] == {"current": 3, "limit": 2**64 - 1}
    assert result["blkio_stats"]["io_service_bytes_recursive"] == [
        {"major": 8, "minor": 0, "op": "read", "value": 1},
        {"major": 8, "minor": 0, "op": "write", "value": 2},
    ]
    assert result["blkio_stats"]["sectors_recursive"] is None


def test_v1(tmp_path: Path) -> None:
    write(
        tmp_path / "a",
        {
            "cpuacct.usage": "30\n",
            "cpuacct.usage_percpu": "10 20 \n",
            "cpuacct.stat": "user 2\nsystem 1\n",
            "cpu.stat": "nr_periods 4\nnr_throttled 2\nthrottled_time 9\n",
            "memory.usage_in_bytes": "4096\n",
            "memory.max_usage_in_bytes": "5000\n",
            "memory.limit_in_bytes": "9223372036854771712\n",
            "memory.failcnt": "6\n",
            "memory.stat": "cache 1\n",
            "pids.current": "3\n",
            "pids.max": "max\n",
            "blkio.throttle.io_service_bytes_recursive": "8:0 Read 1\n8:0 Total 1\nTotal 1\n",
        },
    )
    layout = Layout("v1", dict.fromkeys(("cpu", "cpuacct", "memory", "pids", "blkio"), str(tmp_path)))
    result = stats.read(Group("/a", layout), HOST)
    assert result["cpu_stats"]["cpu_usage"] == {
        "total_usage": 30,
        "usage_in_kernelmode": 10_000_000,
        "usage_in_usermode": 20_000_000,
        "percpu_usage": [10, 20],
    }
    assert result["cpu_stats"]["throttling_data"]["throttled_time"] == 9
    assert result["memory_stats"] == {
        "usage": 4096,
        "max_usage": 5000,
        "limit": 1 << 30,  # no limit is the machine's memory
        "failcnt": 6,
        "stats": {"cache": 1},
    }
    assert result["pids_stats"] == {"current": 3}
    assert result["blkio_stats"]["io_service_bytes_recursive"] == [
        {"major": 8, "minor": 0, "op": "Read", "value": 1},
        {"major": 8, "minor": 0, "op": "Total", "value": 1},
    ]


@pytest.mark.parametrize("mode", ["v1", "v2", "none"])
def test_group_that_is_gone(mode: str, tmp_path: Path) -> None:
    layouts = {
        "v1": Layout("v1", dict.fromkeys(("cpu", "cpuacct", "memory", "pids", "blkio"), str(tmp_path))),
        "v2": Layout("v2", {}, str(tmp_path), frozenset({"cpu", "memory", "pids", "io"})),
        "none": Layout("none", {}),
    }
    result = stats.read(Group("/gone", layouts[mode]), HOST)
    assert result["cpu_stats"]["cpu_usage"]["total_usage"] == 0
    assert result["memory_stats"].get("usage", 0) == 0
    assert result["pids_stats"].get("current", 0) == 0


def test_machine() -> None:
    host = stats.machine()
    assert host.cpus >= 1
    assert host.used > 0
    assert host.memory > 1 << 20


@pytest.mark.root
def test_real_group_has_used_something(group: Group) -> None:
    assert run_inside(group, lambda: sum(range(3_000_000)) & 0) == 0
    result = stats.read(group)
    assert result["cpu_stats"]["cpu_usage"]["total_usage"] > 1_000_000
    assert result["pids_stats"]["current"] == 0
    assert result["memory_stats"]["limit"] > 0
    assert result["memory_stats"]["stats"]
