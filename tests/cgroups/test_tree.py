"""Making and delegating, on folders that look like hierarchies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nakagin.cgroups import files, tree
from nakagin.cgroups.group import Group
from nakagin.cgroups.layout import Layout
from nakagin.cgroups.limits import plan
from nakagin.errors import StepFailed

if TYPE_CHECKING:
    from pathlib import Path


def v2_folder(folder: Path, controllers: str, enabled: str = "", kind: str = "domain") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.controllers").write_text(controllers + "\n")
    (folder / "cgroup.subtree_control").write_text(enabled)
    (folder / "cgroup.type").write_text(kind + "\n")


def test_make_is_recursive_and_says_what_it_made(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert files.make(str(tmp_path), "/a/b/c") == [f"{tmp_path}/a/b", f"{tmp_path}/a/b/c"]
    assert files.make(str(tmp_path), "/a/b/c") == []


def test_delegates_along_the_path(tmp_path: Path) -> None:
    v2_folder(tmp_path, "cpu memory pids rdma", "memory")
    v2_folder(tmp_path / "a", "cpu memory pids")
    tree.make_v2(str(tmp_path), "/a/b", frozenset({"cpu", "memory", "pids", "hugetlb"}))
    assert (tmp_path / "cgroup.subtree_control").read_text().startswith("+cpu +pids")
    assert (tmp_path / "a/cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert (tmp_path / "a/b").is_dir()


def test_nothing_to_delegate_is_one_look(tmp_path: Path) -> None:
    v2_folder(tmp_path, "cpu memory", "")
    v2_folder(tmp_path / "a", "cpu memory", "cpu memory")
    tree.make_v2(str(tmp_path), "/a/b", frozenset({"cpu", "memory"}))
    assert (tmp_path / "cgroup.subtree_control").read_text() == ""


def test_group_below_a_threaded_one_becomes_threaded(tmp_path: Path) -> None:
    v2_folder(tmp_path, "cpu")
    v2_folder(tmp_path / "a", "cpu", kind="domain invalid")
    tree.make_v2(str(tmp_path), "/a", frozenset({"cpu"}))
    assert (tmp_path / "a/cgroup.type").read_text().startswith("threaded")


def test_cpuset_is_inherited_through_empty_parents(tmp_path: Path) -> None:
    for folder, text in (("", "0-3\n"), ("a", "\n"), ("a/b", "\n")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "cpuset.cpus").write_text(text)
        (tmp_path / folder / "cpuset.mems").write_text("0\n" if not folder else "\n")
        (tmp_path / folder / "cgroup.clone_children").write_text("0")
    tree.inherit_cpuset(str(tmp_path), "/a/b")
    assert (tmp_path / "a/b/cpuset.cpus").read_text().startswith("0-3")
    assert (tmp_path / "a/cpuset.mems").read_text().startswith("0")
    assert (tmp_path / "a/cgroup.clone_children").read_text() == "1"
    assert (tmp_path / "cgroup.clone_children").read_text() == "0"  # the top is not ours


def fake_group(tmp_path: Path, *names: str) -> Group:
    v2_folder(tmp_path / "a", "cpu memory io")
    for name in names:
        (tmp_path / "a" / name).write_text("")
    return Group("/a", Layout("v2", {}, str(tmp_path), frozenset({"cpu", "memory", "io", "pids"})))


def test_apply_writes_the_plan(tmp_path: Path) -> None:
    group = fake_group(tmp_path, "cpu.weight", "memory.max")
    assert group.apply(plan({"cpu": {"shares": 1024}, "memory": {"limit": 5}}, group.layout)) == []
    assert (tmp_path / "a/cpu.weight").read_text() == "39"
    assert (tmp_path / "a/memory.max").read_text() == "5"


def test_apply_takes_the_other_file(tmp_path: Path) -> None:
    group = fake_group(tmp_path, "io.weight")
    assert group.apply(plan({"blockIO": {"weight": 500}}, group.layout)) == []
    assert (tmp_path / "a/io.weight").read_text() == "default 4950"


def test_apply_says_why_a_file_is_missing(tmp_path: Path) -> None:
    group = fake_group(tmp_path)
    warnings = group.apply(plan({"cpu": {"burst": 1}, "pids": {"limit": 5}}, group.layout))
    assert warnings == [
        "cpu.max.burst is not set: this kernel does not have it",
        "pids.max is not set: the pids controller is not delegated to /a",
    ]


def test_failed_create_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").write_text("not a folder")
    layout = Layout("v1", {"pids": str(tmp_path / "one"), "memory": str(tmp_path / "two")})
    with pytest.raises(StepFailed, match="make cgroup /a/b"):
        Group("/a/b", layout).create()
    assert list((tmp_path / "one").iterdir()) == []


def test_reading_is_tolerant(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("a 1\nb max\nc d 2\n\n")
    (tmp_path / "number").write_text("max\n")
    assert files.read_table(str(tmp_path / "table")) == {"a": 1}
    assert files.read_number(str(tmp_path / "number"), 7) == 7
    assert files.read_number(str(tmp_path / "none"), 7) == 7
    (tmp_path / "long").write_text("x" * 200_000)
    assert len(files.read(str(tmp_path / "long"))) == 200_000
