"""Scopes: what systemd is told, as data; then a real D-Bus daemon with a stand-in for systemd behind it."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cgroups.systemd import Systemd

from nakagin.cgroups import limits, scope
from nakagin.cgroups.layout import Layout, detect
from nakagin.errors import StepFailed, Unsupported

V1 = Layout("v1", {name: f"/c/{name}" for name in ("memory", "cpu", "cpuset", "pids", "devices")})
V2 = Layout("v2", {}, "/c", frozenset({"memory", "cpu", "cpuset", "pids", "io"}))
LIMITS = {
    "memory": {"limit": 1 << 26, "reservation": 1 << 25, "swap": 1 << 27},
    "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0-2,9"},
    "pids": {"limit": 33},
}


def told(resources: dict[str, object], layout: Layout) -> dict[str, object]:
    plan = limits.plan(resources, layout)  # type: ignore[arg-type]
    return {name: value for name, (_, value) in scope.limit_properties(plan, {("c", 136): "pts"})}


def test_units_and_slices() -> None:
    assert scope.unit_and_slice("/a.slice/a-b.slice/x-1.scope") == ("x-1.scope", "a-b.slice")
    assert scope.unit_and_slice("/x.scope") == ("x.scope", "-.slice")


def test_limits_on_v2() -> None:
    assert told(LIMITS, V2) == {
        "MemoryMax": 1 << 26, "MemoryLow": 1 << 25, "MemorySwapMax": 1 << 26, "TasksMax": 33, "CPUWeight": 20,
        "CPUQuotaPeriodUSec": 100000, "CPUQuotaPerSecUSec": 500000, "AllowedCPUs": [0b111, 0b10],
    }  # fmt: skip


def test_limits_on_v1() -> None:
    assert told(LIMITS, V1) == {
        "MemoryLimit": 1 << 26, "TasksMax": 33, "CPUShares": 512, "CPUQuotaPeriodUSec": 100000,
        "CPUQuotaPerSecUSec": 500000, "AllowedCPUs": [0b111, 0b10],
    }  # fmt: skip


def test_no_limit_is_infinity() -> None:
    found = told({"memory": {"limit": -1}, "cpu": {"quota": -1}, "pids": {"limit": -1}}, V2)
    assert found["MemoryMax"] == found["CPUQuotaPerSecUSec"] == found["TasksMax"] == (1 << 64) - 1
    assert told({}, V2) == {}


def test_devices_are_told_where_systemd_would_rewrite_them() -> None:
    rules = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "b", "major": 8, "minor": 1, "access": "r"},
        {"allow": True, "type": "c", "major": 77, "access": "rw"},  # no driver of this machine
    ]
    found = told({"devices": rules}, V1)
    assert found["DevicePolicy"] == "strict"
    allowed = found["DeviceAllow"]
    assert isinstance(allowed, list)
    assert {("/dev/block/8:1", "r"), ("char-*", "m"), ("/dev/char/1:3", "rwm"), ("char-pts", "rwm")} <= set(
        allowed
    )
    assert not [each for each in allowed if "77" in each[0]]
    assert told({"devices": [{"allow": True, "access": "rwm"}]}, V1) == {}
    assert told({"devices": rules}, V2) == {}


def test_drivers_of_this_machine() -> None:
    assert scope.read_majors()["c", 136] == "pts"


def test_without_systemd_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="does not run this machine"):
        scope.check(str(tmp_path / "none"))
    scope.check(str(tmp_path))


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    if not shutil.which("dbus-daemon"):
        pytest.skip("dbus-daemon is not installed")
    monkeypatch.setattr(scope, "check", lambda: None)
    made = Systemd(tmp_path)
    yield made
    if made.daemon.poll() is None:
        made.close()


@pytest.fixture
def path() -> Iterator[str]:
    slice_name = f"nktest{secrets.token_hex(4)}.slice"
    yield f"/{slice_name}/box-1.scope"
    layout = detect()
    for mount in layout.hierarchies or (layout.v2,):
        os.rmdir(f"{mount}/{slice_name}")


@pytest.mark.root
def test_the_life_of_a_scope(systemd: Systemd, path: str) -> None:
    group = scope.Scope(path, detect(), systemd.address)
    group.create()
    (held,) = group.pids()
    pid = os.fork()
    if pid == 0:
        group.join()
        os.execvp("sleep", ["sleep", "60"])
    while pid not in group.pids():
        pass
    group.settle()
    assert group.pids() == [pid]
    assert group.apply(limits.plan({"pids": {"limit": 7}}, group.layout)) == []
    group.kill()
    os.waitpid(pid, 0)
    group.remove()
    assert not group.exists()
    calls = systemd.close()
    names = [name for name, _ in calls]
    assert names == ["Subscribe", "StartTransientUnit", "SetUnitProperties", "StopUnit", "ResetFailedUnit"]
    unit, mode, properties, auxiliary = calls[1][1]
    assert (unit, mode, auxiliary) == ("box-1.scope", "fail", [])
    found = {name: value for name, (_, value) in properties}
    assert found["PIDs"] == [held]
    assert found["Slice"] == path.split("/")[1]
    assert (found["Delegate"], found["DefaultDependencies"]) == (True, False)
    assert calls[2][1] == ["box-1.scope", True, [["TasksMax", ["t", 7]]]]


@pytest.mark.root
@pytest.mark.parametrize(
    ("unit", "words"), [("refused", "NoSuchUnit: no such slice"), ("failing", "ended as 'failed'")]
)
def test_a_refusal_leaves_nothing(systemd: Systemd, path: str, unit: str, words: str) -> None:
    group = scope.Scope(path.replace("box-1", unit), detect(), systemd.address)
    with pytest.raises(StepFailed, match=words):
        group.create()
    for mount in group.layout.hierarchies or (group.layout.v2,):
        os.makedirs(mount + os.path.dirname(path), exist_ok=True)  # the fixture removes it
    super(scope.Scope, group).remove()
    assert not group.exists()
