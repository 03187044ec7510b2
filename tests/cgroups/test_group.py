"""Real groups: whatever version this machine has. The same tests run on v2 in tests/vm."""

from __future__ import annotations

import mmap
import os
import select
import signal
import stat
import time
from typing import TYPE_CHECKING

import pytest
from tests.cgroups.conftest import Child, run_inside, sleep_forever

from nakagin.cgroups import files
from nakagin.cgroups.events import OomWatch
from nakagin.cgroups.group import Group
from nakagin.cgroups.layout import Layout, detect
from nakagin.cgroups.limits import plan
from nakagin.errors import Conflict, StepFailed, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nakagin.spec.runtime import Resources

pytestmark = pytest.mark.root

MIB = 1 << 20


def apply(group: Group, resources: Resources) -> list[str]:
    return group.apply(plan(resources, group.layout))


def value(group: Group, controller: str, v1: str, v2: str) -> str:
    file = v1 if group.layout.version(controller) == 1 else v2
    return files.read(f"{group.directory(controller)}/{file}").strip()


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.001)


def use_memory(amount: int) -> int:
    with mmap.mmap(-1, amount) as memory:
        for place in range(0, amount, 4096):
            memory[place] = 1
    return 0


def test_create_and_remove_in_every_hierarchy(group: Group) -> None:
    assert group.exists()
    for controller in group.layout.v1 or {"memory", "pids"}:
        assert os.path.isdir(group.directory(controller))
    group.create()  # an existing group is left as it is
    assert group.pids() == []
    group.remove()
    assert not group.exists()
    group.remove()  # gone is fine
    group.kill()
    assert group.pids() == []
    assert group.oom_kills() == 0


def test_join_and_add(group: Group) -> None:
    joined = Child(group, sleep_forever)
    added = Child(None, sleep_forever)
    group.add(added.pid)
    assert sorted(group.pids()) == sorted([joined.pid, added.pid])
    for controller in group.layout.v1:
        text = files.read(f"{group.directory(controller)}/cgroup.procs")
        assert sorted(map(int, text.split())) == sorted([joined.pid, added.pid])
    group.kill()
    assert joined.wait() == added.wait() == -signal.SIGKILL
    group.remove()
    assert not group.exists()


@pytest.mark.forked
def test_clone_into(group: Group) -> None:
    from nakagin.kernel.process import clone3

    fd = group.fd()
    if fd < 0:
        assert group.layout.mode != "v2"
        pytest.skip("CLONE_INTO_CGROUP needs cgroup v2")
    pid, pidfd = clone3(0, cgroup_fd=fd)
    if pid == 0:
        signal.pause()
        os._exit(0)
    assert group.pids() == [pid]
    group.kill()
    os.waitpid(pid, 0)
    os.close(pidfd)
    os.close(fd)


def test_typical_limits(group: Group) -> None:
    wanted: Resources = {
        "memory": {"limit": 64 * MIB, "swap": 128 * MIB, "reservation": 32 * MIB},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 100},
    }
    warnings = apply(group, wanted)
    assert [each for each in warnings if "swap" not in each] == []
    assert value(group, "memory", "memory.limit_in_bytes", "memory.max") == str(64 * MIB)
    assert value(group, "memory", "memory.soft_limit_in_bytes", "memory.low") == str(32 * MIB)
    assert value(group, "pids", "pids.max", "pids.max") == "100"
    assert value(group, "cpu", "cpu.shares", "cpu.weight") in ("512", "20")
    assert value(group, "cpu", "cpu.cfs_quota_us", "cpu.max") in ("50000", "50000 100000")
    assert value(group, "cpuset", "cpuset.cpus", "cpuset.cpus") == "0"


def test_updates_in_both_directions(group: Group) -> None:
    """memory ≤ memory+swap, and burst ≤ quota, hold at every moment: the order of writes must follow."""
    for limit in (64, 256, 32, 512, 16):
        wanted: Resources = {
            "memory": {"limit": limit * MIB, "swap": 2 * limit * MIB},
            "cpu": {"quota": limit * 1000, "burst": limit * 1000, "period": 100000},
        }
        apply(group, wanted)
        assert value(group, "memory", "memory.limit_in_bytes", "memory.max") == str(limit * MIB)
    apply(group, {"memory": {"limit": -1, "swap": -1}})
    assert (
        int(value(group, "memory", "memory.limit_in_bytes", "memory.max").replace("max", str(1 << 60)))
        > 1 << 50
    )


def test_update_that_would_kill_is_refused_when_asked_to_look(group: Group) -> None:
    def hold() -> int:
        memory = mmap.mmap(-1, 32 * MIB)
        for place in range(0, len(memory), 4096):
            memory[place] = 1
        os.write(writer, b"x")
        return sleep_forever()

    reader, writer = os.pipe()
    child = Child(group, hold)
    os.read(reader, 1)
    with pytest.raises(Conflict, match="more than the new limit"):
        apply(group, {"memory": {"limit": 4 * MIB, "checkBeforeUpdate": True}})
    group.kill()
    child.wait()
    os.close(reader)
    os.close(writer)


def test_refused_value_names_the_file(group: Group) -> None:
    with pytest.raises(StepFailed, match=r"set cpuset\.cpus to 4000: "):
        apply(group, {"cpu": {"cpus": "4000"}})


def test_limits_of_a_missing_group() -> None:
    missing = Group("/nk-test-missing", detect())
    with pytest.raises(StepFailed, match="does not exist"):
        apply(missing, {"pids": {"limit": 5}})


