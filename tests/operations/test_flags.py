"""What the flags of `run` do, as the kernel and the container see it; for update of them, too.

What a flag sends to the engine is compared with docker's own command line in tests/cli/test_request_body.py.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine, await_until, control_groups
from tests.spine.observe import cgroup_file, init_pid, inspect, namespace, status_field

pytestmark = pytest.mark.root

_LIMITS = (
    "--memory", "64m", "--memory-swap", "96m", "--memory-reservation", "32m", "--memory-swappiness", "7",
    "--cpu-shares", "300", "--cpu-period", "50000", "--cpu-quota", "20000", "--cpuset-cpus", "0", "--cpuset-mems", "0",
    "--pids-limit", "33", "--blkio-weight", "300", "--oom-score-adj", "321", "--shm-size", "3m",
)  # fmt: skip
_V1 = {
    ("memory", "memory.limit_in_bytes"): str(64 << 20), ("memory", "memory.memsw.limit_in_bytes"): str(96 << 20),
    ("memory", "memory.soft_limit_in_bytes"): str(32 << 20), ("memory", "memory.swappiness"): "7",
    ("cpu", "cpu.shares"): "300", ("cpu", "cpu.cfs_period_us"): "50000", ("cpu", "cpu.cfs_quota_us"): "20000",
    ("cpuset", "cpuset.cpus"): "0", ("cpuset", "cpuset.mems"): "0", ("pids", "pids.max"): "33",
    ("blkio", "blkio.bfq.weight"): "300",
}  # fmt: skip
_V2 = {
    ("memory", "memory.max"): str(64 << 20), ("memory", "memory.swap.max"): str(32 << 20),
    ("memory", "memory.low"): str(32 << 20), ("cpu", "cpu.max"): "20000 50000",
    ("cpuset", "cpuset.cpus"): "0", ("cpuset", "cpuset.mems"): "0", ("pids", "pids.max"): "33",
}  # fmt: skip


def version_two() -> bool:
    """Whether the controllers are on pure cgroup v2."""
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


def in_group(pid: int, controller: str, name: str) -> str:
    """A file of the process's group."""
    return cgroup_file(pid, controller, name, name)


def a_disk() -> str:
    """A block device of this machine."""
    for place in (*Path("/sys/block").iterdir(), Path("loop0")):
        device = Path("/dev", place.name)
        if device.exists() and stat.S_ISBLK(device.stat().st_mode):
            return str(device)
    pytest.fail("this machine has no block device")


def test_limits_are_the_kernels(engine: ScratchEngine, name: str) -> None:
    """CLI.run.memory CLI.run.memory-swap CLI.run.memory-reservation CLI.run.memory-swappiness CLI.run.cpu-shares
    CLI.run.cpu-period CLI.run.cpu-quota CLI.run.cpuset-cpus CLI.run.cpuset-mems CLI.run.pids-limit
    CLI.run.blkio-weight CLI.run.oom-score-adj CLI.run.shm-size CLI.run.detach CLI.run.name CLI.run
    CLI.update CLI.update.memory CLI.update.memory-swap CLI.update.memory-reservation CLI.update.cpu-shares
    CLI.update.cpu-period CLI.update.cpu-quota CLI.update.cpuset-cpus CLI.update.cpuset-mems CLI.update.pids-limit
    CLI.update.blkio-weight CLI.update.restart CLI.update.cpus API.ContainerUpdate API.ContainerUpdate.body
    """
    engine.docker("run", "-d", "--name", name, *_LIMITS, "busybox", "sleep", "1000")
    pid = init_pid(engine, name)
    for (controller, file), value in (_V2 if version_two() else _V1).items():
        assert (file, in_group(pid, controller, file)) == (file, value)
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "321"
    size = engine.docker("exec", name, "df", "-k", "/dev/shm").stdout.split()[-5]
    assert size == "3072"
    engine.docker(
        "update", "--memory", "70m", "--memory-swap", "80m", "--memory-reservation", "20m", "--cpu-shares", "400",
        "--cpu-period", "60000", "--cpu-quota", "30000", "--cpuset-cpus", "0", "--cpuset-mems", "0", "--pids-limit",
        "44", "--blkio-weight", "400", "--restart", "on-failure:4", name,
    )  # fmt: skip
    changed = {
        "memory.limit_in_bytes": str(70 << 20), "memory.memsw.limit_in_bytes": str(80 << 20),
        "memory.soft_limit_in_bytes": str(20 << 20), "cpu.shares": "400", "cpu.cfs_period_us": "60000",
        "cpu.cfs_quota_us": "30000", "pids.max": "44", "blkio.bfq.weight": "400", "memory.max": str(70 << 20),
        "memory.swap.max": str(10 << 20), "memory.low": str(20 << 20), "cpu.max": "30000 60000",
    }  # fmt: skip
    for (controller, file), value in (_V2 if version_two() else _V1).items():
        assert (file, in_group(pid, controller, file)) == (file, changed.get(file, value))
    assert inspect(engine, name, "{{json .HostConfig.RestartPolicy}}") == (
        '{"Name":"on-failure","MaximumRetryCount":4}'
    )
    # They are in the record: the next run has them.
    engine.docker("restart", "-t", "0", name)
    assert in_group(init_pid(engine, name), "pids", "pids.max") == "44"


