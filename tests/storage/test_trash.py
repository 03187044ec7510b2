from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from nakagin.storage.trash import Trash


def test_everything_goes(tmp_path: Path) -> None:
    trash = Trash(str(tmp_path))
    victim = tmp_path / "victim"
    (victim / "a" / "b").mkdir(parents=True)
    (victim / "a" / "file").write_text("x")
    (tmp_path / "outside").write_text("stays")
    (victim / "link").symlink_to(tmp_path / "outside")
    (victim / "up").symlink_to("..")
    trash.take(str(victim))
    trash.take(str(victim))
    assert not victim.exists()
    trash.empty()
    assert os.listdir(trash.path) == []
    assert (tmp_path / "outside").read_text() == "stays"


def test_a_tree_deeper_than_any_path(tmp_path: Path) -> None:
    trash = Trash(str(tmp_path))
    os.mkdir(tmp_path / "deep")
    fd = os.open(tmp_path / "deep", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    trash.take(str(tmp_path / "deep"))
    trash.empty()
    assert os.listdir(trash.path) == []


@pytest.mark.root
def test_immutable_files(tmp_path: Path) -> None:
    trash = Trash(str(tmp_path))
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "f").write_text("x")
    if subprocess.run(["chattr", "+i", victim / "f", victim], capture_output=True, check=False).returncode:
        pytest.skip("this file system has no immutable flag")
    subprocess.run(["chattr", "-i", victim], check=True)
    trash.take(str(victim))
    trash.empty()
    assert os.listdir(trash.path) == []
