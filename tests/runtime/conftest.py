"""Fixtures: boxes that are deleted whatever happens."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.runtime.box import BUSYBOX, Box, make_rootfs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def rootfs() -> Iterator[Path]:
    """A root filesystem that tests share and do not change; the ids of user namespaces can reach it."""
    if not BUSYBOX.exists():
        pytest.skip("busybox-static is not installed")
    with tempfile.TemporaryDirectory(prefix="nk-rootfs-") as folder:
        Path(folder).chmod(0o755)
        yield make_rootfs(Path(folder) / "rootfs")


@pytest.fixture
def box(tmp_path: Path, rootfs: Path) -> Iterator[Box]:
    """A bundle on the shared root filesystem."""
    made = Box(tmp_path, rootfs)
    yield made
    made.close()


@pytest.fixture
def own_box(tmp_path: Path) -> Iterator[Box]:
    """A bundle on a root filesystem of its own, which the test may change."""
    made = Box(tmp_path, make_rootfs(tmp_path / "rootfs"))
    yield made
    made.close()
