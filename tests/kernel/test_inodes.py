"""Where new inodes go."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from nakagin.kernel import inodes
from nakagin.kernel.inodes import spread


def test_a_folder_is_the_top_of_hierarchies(tmp_path: Path) -> None:
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    done = spread(tmp_path.as_posix())
    assert done or "ext" not in kind
    if done:
        assert spread(tmp_path.as_posix()), "a second time"
        (tmp_path / "below").mkdir()
        told = subprocess.run(["lsattr", "-d", str(tmp_path)], capture_output=True, text=True, check=True)
        assert "T" in told.stdout.split()[0]
        inside = subprocess.run(["lsattr", str(tmp_path)], capture_output=True, text=True, check=True)
        assert "T" not in inside.stdout.split()[0], "what is made below is not spread again"


@pytest.mark.parametrize("unjournaled", [True, False])
def test_only_without_a_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unjournaled: bool) -> None:
    if not spread(tmp_path.as_posix()):
        pytest.skip("this file system has no such flag")
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.setattr(inodes, "_is_unjournaled", lambda folder: unjournaled)
    inodes.spread_unjournaled(below.as_posix())
    told = subprocess.run(["lsattr", "-d", str(below)], capture_output=True, text=True, check=True)
    assert ("T" in told.stdout.split()[0]) == unjournaled


def test_what_is_not_ext4_is_not_asked() -> None:
    inodes.spread_unjournaled("/proc")


def test_a_file_system_that_knows_no_such_thing_is_left_alone() -> None:
    assert not spread("/proc")
