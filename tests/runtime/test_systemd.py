"""`--systemd-cgroup` from outside: a stand-in for systemd on a real bus, and a machine without systemd."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from nakagin.cgroups.group import Group
from nakagin.cgroups.layout import detect
from tests.cgroups.systemd import Systemd
from tests.runtime.box import COMMAND, Answer, Box

pytestmark = pytest.mark.root

# Where sd_booted(3) looks, in a mount namespace of the runtime's own.
_BOOTED = 'mount -t tmpfs none /run/systemd && mkdir /run/systemd/system && exec "$@"'


class ScopedBox(Box):
    """Its runtime believes that systemd runs the machine."""

    address = ""

    def call(self, *words: str, stdin: str = "", before: str = "") -> Answer:
        os.makedirs("/run/systemd", exist_ok=True)
        argv = ["unshare", "-m", "sh", "-c", _BOOTED, "sh", str(COMMAND), "--root", str(self.root)]
        done = subprocess.run(
            [*argv, "--systemd-cgroup", *words], input=stdin, capture_output=True, text=True, timeout=60,
            env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.address}"}, check=False,
        )  # fmt: skip
        return Answer(done)


def test_a_container_in_a_scope(tmp_path: Path, rootfs: Path) -> None:
    if not shutil.which("dbus-daemon"):
        pytest.skip("dbus-daemon is not installed")
    box = ScopedBox(tmp_path, rootfs)
    slice_name = f"nktest{box.id.removeprefix('nk-')}.slice"
    box.linux["cgroupsPath"] = f"{slice_name}:nakagin:{box.id}"
    box.linux["resources"] = {"pids": {"limit": 33}}
    systemd = Systemd(tmp_path)
    box.address = systemd.address
    try:
        # Its own cgroup namespace would show it the top only.
        box.linux["namespaces"] = [each for each in box.linux["namespaces"] if each["type"] != "cgroup"]
        groups = box.sh("cat /proc/self/cgroup").splitlines()
        assert any(line.endswith(f"/{slice_name}/nakagin-{box.id}.scope") for line in groups)
    finally:
        calls = systemd.close()
        box.close()
        Group(f"/{slice_name}", detect()).remove()
    assert [name for name, _ in calls] == [
        "Subscribe", "StartTransientUnit", "SetUnitProperties", "StopUnit", "ResetFailedUnit",
    ]  # fmt: skip
    assert ["TasksMax", ["t", 33]] in calls[2][1][2]


def test_a_machine_without_systemd_says_so(box: Box) -> None:
    if os.path.isdir("/run/systemd/system"):
        pytest.skip("systemd runs this machine")
    box.linux["cgroupsPath"] = f"system.slice:nakagin:{box.id}"
    box.write("true")
    answer = box.call("--systemd-cgroup", "run", "--bundle", str(box.bundle), box.id)
    assert answer.code == 1
    assert "systemd cannot be asked for a scope: it does not run this machine" in answer.err
    assert box.call("list", "-q").out == ""
