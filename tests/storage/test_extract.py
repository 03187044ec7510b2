"""Tar streams into a living tree and out of it: what may replace what, and mounts that stay."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from nakagin.errors import Denied, Invalid
from nakagin.kernel import abi, mount
from nakagin.storage.collect import file_tar, folder_tar
from nakagin.storage.extract import Extraction
from nakagin.storage.tarread import TarReader


def packed(*members: tuple[str, bytes, str], **attributes: int) -> TarReader:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, kind, text in members:
            info = tarfile.TarInfo(path)
            info.type, info.mode = kind, 0o640
            for key, value in attributes.items():
                setattr(info, key, value)
            if kind == tarfile.REGTYPE:
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))
            else:
                info.linkname = text
                archive.addfile(info)
    return TarReader(io.BytesIO(stream.getvalue()))


def extract(folder: Path, reader: TarReader, place: str = "/", **options: object) -> None:
    root = os.open(folder, os.O_PATH)
    try:
        Extraction(root, place, **options).run(reader)  # type: ignore[arg-type]
    finally:
        os.close(root)


def test_what_is_there_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "dir/deep").mkdir(parents=True)
    (tmp_path / "dir/deep/f").touch()
    (tmp_path / "file").write_text("old")
    extract(tmp_path, packed(("dir", tarfile.REGTYPE, "new"), ("file", tarfile.DIRTYPE, "")))
    assert (tmp_path / "dir").read_text() == "new"
    assert (tmp_path / "file").is_dir()


def test_of_one_kind_only(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").write_text("old")
    with pytest.raises(Invalid, match='cannot overwrite directory "/dir" with non-directory'):
        extract(tmp_path, packed(("dir", tarfile.REGTYPE, "new")), same_kind=True)
    with pytest.raises(Invalid, match='cannot overwrite non-directory "/file" with directory'):
        extract(tmp_path, packed(("file", tarfile.DIRTYPE, "")), same_kind=True)
    extract(tmp_path, packed(("file", tarfile.REGTYPE, "new")), same_kind=True)
    assert (tmp_path / "file").read_text() == "new"


def test_links_resolve_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    (root / "way").symlink_to("/real")
    (root / "up").symlink_to("../../../real")
    extract(root, packed(("way/a", tarfile.REGTYPE, "1"), ("up/b", tarfile.REGTYPE, "2")))
    extract(root, packed(("c", tarfile.REGTYPE, "3")), "/way")
    assert {path.name for path in (root / "real").iterdir()} == {"a", "b", "c"}
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_owners_modes_and_times_of_directories(tmp_path: Path) -> None:
    members = packed(("d", tarfile.DIRTYPE, ""), ("d/f", tarfile.REGTYPE, "x"), mtime=1000, mode=0o750)
    extract(tmp_path, members, owner=(os.geteuid(), os.getegid()))
    status = (tmp_path / "d").stat()
    assert (status.st_mtime, status.st_mode & 0o7777, status.st_uid) == (1000, 0o750, os.geteuid())


@pytest.mark.root
def test_the_kernels_files_are_left_alone() -> None:
    with pytest.raises(Denied, match="belongs to the kernel"):
        extract(Path("/"), packed(("hostname", tarfile.REGTYPE, "x")), "/proc/sys/kernel")


@pytest.mark.root
def test_mount_points_stay_and_so_does_what_is_mounted(tmp_path: Path) -> None:
    place, other = tmp_path / "root/outer/place", tmp_path / "other"
    place.mkdir(parents=True)
    (tmp_path / "root/file").touch()
    other.mkdir()
    (other / "kept").write_text("kept")
    mount.mount(str(other), str(place), None, abi.MS_BIND)
    mount.mount(str(other / "kept"), str(tmp_path / "root/file"), None, abi.MS_BIND)
    try:
        for name in ("outer", "outer/place"):
            with pytest.raises(Invalid, match="mount point"):
                extract(tmp_path / "root", packed((name, tarfile.REGTYPE, "x")))
        assert (other / "kept").read_text() == "kept"
        extract(tmp_path / "root", packed(("file", tarfile.REGTYPE, "new")))
        assert (other / "kept").read_text() == "new"
    finally:
        mount.umount(str(place))
        mount.umount(str(tmp_path / "root/file"))


def test_a_tree_goes_out_and_in_again(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep/file").write_bytes(os.urandom(3_000_000))
    os.link(source / "deep/file", source / "second")
    (source / "link").symlink_to("deep")
    (source / ("long" * 60)).write_text("x")
    os.mkfifo(source / "pipe")
    (source / "empty").touch()
    folder = os.open(source, os.O_PATH)
    try:
        data = b"".join(folder_tar(folder, b"other"))
        one = b"".join(file_tar(folder, b"link"))
    finally:
        os.close(folder)
    target = tmp_path / "target"
    target.mkdir()
    extract(target, TarReader(io.BytesIO(data)))
    made = target / "other"
    assert sorted(os.listdir(made)) == sorted(os.listdir(source))
    assert (made / "deep/file").read_bytes() == (source / "deep/file").read_bytes()
    assert (made / "second").stat().st_ino == (made / "deep/file").stat().st_ino
    assert (made / "pipe").is_fifo()
    with tarfile.open(fileobj=io.BytesIO(one)) as archive:
        assert [(each.name, each.linkname) for each in archive] == [("link", "deep")]
