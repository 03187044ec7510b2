"""Limits in Docker's fields: refused in Docker's words, or turned into OCI resources."""

from __future__ import annotations

import pytest

from nakagin.containers import resources
from nakagin.errors import Invalid
from nakagin.spec.docker import HostConfig, ThrottleDevice, Ulimit, UpdateRequest

HOST = resources.HostLimits(frozenset({0, 1}), frozenset({0}))
MB = 1 << 20


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (HostConfig(memory=4 * MB), "Minimum memory limit allowed is 6MB"),
        (
            HostConfig(memory=10 * MB, memory_swap=8 * MB),
            "Minimum memoryswap limit should be larger than memory limit",
        ),
        (
            HostConfig(memory_swap=8 * MB),
            "You should always set the Memory limit when using Memoryswap limit",
        ),
        (
            HostConfig(memory=10 * MB, memory_reservation=20 * MB),
            "can not be less than memory reservation limit",
        ),
        (HostConfig(memory_swappiness=101), "valid memory swappiness range is 0-100"),
        (
            HostConfig(nano_cpus=3_000_000_000),
            "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
        ),
        (HostConfig(nano_cpus=1, cpu_quota=5000), "Nano CPUs and CPU Quota cannot both be set"),
        (HostConfig(cpu_period=10), "CPU cfs period can not be less than 1ms"),
        (HostConfig(cpu_quota=10), "CPU cfs quota can not be less than 1ms"),
        (HostConfig(cpuset_cpus="0-5"), "Requested CPUs are not available - requested 0-5, available: 0,1"),
        (HostConfig(cpuset_mems="x"), "Invalid value x for cpuset mems"),
        (HostConfig(blkio_weight=5), "Range of blkio weight is from 10 to 1000"),
        (HostConfig(device_cgroup_rules=("c 1:1",)), "invalid device cgroup rule format"),
        (HostConfig(ulimits=(Ulimit(name="files"),)), "invalid ulimit type: files"),
        (
            HostConfig(ulimits=(Ulimit(name="nofile", soft=9, hard=5),)),
            "soft limit must be less than or equal to hard",
        ),
    ],
)
def test_refused(wanted: HostConfig, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        resources.check(wanted, HOST)


def test_warned() -> None:
    assert len(resources.check(HostConfig(kernel_memory=1, oom_kill_disable=True), HOST)) == 2
    assert resources.check(HostConfig(memory=6 * MB, nano_cpus=2_000_000_000, cpuset_cpus="0-1"), HOST) == []


def test_limits() -> None:
    wanted = HostConfig(
        memory=64 * MB, memory_swap=-1, memory_swappiness=0, nano_cpus=1_500_000_000, pids_limit=0, cpuset_cpus="1",
        blkio_device_read_bps=(ThrottleDevice(path="/dev/x", rate=7),),
    )  # fmt: skip
    assert resources.block_devices(wanted) == {"/dev/x"}
    assert resources.limits(wanted, {"/dev/x": (8, 1)}) == {
        "memory": {"limit": 64 * MB, "swap": -1, "swappiness": 0},
        "cpu": {"period": 100_000, "quota": 150_000, "cpus": "1"},
        "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 1, "rate": 7}]},
    }
    assert resources.limits(HostConfig(pids_limit=-5))["pids"] == {"limit": -1}
    assert resources.limits(HostConfig()) == {}


def test_nofile_is_explicit_and_within_the_machine() -> None:
    assert resources.rlimits((), (), 1000) == [{"type": "RLIMIT_NOFILE", "soft": 1000, "hard": 1000}]
    wanted = (Ulimit(name="core", soft=-1, hard=-1), Ulimit(name="nofile", soft=5, hard=6))
    assert resources.rlimits(wanted, (Ulimit(name="nofile", soft=1, hard=2),), 1000) == [
        {"type": "RLIMIT_CORE", "soft": 2**64 - 1, "hard": 2**64 - 1},
        {"type": "RLIMIT_NOFILE", "soft": 5, "hard": 6},
    ]


def test_devices() -> None:
    denied, *_ = resources.device_rules(False, (), ())
    assert denied == {"allow": False, "access": "rwm"}
    assert resources.device_rules(True, (), ()) == [{"allow": True, "access": "rwm"}]
    rules = resources.device_rules(
        False, [({"type": "c", "path": "/dev/x", "major": 9, "minor": 1}, "r")], ["b 7:* rw"]
    )
    assert rules[-2:] == [
        {"allow": True, "type": "c", "major": 9, "minor": 1, "access": "r"},
        {"allow": True, "type": "b", "major": 7, "access": "rw"},
    ]


def test_update_keeps_what_it_does_not_name() -> None:
    host = HostConfig(memory=64 * MB, memory_swap=128 * MB, cpu_shares=5)
    assert resources.updated(host, UpdateRequest(cpu_shares=7)) == HostConfig(
        memory=64 * MB, memory_swap=128 * MB, cpu_shares=7
    )
    with pytest.raises(Invalid, match="update the memoryswap at the same time"):
        resources.updated(host, UpdateRequest(memory=256 * MB))
    with pytest.raises(Invalid, match="Nano CPUs cannot be updated"):
        resources.updated(HostConfig(cpu_quota=5000), UpdateRequest(nano_cpus=1))
