"""Limits, seen from inside and from the host; the host stays unharmed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient
from tests.engine_fixture import ScratchEngine, await_until, control_groups
from tests.spine.observe import cgroup_file, init_pid, inspect

pytestmark = pytest.mark.root


def test_memory_hog_is_killed(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "-m", "16m", "--name", name, "busybox", "tail", "/dev/zero", check=137)
    assert inspect(engine, name, "{{.State.OOMKilled}} {{.State.ExitCode}}") == "true 137"
    assert engine.docker("run", "--rm", "busybox", "echo", "unharmed").stdout == "unharmed\n"


def test_memory_hog_below_init_is_seen_too(engine: ScratchEngine, name: str) -> None:
    script = "tail /dev/zero; echo child died with $?"
    done = engine.docker("run", "-m", "16m", "--name", name, "busybox", "sh", "-c", script)
    assert done.stdout == "child died with 137\n"
    assert inspect(engine, name, "{{.State.ExitCode}} {{.State.OOMKilled}}") == "0 true"


def test_a_memory_hog_is_told_of_while_the_container_lives_on(engine: ScratchEngine, name: str) -> None:
    """As Docker does since 23: the flag and the event are there at once, and the next start begins anew."""
    engine.docker("run", "-d", "--init", "-m", "16m", "--name", name, "busybox", "sleep", "1000")
    engine.docker("exec", name, "tail", "/dev/zero", check=137)
    state = "{{.State.Running}} {{.State.OOMKilled}}"
    await_until(lambda: inspect(engine, name, state) == "true true", "the notice")
    engine.docker("kill", name)
    engine.docker("wait", name)
    words = (
        "--since",
        "1h",
        "--until",
        f"{time.time():.6f}",
        "-f",
        f"container={name}",
        "-f",
        "type=container",
    )
    told = engine.docker("events", *words, "--format", "{{.Action}}").stdout.split("\n")
    assert [each for each in told if each in {"start", "oom", "kill", "die"}] == [
        "start",
        "oom",
        "kill",
        "die",
    ]
    engine.docker("start", name)
    assert inspect(engine, name, state) == "true false"


def test_limits_reach_the_kernel(engine: ScratchEngine, name: str) -> None:
    flags = ("-m", "64m", "--cpus", "0.5", "--pids-limit", "33", "--cpu-shares", "512", "--cpuset-cpus", "0")
    engine.docker("run", "-d", "--name", name, *flags, "busybox", "sleep", "300")
    pid = init_pid(engine, name)
    assert cgroup_file(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert cgroup_file(pid, "pids", "pids.max", "pids.max") == "33"
    assert cgroup_file(pid, "cpuset", "cpuset.cpus", "cpuset.cpus") == "0"
    quota = cgroup_file(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0]
    assert quota == "50000"


def test_update_changes_a_living_container(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "-d", "--name", name, "-m", "64m", "--memory-swap", "-1", "busybox", "sleep", "300")
    engine.docker("update", "-m", "32m", "--memory-swap", "-1", "--pids-limit", "7", name)
    pid = init_pid(engine, name)
    assert cgroup_file(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(32 << 20)
    assert cgroup_file(pid, "pids", "pids.max", "pids.max") == "7"


@pytest.fixture
def heavyweight(engine: ScratchEngine) -> Iterator[None]:
    """The engine's containers get every cycle that they want, however busy the machine is."""
    engine.docker("run", "--rm", "busybox", "true")  # now the group is there
    names = {"cpu.shares": "262144", "cpu.weight": "10000"}
    groups = [path for path in control_groups(engine.cgroup_parent) if path.endswith(engine.cgroup_parent)]
    files = {Path(group, name): most for group in groups for name, most in names.items()}
    before = {file: file.read_text() for file in files if file.exists()}
    for file in before:
        file.write_text(files[file])
    yield
    for file, text in before.items():
        file.write_text(text)


@pytest.mark.alone
@pytest.mark.usefixtures("heavyweight")
def test_half_a_cpu_is_half_a_cpu(engine: ScratchEngine, name: str) -> None:
    """Never more; and half, as soon as the machine lets it for two seconds."""
    engine.docker("run", "-d", "--cpus", "0.5", "--name", name, "busybox", "sh", "-c", "while :; do :; done")
    pid = init_pid(engine, name)

    def used() -> float:
        words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    await_until(lambda: used() > 0.3, "the loop to run")
    shares: list[float] = []

    def half() -> bool:
        begun, first = time.monotonic(), used()
        await_until(lambda: time.monotonic() - begun > 2, "two seconds")
        shares.append((used() - first) / (time.monotonic() - begun))
        assert shares[-1] <= 0.55
        return shares[-1] >= 0.45

    await_until(half, f"half a CPU: {shares}", 60)


def test_fork_bomb_stops_at_the_limit(engine: ScratchEngine, name: str) -> None:
    bomb = "bomb() { bomb | bomb & }; bomb & exec sleep 300"
    engine.docker("run", "-d", "--pids-limit", "40", "-m", "64m", "--name", name, "busybox", "sh", "-c", bomb)
    pid = init_pid(engine, name)

    def count() -> int:
        return int(cgroup_file(pid, "pids", "pids.current", "pids.current"))

    seen = 0
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        seen = max(seen, count())
    assert 1 < seen <= 40
    assert engine.docker("run", "--rm", "busybox", "echo", "unharmed").stdout == "unharmed\n"
    begun = time.monotonic()
    engine.docker("rm", "-f", name)
    assert time.monotonic() - begun < 40


def test_without_a_limit_it_says_so(engine: ScratchEngine, api: DockerClient, name: str) -> None:
    engine.docker("run", "-d", "--name", name, "busybox", "sleep", "300")
    limits = inspect(
        engine, name, "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}"
    )
    assert limits in {"0 0 <no value>", "0 0 <nil>", "0 0 0", "0 0 -1"}
    stats = api.containers.get(name).stats(stream=False)
    total = api.info()["MemTotal"]
    assert stats["memory_stats"]["limit"] >= total * 0.99
    pids = stats["pids_stats"].get("limit", 0)
    assert pids == 0 or pids >= 2**63 - 1


def test_stats_count_what_the_container_uses(engine: ScratchEngine, api: DockerClient, name: str) -> None:
    engine.docker(
        "run", "-d", "-m", "64m", "--name", name, "busybox", "sh", "-c", "seq 200000 >/dev/null; sleep 300"
    )
    container = api.containers.get(name)
    await_until(lambda: container.stats(stream=False)["pids_stats"]["current"] >= 1, "the program")
    stats = container.stats(stream=False)
    assert stats["memory_stats"]["limit"] == 64 << 20
    assert 0 < stats["memory_stats"]["usage"] < 64 << 20
    assert stats["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert stats["cpu_stats"]["system_cpu_usage"] > stats["precpu_stats"].get("system_cpu_usage", 0)
    assert stats["networks"]["eth0"]["rx_bytes"] >= 0
    assert "%" in engine.docker("stats", "--no-stream", name).stdout


def test_ulimits_and_shared_memory(engine: ScratchEngine) -> None:
    script = "ulimit -n; ulimit -u; df -k /dev/shm | tail -n 1 | awk '{print $2}'"
    flags = ("--ulimit", "nofile=321:321", "--ulimit", "nproc=99", "--shm-size", "8m")
    lines = engine.docker("run", "--rm", *flags, "busybox", "sh", "-c", script).stdout.split()
    assert lines == ["321", "99", "8192"]