def test_out_of_memory(group: Group) -> None:
    apply(group, {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}})
    watch = OomWatch(group)
    poll = select.epoll()
    poll.register(watch.fileno(), watch.mask)
    assert poll.poll(0) == []
    assert run_inside(group, lambda: use_memory(64 * MIB)) == -signal.SIGKILL
    assert poll.poll(5)
    assert watch.happened() == 1
    assert group.oom_kills() == 1
    assert watch.happened() == 0
    poll.close()
    watch.close()
    assert watch.fileno() == -1


def test_fork_bomb_stops_at_the_limit(group: Group) -> None:
    def bomb() -> int:
        started = 0
        try:
            for _ in range(50):
                if os.fork() == 0:
                    sleep_forever()
                started += 1
        except BlockingIOError:
            return started
        return 99

    apply(group, {"pids": {"limit": 10}})
    child = Child(group, bomb)
    assert child.wait() == 9
    assert len(group.pids()) == 9
    group.kill()


@pytest.mark.alone
def test_quota_holds_a_busy_loop(group: Group) -> None:
    def busy() -> int:
        for _ in range(30):  # on a busy machine it may get less at times, but never more
            begun, before = time.monotonic(), time.process_time()
            while time.monotonic() < begun + 1.0:
                pass
            used = (time.process_time() - before) / (time.monotonic() - begun)
            if used >= 0.6:
                return int(used * 100)
            if used > 0.4:
                return 0
        return 1

    apply(group, {"cpu": {"quota": 50000, "period": 100000, "shares": 262144}})
    assert run_inside(group, busy) == 0


def test_freeze_and_thaw(group: Group) -> None:
    reader, writer = os.pipe()

    def count() -> int:
        while True:
            os.write(writer, b"x")
            time.sleep(0.001)

    child = Child(group, count)
    os.read(reader, 1)
    assert not group.frozen()
    group.freeze()
    group.freeze()  # twice is fine
    assert group.frozen()
    os.set_blocking(reader, False)
    while select.select([reader], [], [], 0)[0]:
        os.read(reader, 65536)
    assert select.select([reader], [], [], 0.05)[0] == []
    group.thaw()
    assert not group.frozen()
    assert select.select([reader], [], [], 10)[0] == [reader]
    group.kill()
    assert child.wait() == -signal.SIGKILL
    os.close(reader)
    os.close(writer)


def test_kill_while_frozen(group: Group) -> None:
    child = Child(group, sleep_forever)
    group.freeze()
    group.kill()
    assert child.wait() == -signal.SIGKILL


def test_kill_reaches_groups_below_and_a_fork_bomb(group: Group) -> None:
    def bomb() -> int:
        while True:
            try:
                os.fork()
            except BlockingIOError:
                time.sleep(0.001)

    apply(group, {"pids": {"limit": 60}})
    below = Group(f"{group.path}/below", group.layout)
    below.create()
    other = Child(below, sleep_forever) if group.layout.mode != "v2" else None
    child = Child(below if group.layout.mode == "v2" else group, bomb)
    until(lambda: len(group.pids()) > 20)
    group.kill()
    child.wait()
    if other:
        assert other.wait() == -signal.SIGKILL
    until(lambda: group.pids() == [])
    group.remove()
    assert not below.exists()


def test_other_signals_reach_everyone(group: Group) -> None:
    child = Child(group, sleep_forever)
    group.kill(signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM


def test_remove_names_who_lives_in_it(group: Group) -> None:
    child = Child(group, sleep_forever)
    with pytest.raises(StepFailed, match=f"processes {child.pid} live in it"):
        group.remove(timeout=0.01)
    group.kill()
    child.wait()


def test_devices(group: Group, tmp_path: Path) -> None:
    messages = str(tmp_path / "kmsg")  # not every container that tests run in has a /dev/kmsg
    os.mknod(messages, stat.S_IFCHR | 0o600, os.makedev(1, 11))
    apply(group, {"devices": [{"allow": False, "access": "rwm"}]})

    def probe(path: str, flags: int = os.O_RDWR) -> Callable[[], int]:
        def work() -> int:
            try:
                os.close(os.open(path, flags))
            except PermissionError:
                return 1
            return 0

        return work

    assert run_inside(group, probe("/dev/null")) == 0
    assert run_inside(group, probe(messages)) == 1
    rules: Resources = {
        "devices": [{"allow": False}, {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}]
    }
    apply(group, rules)  # replaces what was there
    assert run_inside(group, probe(messages, os.O_RDONLY)) == 0
    assert run_inside(group, probe(messages, os.O_WRONLY)) == 1
    assert run_inside(group, probe("/dev/zero")) == 0


def test_hugetlb(group: Group) -> None:
    if not group.layout.version("hugetlb"):
        pytest.skip("no hugetlb controller")
    assert apply(group, {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]}) == []
    assert value(group, "hugetlb", "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max") == str(4 * MIB)
    child = Child(group, sleep_forever)
    assert files.pids(group.directory("hugetlb")) == [child.pid]
    group.kill()
    child.wait()
    group.remove()
    assert not os.path.exists(group.directory("hugetlb"))


def test_what_this_kernel_does_not_have_is_said(group: Group) -> None:
    warnings = apply(group, {"blockIO": {"leafWeight": 100, "weight": 100}})
    assert any("leaf" in each for each in warnings)


def test_without_cgroups_nothing_happens_but_warnings() -> None:
    nowhere = Group("/nk-test-none", Layout("none", {}, reason="not writable"))
    nowhere.create()
    assert nowhere.apply(plan({"pids": {"limit": 1}}, nowhere.layout)) == [
        "pids (limit) is not limited: not writable"
    ]
    nowhere.join()
    nowhere.add(os.getpid())
    nowhere.kill()
    nowhere.remove()
    assert (nowhere.pids(), nowhere.oom_kills(), nowhere.frozen(), nowhere.fd()) == ([], 0, False, -1)
    with pytest.raises(Unsupported, match="no freezer"):
        nowhere.freeze()
