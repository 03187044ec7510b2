"""Groups that are there while somebody uses them."""

from __future__ import annotations

from pathlib import Path

from nakagin.cgroups.layout import Layout
from nakagin.containers.parents import Parents


def test_what_was_not_there_goes_with_the_last_user(tmp_path: Path) -> None:
    memory, pids = tmp_path / "memory", tmp_path / "pids"
    (memory / "mine").mkdir(parents=True)
    pids.mkdir()
    parents = Parents(Layout("v1", {"memory": str(memory), "pids": str(pids)}))
    with parents.used("mine/a/b"):
        for mount in (memory, pids):
            (mount / "mine" / "a" / "b").mkdir(parents=True)
        with parents.used("/mine/a/b/"):
            pass
        assert (pids / "mine/a/b").is_dir()
    assert [path.name for path in memory.rglob("*")] == ["mine"], "it was there before"
    assert list(pids.iterdir()) == []


def test_what_another_uses_stays(tmp_path: Path) -> None:
    parents = Parents(Layout("v2", {}, str(tmp_path)))
    with parents.used("/a"):
        (tmp_path / "a" / "other").mkdir(parents=True)
    assert (tmp_path / "a" / "other").is_dir()
    with parents.used(""), parents.used("/"), parents.used("never-made"):
        pass
