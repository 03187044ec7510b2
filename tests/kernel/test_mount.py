"""Detached mounts, in mount namespaces of children."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.kernel.test_paths import in_mount_namespace

from nakagin.kernel import abi, mount, namespaces

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root


def test_a_filesystem_gets_its_attributes_before_it_is_seen(tmp_path: Path) -> None:
    def work() -> None:
        fd = mount.new_filesystem("tmpfs", "name", ["size=64k", "mode=711"], abi.MOUNT_ATTR_NOEXEC)
        place = os.open(tmp_path, os.O_PATH)
        mount.move_mount(fd, place)
        with open("/proc/self/mountinfo") as table:
            fields = next(line.split() for line in table if line.split()[4] == str(tmp_path))
        assert "noexec" in fields[5]
        assert os.stat(tmp_path).st_mode & 0o777 == 0o711
        mount.set_attributes(fd, add=abi.MOUNT_ATTR_RDONLY)
        with pytest.raises(OSError, match="Read-only"):
            (tmp_path / "file").touch()
        mount.umount(str(tmp_path), abi.MNT_DETACH)

    assert in_mount_namespace(work) == 0


def test_a_filesystem_says_itself_what_is_wrong() -> None:
    def work() -> None:
        with pytest.raises(OSError, match="Unknown parameter 'colour'"):
            mount.new_filesystem("tmpfs", None, ["colour=red"])
        with pytest.raises(OSError, match="No such device"):
            mount.new_filesystem("no-such-filesystem", None, [])

    assert in_mount_namespace(work) == 0


def test_a_copy_of_a_tree(tmp_path: Path) -> None:
    def work() -> None:
        copy = mount.open_tree(abi.AT_FDCWD, "/dev", recursive=True)
        mount.set_attributes(copy, add=abi.MOUNT_ATTR_RDONLY, recursive=True)
        place = os.open(tmp_path, os.O_PATH)
        mount.move_mount(copy, place)
        assert (tmp_path / "pts").is_mount()
        with pytest.raises(OSError, match="Read-only"):
            (tmp_path / "pts" / "x").touch()

    assert in_mount_namespace(work) == 0


def test_pivot_root_leaves_nothing_of_the_old(tmp_path: Path) -> None:
    def work() -> None:
        mount.mount("tmpfs", str(tmp_path), "tmpfs", 0)
        os.chdir(tmp_path)
        mount.pivot_root(".", ".")
        mount.umount(".", abi.MNT_DETACH)
        os.chdir("/")
        assert os.listdir("/") == []

    assert in_mount_namespace(work) == 0


def test_errors_name_call_and_path() -> None:
    with pytest.raises(OSError, match="mount: ") as caught:
        mount.mount("x", "/no/such/place", "tmpfs", 0)
    assert caught.value.filename == "/no/such/place"
    with pytest.raises(OSError, match="setns"):
        namespaces.setns(0, abi.CLONE_NEWNET)
