"""Isolation, seen from inside the container and from the host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.conftest import running_engine
from tests.engine_fixture import ScratchEngine
from tests.spine.observe import init_pid, namespace, parent, status_field

pytestmark = pytest.mark.root

DOCKER_CAPABILITIES = 0x00000000A80425FB
SHARED = [("--network", "net"), ("--pid", "pid"), ("--ipc", "ipc")]


@pytest.fixture(scope="module")
def plain(engine: ScratchEngine) -> str:
    """A container with nothing but defaults."""
    engine.docker("run", "-d", "--name", f"plain-{engine.instance}", "busybox", "sleep", "3000")
    return f"plain-{engine.instance}"


@pytest.mark.parametrize("kind", ["pid", "mnt", "net", "uts", "ipc"])
def test_every_namespace_is_its_own(engine: ScratchEngine, plain: str, kind: str) -> None:
    outside = namespace(init_pid(engine, plain), kind)
    assert outside != namespace("self", kind)
    inside = engine.docker("exec", plain, "readlink", f"/proc/self/ns/{kind}").stdout
    assert inside.strip() == f"{kind}:[{outside}]"


def test_programs_know_where_they_are(engine: ScratchEngine, plain: str) -> None:
    """By the file that they look for since Docker's first days; no change of the container's."""
    assert engine.docker("exec", plain, "stat", "-c", "%a %s", "/.dockerenv").stdout == "755 0\n"
    assert ".dockerenv" not in engine.docker("diff", plain).stdout


@pytest.mark.parametrize(("flag", "kind"), [*SHARED, ("--uts", "uts")])
def test_a_namespace_of_the_host_on_request(engine: ScratchEngine, name: str, flag: str, kind: str) -> None:
    engine.docker("run", "-d", "--name", name, flag, "host", "busybox", "sleep", "300")
    assert namespace(init_pid(engine, name), kind) == namespace("self", kind)


@pytest.mark.parametrize(("flag", "kind"), SHARED)
def test_a_namespace_of_another_container(engine: ScratchEngine, name: str, flag: str, kind: str) -> None:
    first = name + "-first"
    engine.docker("run", "-d", "--name", first, "--ipc", "shareable", "busybox", "sleep", "300")
    try:
        engine.docker("run", "-d", "--name", name, flag, f"container:{first}", "busybox", "sleep", "300")
        assert namespace(init_pid(engine, name), kind) == namespace(init_pid(engine, first), kind)
        engine.docker("rm", "-f", name)
    finally:
        engine.docker("rm", "-f", first)


def test_it_is_an_ordinary_process_of_the_host(engine: ScratchEngine, plain: str) -> None:
    pid = init_pid(engine, plain)
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x003000\x00"
    assert parent(pid) > 1


def test_it_sees_only_its_own_processes(engine: ScratchEngine) -> None:
    listing = engine.docker("run", "--rm", "busybox", "ps", "-o", "pid,args").stdout.split("\n")
    assert [line.split() for line in listing if line] == [["PID", "COMMAND"], ["1", "ps", "-o", "pid,args"]]


def test_its_host_name_is_its_id(engine: ScratchEngine, plain: str) -> None:
    identity = engine.docker("inspect", "-f", "{{.Id}}", plain).stdout[:12]
    assert engine.docker("exec", plain, "hostname").stdout.strip() == identity != os.uname().nodename


def test_it_sees_nothing_of_the_hosts_files(engine: ScratchEngine, plain: str) -> None:
    mounts = engine.docker("exec", plain, "cat", "/proc/self/mountinfo").stdout.splitlines()
    assert mounts[0].split()[4] == "/"
    assert not [
        line for line in mounts if line.split(" - ")[1].startswith("ext4 ") and line.split()[3] == "/"
    ]
    assert "/.old" not in "".join(mounts)


def test_the_hosts_mount_table_stays_empty(engine: ScratchEngine, plain: str) -> None:
    if engine.name != "nakagin":
        pytest.skip("dockerd mounts in the host's namespace")
    assert str(engine.root) not in Path("/proc/self/mountinfo").read_text()


def test_network_devices(engine: ScratchEngine, plain: str) -> None:
    assert engine.docker("exec", plain, "ls", "/sys/class/net").stdout.split() == ["eth0", "lo"]
    alone = engine.docker("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net")
    assert alone.stdout.split() == ["lo"]


def test_default_privileges(engine: ScratchEngine, plain: str) -> None:
    status = engine.docker("exec", plain, "cat", "/proc/1/status").stdout
    for kind in ("CapEff", "CapPrm", "CapBnd"):
        assert int(status_field(status, kind), 16) & ~DOCKER_CAPABILITIES == 0, kind
    assert int(status_field(status, "CapAmb"), 16) == 0
    assert status_field(status, "Seccomp") == "2"


def test_exec_has_no_more_privileges_than_the_container(engine: ScratchEngine, plain: str) -> None:
    status = engine.docker("exec", plain, "cat", "/proc/self/status").stdout
    assert int(status_field(status, "CapEff"), 16) & ~DOCKER_CAPABILITIES == 0
    assert status_field(status, "Seccomp") == "2"


def test_capabilities_on_request(engine: ScratchEngine) -> None:
    def effective(*flags: str) -> int:
        status = engine.docker("run", "--rm", *flags, "busybox", "cat", "/proc/self/status").stdout
        return int(status_field(status, "CapEff"), 16)

    assert effective("--cap-drop", "ALL") == 0
    assert effective("--cap-drop", "ALL", "--cap-add", "NET_ADMIN") == 1 << 12
    assert effective("-u", "1000") == 0
    no_new = engine.docker(
        "run", "--rm", "--security-opt", "no-new-privileges", "busybox", "cat", "/proc/self/status"
    )
    assert status_field(no_new.stdout, "NoNewPrivs") == "1"


@pytest.mark.parametrize(
    "attempt",
    [
        "mount -t tmpfs none /mnt",
        "echo x > /proc/sys/kernel/core_pattern",
        "echo b > /proc/sysrq-trigger",
        "mknod /tmp/disk b 8 0 && head -c 1 /tmp/disk",
        "hostname changed",
        "unshare -m true",
        "cd /sys/fs/cgroup/memory 2>/dev/null || cd /sys/fs/cgroup; mkdir child",
        "test -s /proc/timer_list",
        "test -s /proc/keys",
        "ls /sys/firmware | grep -q .",
        "chroot /proc/1/root/../../.. test -e /var/lib/dpkg",
    ],
)
def test_forbidden_deeds(engine: ScratchEngine, plain: str, attempt: str) -> None:
    assert engine.docker("exec", plain, "sh", "-c", f"({attempt}) 2>/dev/null", check=None).returncode != 0


def test_no_file_descriptor_comes_along(engine: ScratchEngine, plain: str) -> None:
    script = "for fd in /proc/1/fd/*; do readlink $fd; done"
    targets = engine.docker("exec", plain, "sh", "-c", script).stdout.split()
    assert len(targets) == 3, targets
    listed = engine.docker("exec", plain, "sh", "-c", "ls /proc/self/fd").stdout.split()
    assert listed == ["0", "1", "2", "3"]  # 3 is the folder that ls reads


def test_read_only_root(engine: ScratchEngine) -> None:
    script = "touch /x 2>/dev/null && echo root; touch /t/x && echo tmpfs"
    done = engine.docker("run", "--rm", "--read-only", "--tmpfs", "/t", "busybox", "sh", "-c", script)
    assert done.stdout == "tmpfs\n"


def test_a_changed_file_stays_in_its_container(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "--name", name, "busybox", "sh", "-c", "echo changed > /etc/passwd; rm /bin/vi")
    changes = engine.docker("diff", name).stdout.splitlines()
    assert set(changes) >= {"C /etc", "C /etc/passwd", "C /bin", "D /bin/vi"}
    assert "root" in engine.docker("run", "--rm", "busybox", "cat", "/etc/passwd").stdout


def test_device_nodes(engine: ScratchEngine, plain: str) -> None:
    found = set(engine.docker("exec", plain, "ls", "/dev").stdout.split())
    wanted = {
        "null",
        "zero",
        "full",
        "random",
        "urandom",
        "tty",
        "ptmx",
        "pts",
        "shm",
        "mqueue",
        "fd",
        "stdin",
    }
    assert wanted <= found
    assert not [device for device in found if device.startswith(("sd", "vd", "nvme", "mem", "kmsg"))]
    assert (
        engine.docker("exec", plain, "sh", "-c", "head -c 4 /dev/zero | wc -c; echo x >/dev/null").stdout
        == "4\n"
    )


def test_what_the_engine_makes_is_not_masked_by_who_started_it(pytestconfig: pytest.Config) -> None:
    """Under a strict umask, too, any user in a container reads its names and reaches its mounts."""
    before = os.umask(0o077)
    try:
        with running_engine(pytestconfig) as engine:
            script = "cat /etc/hosts /etc/resolv.conf /etc/hostname && ls -d /new/place/. /vol/ume/. && umask"
            mounts = ("-v", "/tmp:/new/place", "-v", "some:/vol/ume")
            done = engine.docker("run", "--rm", *mounts, "-u", "1000", "busybox", "sh", "-c", script)
    finally:
        os.umask(before)
    assert done.stdout.endswith("/new/place/.\n/vol/ume/.\n0022\n")
