"""Cache and bandwidth groups: plans, and what is done with them on folders that look like resctrl."""

from __future__ import annotations

from pathlib import Path

import pytest

from nakagin.cgroups import rdt
from nakagin.errors import Conflict, Invalid, Unsupported
from nakagin.spec.runtime import IntelRdt


@pytest.fixture
def root(tmp_path: Path) -> str:
    (tmp_path / "schemata").write_text("L3:0=fff\nMB:0=100\n")
    return str(tmp_path)


def test_plans() -> None:
    own = rdt.plan({"l3CacheSchema": "L3:0=f\nMB:0=20", "memBwSchema": "MB:0=50"}, "box", "/r")
    assert (own.folder, own.lines, own.own, own.monitored) == ("/r/box", ["L3:0=f", "MB:0=50"], True, "")
    named = rdt.plan({"closID": "gold", "schemata": ["L2:0=3"], "enableMonitoring": True}, "box", "/r")
    assert (named.folder, named.lines, named.own) == ("/r/gold", ["L2:0=3"], False)
    assert named.monitored == "/r/gold/mon_groups/box"


@pytest.mark.parametrize("section", [{"closID": ".."}, {"closID": "a/b"}, {"schemata": ["nonsense"]}])
def test_bad_sections(section: IntelRdt) -> None:
    with pytest.raises(Invalid, match=r"linux\.intelRdt"):
        rdt.plan(section, "box")


def test_an_own_group_comes_and_goes(root: str) -> None:
    wanted = rdt.plan({"l3CacheSchema": "L3:0=f"}, "box", root)
    rdt.enter(wanted, 77)
    assert Path(root, "box/schemata").read_text() == "L3:0=f\n"
    assert Path(root, "box/tasks").read_text() == "77\n"
    for name in ("schemata", "tasks"):  # the kernel's files go with their folder
        Path(root, "box", name).unlink()
    rdt.leave(wanted)
    assert not Path(root, "box").exists()
    rdt.leave(wanted)


def test_the_administrators_group_is_used_and_stays(root: str) -> None:
    gold = Path(root, "gold")
    gold.mkdir()
    (gold / "schemata").write_text("    L3:0=00f\n    MB:0=100\n")
    wanted = rdt.plan({"closID": "gold", "schemata": ["L3:0=F"]}, "box", root)
    rdt.enter(wanted, 77)
    assert (gold / "schemata").read_text() == "    L3:0=00f\n    MB:0=100\n"
    rdt.leave(wanted)
    assert (gold / "tasks").read_text() == "77\n"
    with pytest.raises(Conflict, match="schemata differ"):
        rdt.enter(rdt.plan({"closID": "gold", "schemata": ["L3:0=1"]}, "box", root), 77)


def test_what_is_missing_is_said(root: str, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="there is no group"):
        rdt.enter(rdt.plan({"closID": "none"}, "box", root), 77)
    with pytest.raises(Unsupported, match="there is no resctrl"):
        rdt.enter(rdt.plan({"closID": "gold"}, "box", str(tmp_path / "nowhere")), 77)
