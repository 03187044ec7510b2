"""A plain container is made from outside (docs/decisions/050): nobody inside can tell."""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine, await_until
from tests.spine.observe import init_pid

pytestmark = pytest.mark.root

# An OOM score of one's own is what is not plain about the other container, and all that is.
ORDINARY = ("--oom-score-adj", "1")
SHAPES = {
    "defaults": (),
    "no network": ("--network", "none"),
    "the host's network": ("--network", "host"),
    "a user": ("--user", "1000:1000", "--group-add", "7", "--workdir", "/tmp"),
    "fewer rights": ("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"),
    "privileged": ("--privileged",),
    "limits": ("-m", "64m", "--cpus", "0.5", "--pids-limit", "50", "--ulimit", "nofile=99:100"),
    "a volume": ("-v", "data:/data", "--tmpfs", "/scratch:size=1m", "--shm-size", "1m"),
    "names": ("--hostname", "box", "--domainname", "example", "--sysctl", "net.ipv4.ip_forward=0"),
}
LOOK = r"""
cat /proc/self/mountinfo
grep -E '^(Name|Umask|State|Uid|Gid|Groups|Kthread|Shd|Sig[BIC]|Cap|NoNew|Seccomp|Speculation)' /proc/self/status
ls -lan /dev /dev/pts /dev/shm /proc/self/fd | grep -v ' total'; cat /proc/self/cgroup /proc/self/limits /proc/1/comm
ls -l /proc/self/ns | sed 's/.*-> //;s/[0-9]*]//'; env | sort; pwd; id; hostname; umask; ulimit -a
ls /proc/acpi /proc/scsi /sys/firmware; for f in kcore keys timer_list; do head -c1 /proc/$f | wc -c; done
echo x 2>&1 > /proc/sys/kernel/hostname; echo b 2>&1 > /proc/sysrq-trigger
cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range; ip link show lo
readlink /proc/self/cwd /proc/self/root; stat -c '%a %u:%g %n' /dev/null /dev/core /dev/ptmx /tmp /proc/self/fd/1
"""


def seen(engine: ScratchEngine, *flags: str) -> list[str]:
    """What a container sees of itself, without what differs between any two."""
    shown = engine.docker("run", "--rm", *flags, "busybox", "sh", "-c", LOOK, check=None)
    text = re.sub(r"[0-9a-f]{64}|[0-9a-f]{12}\b|veth\w+", "ID", shown.stdout + shown.stderr)
    text = re.sub(r"(pipe|net|ipc|uts|pid|mnt|cgroup):\[\d+\]", r"\1", text)
    text = re.sub(r"^\d+ \d+ \d+:\d+ ", "", text, flags=re.MULTILINE)  # mounts: numbers, but not the order
    text = re.sub(
        r"\w{3} +\d+ \d\d:\d\d|172\.\d+\.\d+\.\d+|lowerdir=[^, ]*|/l/\w+|ether \S+|,uuid=on", "", text
    )
    return text.splitlines()


@pytest.mark.parametrize("flags", SHAPES.values(), ids=SHAPES)
def test_it_is_the_same_inside(engine: ScratchEngine, flags: tuple[str, ...]) -> None:
    plain = seen(engine, *flags)
    assert len(plain) > 60
    assert plain == seen(engine, *flags, *ORDINARY)
    if "data:/data" in flags:
        engine.docker("volume", "rm", "data")


def test_nothing_of_the_host_is_open(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "-d", "--name", name, "busybox", "sleep", "300")
    pid = init_pid(engine, name)
    assert sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2"]
    assert os.readlink(f"/proc/{pid}/exe") == "/bin/sleep"


@pytest.fixture
def folder(engine: ScratchEngine) -> Iterator[Path]:
    """An empty folder of the host that may get something mounted on it."""
    path = engine.root / f"late-{uuid.uuid4().hex[:6]}"
    path.mkdir()
    yield path
    subprocess.run(["umount", path], check=False, capture_output=True)
    path.rmdir()


def test_it_sees_what_was_mounted_after_the_capsule_was_made(engine: ScratchEngine, folder: Path) -> None:
    engine.docker("run", "--rm", "busybox", "true")
    subprocess.run(["mount", "-t", "tmpfs", "late", folder], check=True)
    (folder / "file").write_text("late\n")
    look = engine.docker("run", "--rm", "-v", f"{folder}:/mnt:ro", "busybox", "cat", "/mnt/file")
    assert look.stdout == "late\n"


def test_nothing_of_a_dead_container_is_held(engine: ScratchEngine) -> None:
    """The processes that live on keep no descriptor of a root: it would keep its files on the disk."""

    def descriptors() -> dict[int, int]:
        found = {}
        for pid in engine.processes():
            with suppress(OSError):
                found[pid] = len(os.listdir(f"/proc/{pid}/fd"))
        return found

    def starts() -> None:
        engine.docker("run", "--rm", "busybox", "true")
        engine.docker("run", "--rm", "busybox", "no-such-program", check=127)
        engine.docker("run", "--rm", "-w", "/bin/sh", "busybox", "true", check=None)

    starts()
    before = descriptors()
    for _ in range(4):
        starts()
    living = before.keys() & descriptors().keys()
    assert len(living) >= 3  # engine, zygote, midwife; a monitor in waiting may have been used
    await_until(
        lambda: all(descriptors().get(pid, 0) <= before[pid] + 3 for pid in living),
        "descriptors to be closed",
    )
