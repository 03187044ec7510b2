"""What is kept below the runtime root."""

from __future__ import annotations

from pathlib import Path

import pytest

from nakagin.errors import Conflict, Invalid, NotFound
from nakagin.runtime.state import Facts, Folder, check_id, folders, now


def facts(name: str) -> Facts:
    """Some facts."""
    return Facts(
        id=name,
        oci_version="1.2.0",
        bundle="/b",
        rootfs="/b/r",
        cgroup_path="/g",
        created=now(),
        pid=5,
        pid_start_ticks=7,
    )


def test_facts_come_back(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "root"), "one")
    folder.make()
    written = facts("one")
    folder.write(written, {"hostname": "x"})
    read = Folder(str(tmp_path / "root"), "one").read()
    assert all(getattr(read, name) == getattr(written, name) for name in Facts.__slots__)
    assert folder.read_config() == {"hostname": "x"}
    assert [each.path for each in folders(str(tmp_path / "root"))] == [folder.path]


def test_an_id_belongs_to_the_first(tmp_path: Path) -> None:
    Folder(str(tmp_path), "one").make()
    with pytest.raises(Conflict):
        Folder(str(tmp_path), "one").make()


def test_missing_and_removed(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path), "one")
    with pytest.raises(NotFound):
        folder.read()
    folder.remove()
    folder.make()
    Path(folder.start_path).touch()
    assert folder.awaits_start()
    folder.forget_start()
    folder.forget_start()
    assert not folder.awaits_start()
    folder.remove()
    assert not list(tmp_path.iterdir())
    assert not list(folders(str(tmp_path / "nowhere")))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "a\n", "x" * 1025, "ä"])
def test_bad_ids(name: str) -> None:
    with pytest.raises(Invalid):
        check_id(name)


@pytest.mark.parametrize("name", ["a", "0abc", "a_b+c-d.e", "-a"])
def test_good_ids(name: str) -> None:
    check_id(name)
