"""Which hierarchies are found in a mount table."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from nakagin.cgroups.layout import Layout, detect, own_paths

if TYPE_CHECKING:
    from pathlib import Path


def line(mount_point: str, kind: str, options: str = "rw") -> str:
    return f"31 23 0:28 / {mount_point} rw,relatime shared:9 - {kind} {kind} {options}"


def folders(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir()


def test_v2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    layout = detect(line(str(tmp_path), "cgroup2"), str(tmp_path))
    assert layout.mode == "v2"
    assert layout.v2 == str(tmp_path)
    assert layout.controllers == {"cpuset", "cpu", "io", "memory", "pids"}
    assert [layout.version(name) for name in ("memory", "devices", "freezer", "hugetlb")] == [2, 2, 2, 0]
    assert layout.mount("memory") == str(tmp_path)
    assert layout.mount("hugetlb") == ""


def test_v1_with_controllers_mounted_together(tmp_path: Path) -> None:
    folders(tmp_path, "cpu,cpuacct", "memory", "systemd")
    text = "\n".join(
        [
            "25 1 8:1 / / rw - ext4 /dev/root rw",
            line(f"{tmp_path}", "tmpfs"),
            line(f"{tmp_path}/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
            line(f"{tmp_path}/memory", "cgroup", "rw,memory"),
            line(f"{tmp_path}/systemd", "cgroup", "rw,xattr,name=systemd"),
            line("/elsewhere/pids", "cgroup", "rw,pids"),
        ]
    )
    layout = detect(text, str(tmp_path))
    assert layout.mode == "v1"
    assert layout.v1["cpu"] == layout.v1["cpuacct"] == f"{tmp_path}/cpu,cpuacct"
    assert layout.hierarchies == (f"{tmp_path}/cpu,cpuacct", f"{tmp_path}/memory")
    assert layout.version("pids") == 0


def test_hybrid(tmp_path: Path) -> None:
    folders(tmp_path, "memory", "unified")
    (tmp_path / "unified/cgroup.controllers").write_text("hugetlb\n")
    text = line(f"{tmp_path}/memory", "cgroup", "rw,memory") + "\n" + line(f"{tmp_path}/unified", "cgroup2")
    layout = detect(text, str(tmp_path))
    assert layout.mode == "hybrid"
    assert layout.version("memory") == 1
    assert layout.version("hugetlb") == 2
    assert layout.version("freezer") == 0  # devices and freezer belong to v1 controllers on a hybrid machine


def test_none(tmp_path: Path) -> None:
    layout = detect("25 1 8:1 / / rw - ext4 /dev/root rw\n", str(tmp_path))
    assert layout.mode == "none"
    assert "no cgroup hierarchy is mounted" in layout.reason
    assert layout.controllers == frozenset()


def test_hierarchy_that_is_not_writable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    layout = detect(line(str(tmp_path), "cgroup2"), str(tmp_path))
    assert layout.mode == "none"
    assert layout.reason == f"{tmp_path} is not writable"


def test_escaped_mount_point(tmp_path: Path) -> None:
    folders(tmp_path, "a b")
    escaped = f"{tmp_path}/a\\040b"
    assert detect(line(escaped, "cgroup", "rw,pids"), str(tmp_path)).v1 == {"pids": f"{tmp_path}/a b"}


def test_own_paths() -> None:
    assert own_paths("8:pids:/a\n4:cpu,cpuacct:/b\n0::/c\n") == {
        "pids": "/a",
        "cpu": "/b",
        "cpuacct": "/b",
        "": "/c",
    }


def test_this_machine_has_one_of_the_modes() -> None:
    layout = detect()
    assert isinstance(layout, Layout)
    assert layout.mode in ("v1", "v2", "hybrid", "none")
