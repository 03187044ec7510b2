"""A whole life under a monitor: by our own runtime, by runc, by crun; on whatever control groups there are.

In a virtual machine with nothing but cgroup v2 and with AppArmor too (tests/vm/test_v2.py).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from nakagin.cgroups import layout
from nakagin.cgroups.group import Group
from nakagin.containers import apparmor
from nakagin.errors import CommandFailed
from nakagin.kernel import labels
from nakagin.monitor.launch import Monitor
from tests.monitor.test_monitor import PATIENCE, Launched, Rig, everything, frame, rig

__all__ = ["rig"]  # a fixture

pytestmark = pytest.mark.root
RUNTIMES = ("nakagin", "runc", "crun")


@pytest.fixture(params=RUNTIMES)
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object] | None:
    """What the launch request says of the runtime."""
    if request.param == "nakagin":
        return None
    path = shutil.which(request.param, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        pytest.skip(f"{request.param} is not installed")
    if request.param == "crun" and layout.detect().mode == "hybrid":
        pytest.skip("crun refuses hybrid control groups; it runs in the virtual machine")
    root = tmp_path / "foreign"
    root.mkdir()
    return {"path": path, "arguments": [], "root": str(root), "systemd_cgroup": False}


async def test_a_whole_life(rig: Rig, foreign: dict[str, object] | None) -> None:
    chatty = await rig.launch("sh", "-c", "echo out; echo err >&2; exit 7", foreign=foreign)
    assert (await chatty.exit())["exit_code"] == 7
    assert sorted(chatty.log) == ["err\n", "out\n"]

    container = await rig.launch("sleep", "1000", foreign=foreign)
    stream = await container.exec("sh", "-c", "cat; exit 3")
    stream.sendall(b"hello")
    stream.shutdown(1)
    assert await everything(stream) == frame(1, b"hello")
    assert (await asyncio.wait_for(container.exec_exits.get(), PATIENCE))["exit_code"] == 3
    await container.monitor.request("update", resources={"pids": {"limit": 7}})
    assert limit_of(container.monitor.pid) == "7"
    await container.monitor.request("pause")
    await container.monitor.request("resume")
    await container.monitor.request("signal", number=9)
    assert (await container.exit())["exit_code"] == 137

    with pytest.raises(CommandFailed) as caught:
        await rig.launch("no-such-command", foreign=foreign)
    assert caught.value.exit_code == 127


async def test_want_of_memory_is_told_while_the_container_lives_on(
    rig: Rig, foreign: dict[str, object] | None
) -> None:
    container = await rig.launch("sleep", "1000", memory=16 << 20, foreign=foreign)
    assert await everything(await container.exec("tail", "/dev/zero")) == b""
    await container.told({"event": "oom"})
    assert (await container.exec_exits.get())["exit_code"] == 137
    await container.monitor.request("signal", number=9)
    assert (await container.exit())["oom_killed"] is True


async def test_want_of_memory_under_a_limit_that_came_later(rig: Rig) -> None:
    container = await rig.launch("sleep", "1000")
    limit = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    await container.monitor.request("update", resources=limit)
    await everything(await container.exec("tail", "/dev/zero"))
    await container.told({"event": "oom"})


async def test_want_of_memory_while_nobody_listens_is_told_later(rig: Rig) -> None:
    script = "while ! [ -e /go ]; do sleep 0.01; done; tail /dev/zero; sleep 1000"
    container = await rig.launch("sh", "-c", script, memory=16 << 20)
    group = Group(container.request["cgroup_path"], layout.detect())
    container.monitor.close()
    Path(f"/proc/{container.monitor.pid}/root/go").touch()
    async with asyncio.timeout(PATIENCE):
        while not group.oom_kills():
            await asyncio.sleep(0.01)
    again = Launched(rig, container.request)
    again.monitor = await Monitor.connect(str(container.run_dir), again.on_event)
    rig.launched.append(again)
    await again.told({"event": "oom"})
    container.exited.set_result({})


def limit_of(pid: int) -> str:
    """The process limit in its control group."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        folder = "/sys/fs/cgroup/pids" if controllers == "pids" else "/sys/fs/cgroup"
        if (file := Path(f"{folder}{path}/pids.max")).exists():
            return file.read_text().strip()
    raise AssertionError


@pytest.fixture(scope="module")
def profile() -> str:
    """Our profile, in the kernel."""
    if not labels.has_apparmor():
        pytest.skip("this kernel has no AppArmor; the virtual machine's has")
    compiled = Path("/profile")  # there the compiler is not, but what it made
    if compiled.exists():
        kernel = Path("/sys/kernel/security/apparmor/.replace")
        subprocess.run(
            ["/bin/busybox", "mount", "-t", "securityfs", "none", "/sys/kernel/security"], check=False
        )
        kernel.write_bytes(compiled.read_bytes())
        return apparmor.NAME
    assert apparmor.load()
    return apparmor.NAME


LOOK = """
cat /proc/self/attr/current
true > /proc/sys/kernel/panic && echo wrote || echo refused
cat /proc/kcore > /dev/null && echo read || echo refused
echo mine > /proc/self/comm && echo wrote || echo refused
kill -0 1 && echo signalled
"""


async def test_the_default_apparmor_profile(rig: Rig, profile: str) -> None:
    """Though nothing is masked or read-only here: the profile alone is the wall. An exec stands behind it too."""
    container = await rig.launch("sh", "-c", f"{LOOK}exec sleep 1000", apparmor=profile)
    seen = [f"{profile} (enforce)", "refused", "refused", "wrote", "signalled"]
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while len(said := [line for line in container.log if "denied" not in line.lower()]) < 5:
        assert asyncio.get_running_loop().time() < deadline, said
        await asyncio.sleep(0.05)
    assert [line.strip() for line in said] == seen
    stream = await container.exec("cat", "/proc/self/attr/current", apparmor=profile)
    assert f"{profile} (enforce)".encode() in await everything(stream)
