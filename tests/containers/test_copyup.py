"""Copy-up keeps owners, modes, links and attributes, and fills only what is empty."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nakagin.containers.copyup import copy_up


@pytest.mark.root
def test_everything_is_kept(tmp_path: Path) -> None:
    root, volume = tmp_path / "root", tmp_path / "volume"
    (root / "data/sub").mkdir(parents=True)
    volume.mkdir()
    (root / "data/file").write_text("text")
    os.chown(root / "data/file", 5, 6)
    os.chmod(root / "data/file", 0o4750)
    os.symlink("/etc/passwd", root / "data/link")
    os.mkfifo(root / "data/fifo")
    os.utime(root / "data/sub", ns=(1, 1_000_000_000))
    os.chmod(root / "data", 0o1777)
    fd = os.open(root, os.O_PATH)
    try:
        assert copy_up(fd, "/data", str(volume))
        assert not copy_up(fd, "/data", str(volume)), "it is not empty any more"
    finally:
        os.close(fd)
    status = os.stat(volume / "file")
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o4750, 5, 6)
    assert os.readlink(volume / "link") == "/etc/passwd"
    assert (volume / "fifo").is_fifo()
    assert os.stat(volume / "sub").st_mtime == 1
    assert os.stat(volume).st_mode & 0o7777 == 0o1777


def test_links_on_the_way_stay_inside(tmp_path: Path) -> None:
    root, volume = tmp_path / "root", tmp_path / "volume"
    (root / "etc").mkdir(parents=True)
    (root / "etc/mine").write_text("")
    volume.mkdir()
    os.symlink("/etc", root / "data")
    fd = os.open(root, os.O_PATH)
    try:
        assert copy_up(fd, "data", str(volume))
        assert os.listdir(volume) == ["mine"]
        os.unlink(volume / "mine")
        assert not copy_up(fd, "missing", str(volume))
    finally:
        os.close(fd)