@pytest.mark.docker(28)
def test_half_a_cpu_by_either_way(engine: ScratchEngine, name: str) -> None:
    """CLI.run.cpus CLI.run.oom-kill-disable CLI.run.kernel-memory CLI.run.disable-content-trust CLI.run.isolation
    CLI.run.platform CLI.run.pull CLI.run.runtime CLI.run.cpu-rt-period CLI.run.cpu-rt-runtime CLI.run.cpu-count
    CLI.run.cpu-percent CLI.run.io-maxbandwidth CLI.run.io-maxiops CLI.run.quiet CLI.update.kernel-memory
    CLI.update.cpu-rt-period CLI.update.cpu-rt-runtime
    """
    known = (
        "--platform", "linux", "--pull", "never", "--runtime", "runc", "--isolation", "default", "--quiet",
        "--disable-content-trust", "--oom-kill-disable", "-m", "32m",
    )  # fmt: skip
    engine.docker(
        "run",
        "-d",
        "--name",
        name,
        "--cpus",
        "0.25",
        "--kernel-memory",
        "50m",
        *known,
        "busybox",
        "sleep",
        "1000",
    )
    pid = init_pid(engine, name)
    quota = cgroup_file(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0]
    assert quota == "25000"
    if not version_two():
        assert "oom_kill_disable 1" in in_group(pid, "memory", "memory.oom_control")
    engine.docker("update", "--cpus", "0.5", "--kernel-memory", "60m", name)
    assert cgroup_file(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    assert inspect(engine, name, "{{.HostConfig.NanoCpus}}") == "500000000"
    refused = engine.docker("update", "--cpu-quota", "10000", name, check=1)
    assert "NanoCPUs has already been set" in refused.stderr
    # Of another kernel's build, and of another system: a clear word or nothing, and never half a container.
    done = engine.docker("run", "--rm", "--cpu-rt-period", "100000", "busybox", "true", check=None)
    assert done.returncode == 0 or "cpu.rt_period_us" in done.stderr
    for words in (
        ("--cpu-count", "1"),
        ("--cpu-percent", "5"),
        ("--io-maxiops", "5"),
        ("--io-maxbandwidth", "1m"),
    ):
        assert engine.nakagin("run", "--rm", *words, "busybox", "echo", "ran").stdout == "ran\n"
    engine.docker("run", "--rm", "--isolation", "hyperv", "busybox", "true", check=125)
    assert (
        "linux only"
        in engine.docker("run", "--rm", "--platform", "windows/amd64", "busybox", "true", check=125).stderr
    )
    # An image of another platform than the wanted one is not the image that is wanted.
    for run in (engine.docker, engine.nakagin):
        done = run(
            "run", "--rm", "--pull", "never", "--platform", "linux/s390x", "busybox", "true", check=125
        )
        assert "does not provide the specified platform (linux/s390x)" in done.stderr


def test_block_devices_are_throttled(engine: ScratchEngine, name: str) -> None:
    """CLI.run.device-read-bps CLI.run.device-write-bps CLI.run.device-read-iops CLI.run.device-write-iops
    CLI.run.blkio-weight-device
    """
    disk = a_disk()
    numbers = os.stat(disk).st_rdev
    device = f"{os.major(numbers)}:{os.minor(numbers)}"
    flags = [
        "--device-read-bps", f"{disk}:1mb", "--device-write-bps", f"{disk}:2mb", "--device-read-iops", f"{disk}:30",
        "--device-write-iops", f"{disk}:40",
    ]  # fmt: skip
    engine.docker("run", "-d", "--name", name, *flags, "busybox", "sleep", "1000")
    pid = init_pid(engine, name)
    if version_two():
        shown = in_group(pid, "io", "io.max")
        assert shown == f"{device} rbps=1048576 wbps=2097152 riops=30 wiops=40"
    else:
        for file, value in (
            ("read_bps", 1 << 20), ("write_bps", 2 << 20), ("read_iops", 30), ("write_iops", 40),
        ):  # fmt: skip
            assert in_group(pid, "blkio", f"blkio.throttle.{file}_device") == f"{device} {value}"
    weighed = engine.docker(
        "run", "--rm", "--blkio-weight-device", f"{disk}:200", "busybox", "echo", "ran", check=None
    )
    # Not every scheduler knows weights of devices; then it is said which file could not be written.
    assert weighed.stdout == "ran\n" or "weight" in weighed.stderr
    gone = engine.docker("run", "--rm", "--device-read-bps", "/dev/nowhere:1mb", "busybox", "true", check=125)
    assert "/dev/nowhere" in gone.stderr


@pytest.mark.docker(28)
def test_who_it_is_and_what_it_may(engine: ScratchEngine, name: str, tmp_path: Path) -> None:
    """CLI.run.user CLI.run.group-add CLI.run.workdir CLI.run.env CLI.run.env-file CLI.run.entrypoint CLI.run.cap-add
    CLI.run.cap-drop CLI.run.security-opt CLI.run.ulimit CLI.run.sysctl CLI.run.read-only CLI.run.tmpfs
    CLI.run.device CLI.run.device-cgroup-rule CLI.run.label CLI.run.label-file CLI.run.annotation CLI.run.cidfile
    CLI.run.stop-signal CLI.run.stop-timeout CLI.run.log-driver CLI.run.log-opt CLI.run.volume CLI.run.mount
    CLI.run.rm CLI.run.attach CLI.run.help
    """
    (tmp_path / "env").write_text("FROM_FILE=yes\n# no\n")
    (tmp_path / "labels").write_text("of=file\n")
    script = (
        "id -u; id -g; id -G; pwd; echo $GIVEN $FROM_FILE; ulimit -n; cat /proc/sys/net/ipv4/ip_default_ttl; "
        "touch /x 2>/dev/null || echo read-only; echo t > /tmp/t && cat /tmp/t; test -c /dev/mine && echo device; "
        "grep -E '^(CapBnd|NoNewPrivs)' /proc/self/status"
    )
    engine.docker(
        "run", "--name", name, "--user", "12:34", "--group-add", "56", "--workdir", "/var", "--env", "GIVEN=1",
        "--env-file", str(tmp_path / "env"), "--cap-drop", "ALL", "--cap-add", "NET_RAW", "--security-opt",
        "no-new-privileges", "--ulimit", "nofile=77:88", "--sysctl", "net.ipv4.ip_default_ttl=70", "--read-only",
        "--tmpfs", "/tmp:mode=1777", "--device", "/dev/zero:/dev/mine:r", "--device-cgroup-rule", "c 1:5 r", "--label",
        "a=b", "--label-file", str(tmp_path / "labels"), "--annotation", "note=kept", "--cidfile",
        str(tmp_path / "cid"), "--stop-signal", "USR1", "--stop-timeout", "3", "--log-driver", "local", "--log-opt",
        "max-size=3m", "--volume", f"{tmp_path}:/bind:ro", "--mount", "type=tmpfs,dst=/mem,tmpfs-size=1m",
        "--entrypoint", "/bin/sh", "--attach", "stdout", "busybox", "-c", script,
    )  # fmt: skip
    shown = engine.docker("logs", name).stdout.splitlines()
    assert shown[:10] == [
        "12", "34", "34 56", "/var", "1 yes", "77", "70", "read-only", "t", "device",
    ]  # fmt: skip
    assert [line.split() for line in shown[10:]] == [["CapBnd:", f"{1 << 13:016x}"], ["NoNewPrivs:", "1"]]
    identity = inspect(engine, name, "{{.Id}}")
    assert (tmp_path / "cid").read_text() == identity
    told = inspect(
        engine, name,
        "{{.Config.Labels}} {{.HostConfig.Annotations}} {{.Config.StopSignal}} {{.Config.StopTimeout}} "
        "{{.HostConfig.LogConfig.Type}} {{.HostConfig.LogConfig.Config}} {{len .Mounts}}",
    )  # fmt: skip
    assert told == "map[a:b of:file] map[note:kept] USR1 3 local map[max-size:3m] 2"
    taken = engine.docker("run", "--cidfile", str(tmp_path / "cid"), "busybox", "true", check=125)
    assert "container ID file found" in taken.stderr
    assert "--memory-swappiness" in engine.nakagin("run", "--help").stdout


def _is_removed(group: str) -> bool:
    with contextlib.suppress(OSError):
        os.rmdir(group)
    return not os.path.lexists(group)


@pytest.fixture
def parents(engine: ScratchEngine) -> Iterator[None]:
    """What `--cgroup-parent` makes is the administrator's; here it is ours."""
    yield
    for group in control_groups(engine.cgroup_parent):
        if group.endswith("/below"):
            await_until(partial(_is_removed, group), "the group to be empty")


@pytest.mark.usefixtures("parents")
def test_whose_namespaces_it_shares(engine: ScratchEngine, name: str) -> None:
    """CLI.run.pid CLI.run.ipc CLI.run.uts CLI.run.userns CLI.run.cgroupns CLI.run.privileged CLI.run.cgroup-parent
    CLI.run.volumes-from CLI.run.volume-driver
    """
    host = {kind: namespace("self", kind) for kind in ("pid", "ipc", "uts", "cgroup", "user", "mnt")}
    common = ("run", "-d", "--init", "--name")
    engine.docker(*common, f"{name}-a", "--ipc", "shareable", "--volume-driver", "local", "-v", f"vol-{name}:/v",
                  "--cgroupns", "private", "busybox", "sleep", "1000")  # fmt: skip
    first = init_pid(engine, f"{name}-a")
    assert {kind for kind, number in host.items() if namespace(first, kind) == number} == {"user"}
    engine.docker(
        *common, f"{name}-b", "--pid", f"container:{name}-a", "--ipc", f"container:{name}-a", "--uts", "host",
        "--userns", "host", "--cgroupns", "host", "--privileged", "--volumes-from", f"{name}-a:ro", "busybox",
        "sleep", "1000",
    )  # fmt: skip
    second = init_pid(engine, f"{name}-b")
    for kind in ("pid", "ipc"):
        assert namespace(second, kind) == namespace(first, kind)
    assert {kind for kind, number in host.items() if namespace(second, kind) == number} == {
        "user",
        "uts",
        "cgroup",
    }
    assert status_field(Path(f"/proc/{second}/status").read_text(), "CapEff") == status_field(
        Path("/proc/self/status").read_text(), "CapBnd"
    )
    assert "Read-only" in engine.docker("exec", f"{name}-b", "touch", "/v/x", check=1).stderr
    parent = f"/{engine.cgroup_parent}/below"
    engine.docker(*common, f"{name}-c", "--pid", "host", "--ipc", "host", "--cgroup-parent", parent, "busybox",
                  "sleep", "1000")  # fmt: skip
    third = init_pid(engine, f"{name}-c")
    assert {kind for kind, number in host.items() if namespace(third, kind) == number} >= {
        "pid",
        "ipc",
        "user",
    }
    assert f"{parent}/" in Path(f"/proc/{third}/cgroup").read_text()
    engine.docker("rm", "-fv", *(f"{name}-{each}" for each in "abc"))
    engine.docker("volume", "rm", f"vol-{name}")
    wrong = engine.docker("run", "--rm", "--pid", f"container:{name}-a", "busybox", "true", check=125)
    assert f"No such container: {name}-a" in wrong.stderr
