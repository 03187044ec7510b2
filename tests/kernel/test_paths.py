"""Paths that must not lead out, on the real kernel."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from nakagin.kernel import abi, mount, namespaces, paths, process

pytestmark = pytest.mark.forked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """A folder opened as a root; beside it lies what must not be reached."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "root").mkdir()
    fd = os.open(tmp_path / "root", os.O_PATH)
    yield fd
    os.close(fd)


def name_of(fd: int) -> str:
    """The path that the kernel knows the descriptor by; closes it."""
    name = os.readlink(f"/proc/self/fd/{fd}")
    os.close(fd)
    return name


@pytest.mark.parametrize("target", ["/etc", "../outside", "../../../../etc"])
def test_links_resolve_inside(root: int, tmp_path: Path, target: str) -> None:
    (tmp_path / "root" / "etc").mkdir()
    (tmp_path / "root" / "outside").mkdir()
    (tmp_path / "root" / "link").symlink_to(target)
    fd = paths.open_in_root(root, "/link", os.O_PATH | os.O_DIRECTORY)
    assert name_of(fd).startswith(f"{tmp_path}/root/")


def test_dots_stay_inside(root: int, tmp_path: Path) -> None:
    assert name_of(paths.open_in_root(root, "../../..", os.O_PATH)) == f"{tmp_path}/root"


def test_magic_links_are_refused(root: int) -> None:
    proc = os.open("/proc", os.O_PATH)
    try:
        with pytest.raises(OSError, match="Too many levels"):
            paths.open_in_root(proc, f"self/fd/{root}", os.O_PATH)
    finally:
        os.close(proc)


def test_makes_folders_and_files(root: int, tmp_path: Path) -> None:
    os.close(paths.ensure_in_root(root, "/a/b/c"))
    os.close(paths.ensure_in_root(root, "a/d/file", directory=False, mode=0o600))
    assert (tmp_path / "root/a/b/c").is_dir()
    assert stat.S_IMODE((tmp_path / "root/a/d/file").stat().st_mode) == 0o600
    before = (tmp_path / "root/a/d/file").stat()
    os.close(paths.ensure_in_root(root, "a/d/file"))
    assert (tmp_path / "root/a/d/file").stat() == before


@pytest.mark.parametrize("target", ["made", "/made", "../../../made", "./deep/../made"])
def test_makes_what_a_dangling_link_leads_to(root: int, tmp_path: Path, target: str) -> None:
    (tmp_path / "root" / "link").symlink_to(target)
    os.close(paths.ensure_in_root(root, "link/below"))
    assert (tmp_path / "root/made/below").is_dir()
    assert not list((tmp_path / "outside").iterdir())


def test_a_loop_of_links_ends(root: int, tmp_path: Path) -> None:
    (tmp_path / "root" / "one").symlink_to("two")
    (tmp_path / "root" / "two").symlink_to("one")
    with pytest.raises(OSError, match="Too many levels"):
        paths.ensure_in_root(root, "one/below")


def test_a_file_in_the_way_is_told(root: int, tmp_path: Path) -> None:
    (tmp_path / "root" / "file").touch()
    with pytest.raises(NotADirectoryError):
        paths.ensure_in_root(root, "file/below")


def test_procfs_is_verified(tmp_path: Path) -> None:
    os.close(paths.open_procfs())
    with pytest.raises(OSError, match="not a procfs"):
        paths.open_procfs(str(tmp_path))


def in_mount_namespace(work: Callable[[], None]) -> int:
    """The exit code of a child that does this among mounts of its own: 0, or 1 if it raises."""
    pid, pidfd = process.clone3(abi.CLONE_NEWNS)
    if pid == 0:
        code = 1
        try:
            mount.mount(None, "/", None, abi.MS_REC | abi.MS_PRIVATE)
            work()
            code = 0
        finally:
            os._exit(code)
    try:
        return process.wait_pidfd(pidfd)
    finally:
        os.close(pidfd)


@pytest.mark.root
def test_writes_to_proc_do_not_cross_mounts() -> None:
    """CVE-2025-52881: something else is mounted over the file."""

    def attack() -> None:
        proc = paths.open_procfs()
        paths.write_proc(proc, "self/comm", "honest")
        mount.mount("/dev/null", "/proc/self/comm", None, abi.MS_BIND)
        with pytest.raises(OSError, match="cross-device"):
            paths.write_proc(proc, "self/comm", "redirected")

    assert in_mount_namespace(attack) == 0


@pytest.mark.root
def test_writes_to_proc_do_not_follow_magic_links() -> None:
    proc = paths.open_procfs()
    try:
        with pytest.raises(OSError, match=r"Too many levels|cross-device"):
            paths.write_proc(proc, "self/cwd/file", "x")
        with pytest.raises(OSError, match="cross-device"):
            paths.write_proc(proc, "../etc/passwd", "x")
    finally:
        os.close(proc)


@pytest.mark.root
def test_the_working_directory_outside_the_root_is_seen() -> None:
    def leave() -> None:
        outside = os.open("/", os.O_PATH)
        os.chroot("/usr")
        os.fchdir(outside)
        assert paths.current_directory().startswith(b"(unreachable)")
        os.chdir("/")
        assert paths.current_directory() == b"/"

    assert in_mount_namespace(leave) == 0


@pytest.mark.root
def test_visits_to_a_network_namespace_end() -> None:
    def look() -> None:
        own = os.readlink("/proc/self/ns/net")
        pid, pidfd = process.clone3(abi.CLONE_NEWNET)
        if pid == 0:
            os.read(os.open("/proc/self/stat", os.O_RDONLY), 1)
            process.set_parent_death_signal(9)
            while True:
                os.sched_yield()
        with namespaces.in_network_namespace(pidfd):
            assert os.readlink("/proc/thread-self/ns/net") != own
        assert os.readlink("/proc/thread-self/ns/net") == own
        process.pidfd_send_signal(pidfd, 9)
        assert process.wait_pidfd(pidfd) == 137

    assert in_mount_namespace(look) == 0
