"""Where a process stands among mounts, on the real kernel."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from nakagin.kernel import abi, mount, namespaces

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.forked]


def test_a_root_of_its_own_is_no_chroot(tmp_path: Path) -> None:
    os.chdir(tmp_path)
    assert not namespaces.is_in_chroot()
    assert os.getcwd() == str(tmp_path)


def test_a_chroot_is_seen_and_not_left(tmp_path: Path) -> None:
    namespaces.unshare(abi.CLONE_NEWNS)
    mount.mount(None, "/", None, abi.MS_REC | abi.MS_PRIVATE)
    mount.mount("/", str(tmp_path), None, abi.MS_BIND | abi.MS_REC)  # the same folder, but another mount
    os.chroot(tmp_path)
    os.chdir("/usr")
    assert namespaces.is_in_chroot()
    assert os.getcwd() == "/usr"
    own = os.open("/", os.O_PATH)
    assert os.readlink(f"/proc/self/fd/{own}") == "/"
