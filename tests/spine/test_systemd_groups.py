"""An engine whose control groups systemd makes: a stand-in for it on a real bus."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cgroups.systemd import Systemd
from tests.engine_fixture import ScratchEngine

from nakagin.cgroups.group import Group
from nakagin.cgroups.layout import detect

pytestmark = pytest.mark.root

# Where sd_booted(3) looks, in a mount namespace of the engine's own.
_BOOTED = 'mount -t tmpfs none /run/systemd && mkdir /run/systemd/system && exec "$@"'


class ScopedEngine(ScratchEngine):
    """It believes that systemd runs the machine."""

    def __init__(self, address: str) -> None:
        super().__init__("--exec-opt", "native.cgroupdriver=systemd")
        self.slice = f"nk{self.instance}.slice"
        self.arguments = (*self.arguments, "--cgroup-parent", self.slice)
        self._address = address

    def command(self) -> list[str]:
        bus = f"DBUS_SYSTEM_BUS_ADDRESS=unix:path={self._address}"
        return ["env", bus, "unshare", "-m", "sh", "-c", _BOOTED, "sh", *super().command()]


@pytest.fixture
def scoped(tmp_path: Path) -> Iterator[ScopedEngine]:
    if not shutil.which("dbus-daemon"):
        pytest.skip("dbus-daemon is not installed")
    os.makedirs("/run/systemd", exist_ok=True)
    systemd = Systemd(tmp_path)
    engine = ScopedEngine(systemd.address)
    try:
        engine.start()
        engine.bootstrap_busybox()
        yield engine
    finally:
        found = engine.close()
        systemd.close()
        Group(f"/{engine.slice}", detect()).remove()
    assert not found, "left behind:\n" + "\n".join(found)


def test_a_life_in_a_scope(scoped: ScopedEngine) -> None:
    assert scoped.docker("info", "-f", "{{.CgroupDriver}}").stdout == "systemd\n"
    where = ("run", "--rm", "--cgroupns", "host", "--pids-limit", "33", "busybox", "cat", "/proc/self/cgroup")
    scope = f"/{scoped.slice}/nakagin-"
    assert any(
        scope in line and line.endswith(".scope") for line in scoped.docker(*where).stdout.splitlines()
    )
    # as the engine makes the plainest of all
    assert scoped.docker("run", "--rm", "busybox", "echo", "hello").stdout == "hello\n"
    id = scoped.docker("run", "-d", "--stop-signal", "KILL", "busybox", "sleep", "600").stdout.strip()
    assert scoped.docker("exec", id, "echo", "inside").stdout == "inside\n"
    scoped.docker("update", "--pids-limit", "44", id)
    scoped.docker("stop", id)
    scoped.docker("rm", id)
