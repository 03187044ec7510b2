"""Limits of every kind at creation and by `update`, --rm in all cases, what `wait` waits for, chosen events."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tests.engine_fixture import ScratchEngine, await_until
from tests.spine.observe import cgroup_file, init_pid, inspect, is_gone

pytestmark = pytest.mark.root

MB = 1 << 20
#: Flags, then the controller, its file in v1 and v2, and what stands there.
LIMITS = [
    (("--memory", "64m"), ("memory", "memory.limit_in_bytes", "memory.max"), (str(64 * MB), str(64 * MB))),
    (("--memory-reservation", "32m"), ("memory", "memory.soft_limit_in_bytes", "memory.low"), (str(32 * MB),) * 2),
    (("--cpu-shares", "512"), ("cpu", "cpu.shares", "cpu.weight"), ("512", "20")),
    (
        ("--cpu-period", "50000", "--cpu-quota", "20000"),
        ("cpu", "cpu.cfs_quota_us", "cpu.max"), ("20000", "20000 50000"),
    ),
    (("--cpuset-cpus", "0"), ("cpuset", "cpuset.cpus", "cpuset.cpus"), ("0", "0")),
    (("--cpuset-mems", "0"), ("cpuset", "cpuset.mems", "cpuset.mems"), ("0", "0")),
    (("--pids-limit", "44"), ("pids", "pids.max", "pids.max"), ("44", "44")),
]  # fmt: skip


def flags() -> list[str]:
    return [word for words, _, _ in LIMITS for word in words]


def check_limits(engine: ScratchEngine, name: str) -> None:
    pid = init_pid(engine, name)
    for words, (controller, old, new), expected in LIMITS:
        assert cgroup_file(pid, controller, old, new) in expected, words


def test_limits_at_creation(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "-d", "--name", name, *flags(), "busybox", "sleep", "300")
    check_limits(engine, name)


def test_limits_by_update_of_a_running_one(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "-d", "--name", name, "busybox", "sleep", "300")
    engine.docker("update", *flags(), name)
    check_limits(engine, name)
    engine.docker("update", "--restart", "unless-stopped", name)
    first = init_pid(engine, name)
    os.kill(first, signal.SIGKILL)
    await_until(lambda: init_pid(engine, name) not in {0, first}, "the restart by the new policy")
    check_limits(engine, name)
    for words, told in (
        (("--memory", "1k"), "Minimum memory limit"),
        (("--cpus", "1"), "Conflicting options"),
        (("--cpuset-cpus", "999"), "Requested CPUs are not available"),
        (("--restart", "sometimes"), "unknown policy"),
    ):
        assert told in engine.docker("update", *words, name, check=1).stderr
    check_limits(engine, name)


def test_device_throttles(engine: ScratchEngine, name: str) -> None:
    names = (each for each in os.listdir("/sys/block") if not each.startswith(("loop", "ram")))
    disks = [each for each in names if os.path.exists(f"/dev/{each}")]
    if not disks:
        pytest.skip("no block device is here that could be throttled")
    disk = f"/dev/{disks[0]}"
    numbers = os.stat(disk).st_rdev
    words = ("--device-read-bps", f"{disk}:1mb", "--device-write-iops", f"{disk}:100")
    engine.docker("run", "-d", "--name", name, *words, "busybox", "sleep", "300")
    pid = init_pid(engine, name)
    place = f"{os.major(numbers)}:{os.minor(numbers)}"
    read = cgroup_file(pid, "blkio", "blkio.throttle.read_bps_device", "io.max")
    assert f"{place} {MB}" in read or f"rbps={MB}" in read
    write = cgroup_file(pid, "blkio", "blkio.throttle.write_iops_device", "io.max")
    assert f"{place} 100" in write or "wiops=100" in write


def test_flags_that_reach_the_process(engine: ScratchEngine) -> None:
    script = (
        "ulimit -n; cat /proc/self/oom_score_adj; grep -c ' /dev/shm .*size=2048k' /proc/mounts; "
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; id -G; hostname; cat /proc/sys/kernel/domainname; "
        "grep NoNewPrivs /proc/self/status; touch /x 2>&1; head -c 2 /dev/nothing | wc -c"
    )
    done = engine.docker(
        "run", "--rm", "--ulimit", "nofile=123:456", "--oom-score-adj", "99", "--shm-size", "2m",
        "--sysctl", "net.ipv4.ip_unprivileged_port_start=7", "--group-add", "1234", "-h", "box",
        "--domainname", "example",
        "--security-opt", "no-new-privileges", "--read-only", "--device", "/dev/zero:/dev/nothing:r",
        "busybox", "sh", "-c", script,
    ).stdout.splitlines()  # fmt: skip
    assert done[:4] == ["123", "99", "1", "7"]
    assert "1234" in done[4].split()
    assert done[5:8] == ["box", "example", "NoNewPrivs:\t1"]
    assert "Read-only file system" in done[8]
    assert done[9] == "2"


def test_the_default_of_open_files_is_explicit(engine: ScratchEngine) -> None:
    done = engine.docker("run", "--rm", "busybox", "sh", "-c", "ulimit -Sn; ulimit -Hn").stdout.split()
    assert int(done[0]) <= 1 << 20, "programs that close every descriptor crawl with more"


def exists(engine: ScratchEngine, name: str) -> bool:
    return engine.docker("container", "inspect", name, check=None).returncode == 0


def test_rm_takes_anonymous_volumes_and_failed_starts(engine: ScratchEngine, name: str) -> None:
    before = set(engine.docker("volume", "ls", "-q").stdout.split())
    engine.docker("run", "--rm", "--name", name, "-v", "/v", "-v", f"{name}:/named", "busybox", "true")
    await_until(lambda: not exists(engine, name), "the removal")
    assert set(engine.docker("volume", "ls", "-q").stdout.split()) - before == {name}
    engine.docker("volume", "rm", name)
    engine.docker("run", "--rm", "--name", name, "busybox", "/no/such", check=127)
    await_until(lambda: not exists(engine, name), "the removal of what never ran")
    engine.docker("run", "-d", "--rm", "--name", name, "busybox", "sleep", "300")
    engine.docker("restart", "-t", "0", name)
    assert inspect(engine, name, "{{.State.Running}}") == "true", "a restart by hand is no end"
    engine.docker("kill", name)
    await_until(lambda: not exists(engine, name), "the removal after a kill")


def test_rm_while_no_engine_is_there(own_engine: ScratchEngine) -> None:
    engine = own_engine
    engine.docker("run", "-d", "--rm", "--name", "ends", "-v", "/v", "busybox", "sleep", "300")
    engine.docker("run", "-d", "--rm", "--name", "lives", "busybox", "sleep", "300")
    pid = init_pid(engine, "ends")
    engine.kill9()
    os.kill(pid, signal.SIGKILL)
    await_until(lambda: is_gone(pid), "the program to end")
    engine.restart()
    await_until(lambda: not exists(engine, "ends"), "the removal by the next engine")
    assert engine.docker("volume", "ls", "-q").stdout == ""
    assert inspect(engine, "lives", "{{.State.Running}}") == "true"
    engine.docker("stop", "-t", "0", "lives")
    await_until(lambda: not exists(engine, "lives"), "the removal")


def waiting(engine: ScratchEngine, name: str, condition: str) -> subprocess.Popen[str]:
    """A wait under way, as its own process, by the API."""
    script = (
        "import sys, docker; "
        f"c = docker.DockerClient({engine.host!r}).containers.get({name!r}); print('there', flush=True); "
        f"print(c.wait(condition={condition!r})['StatusCode'])"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    return process


@pytest.mark.parametrize(
    ("condition", "end"), [("next-exit", "stop"), ("removed", "rm"), ("not-running", "kill")]
)
def test_wait(engine: ScratchEngine, name: str, condition: str, end: str) -> None:
    engine.docker("run", "-d", "--name", name, "busybox", "sleep", "300")
    waiter = waiting(engine, name, condition)
    try:
        engine.docker(end, *{"stop": ("-t", "0"), "rm": ("-f",), "kill": ()}[end], name)
        text, _ = waiter.communicate(timeout=60)
        assert text == "137\n"
    finally:
        waiter.kill()
        waiter.wait()


def test_events_are_chosen(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "--name", name, "-l", f"who={name}", "-v", f"{name}:/v", "busybox", "true")
    engine.docker("rm", name)
    engine.docker("volume", "rm", name)

    def events(*filters: str) -> list[tuple[str, str]]:
        words = [word for each in filters for word in ("-f", each)]
        lines = engine.docker(
            "events", "--since", "1", "--until", str(time.time()), "--format", "{{json .}}", *words
        ).stdout.splitlines()
        return [(event["Type"], event["Action"]) for event in map(json.loads, lines)]

    whole = ["create", "start", "die", "destroy"]
    assert [action for _, action in events(f"container={name}") if action in whole] == whole
    assert events(f"label=who={name}", "event=die", "event=start") == [
        ("container", "start"),
        ("container", "die"),
    ]
    assert events(f"volume={name}", "event=destroy") == [("volume", "destroy")]
    assert events(f"container={name}", "type=volume") == []
    assert events(f"container={name}", "scope=swarm") == []
