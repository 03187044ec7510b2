"""Tar streams of `cp`: what is packed comes out again, and nothing gets out of the folder."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from nakagin.client.copying.pack import pack
from nakagin.client.copying.targets import split
from nakagin.client.copying.unpack import unpack
from nakagin.errors import Damaged, Invalid


def archive(*entries: tuple[str, bytes, str | bytes]) -> list[bytes]:
    """A tar of (name, type, content or link target)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, kind, content in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o6755
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.linkname = content
                tar.addfile(info)
    data = stream.getvalue()
    return [data[at : at + 700] for at in range(0, len(data), 700)]


def test_round_trip(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "file").write_bytes(b"x" * 3_000_000)
    (source / "empty").touch(0o640)
    os.link(source / "empty", source / "second")
    (source / "link").symlink_to("/etc/passwd")
    os.utime(source / "empty", (1000, 1000))
    target = tmp_path / "target"
    target.mkdir()
    unpack(pack(str(source), "renamed"), str(target), "other")
    made = target / "other"
    assert (made / "deep" / "file").read_bytes() == b"x" * 3_000_000
    assert os.readlink(made / "link") == "/etc/passwd"
    assert (made / "empty").stat().st_ino == (made / "second").stat().st_ino
    status = (made / "empty").stat()
    assert (status.st_mode & 0o7777, status.st_mtime) == (0o640, 1000)


def test_contents_only(tmp_path: Path) -> None:
    unpack(archive(("etc", tarfile.DIRTYPE, b""), ("etc/hosts", tarfile.REGTYPE, b"h")), str(tmp_path), "")
    assert (tmp_path / "hosts").read_bytes() == b"h"
    unpack(archive(("./", tarfile.DIRTYPE, b""), ("./sub/f", tarfile.REGTYPE, b"f")), str(tmp_path), "")
    assert (tmp_path / "sub" / "f").read_bytes() == b"f"


def test_setuid_is_not_taken_over(tmp_path: Path) -> None:
    unpack(archive(("f", tarfile.REGTYPE, b"x")), str(tmp_path), "f")
    assert (tmp_path / "f").stat().st_mode & 0o7777 == 0o755


def test_a_link_that_was_unpacked_leads_nowhere(tmp_path: Path) -> None:
    """CVE-2018-15664 and its kin: first a link out, then a file "below" it."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    entries = archive(
        ("d", tarfile.DIRTYPE, b""),
        ("d/way-out", tarfile.SYMTYPE, str(outside)),
        ("d/way-out/file", tarfile.REGTYPE, b"evil"),
    )
    with pytest.raises(Invalid):
        unpack(entries, str(inside), "d")
    assert not list(outside.iterdir())


def test_dots_and_broken_archives_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="outside its folder"):
        unpack(archive(("d/../../f", tarfile.REGTYPE, b"x")), str(tmp_path), "d")
    with pytest.raises(Damaged, match="damaged"):
        unpack([b"no tar at all" * 100], str(tmp_path), "d")
    with pytest.raises((Damaged, Invalid)):
        unpack(
            archive(("d", tarfile.DIRTYPE, b""), ("d/hard", tarfile.LNKTYPE, "d/../../etc/passwd")),
            str(tmp_path),
            "d",
        )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("web:/etc", ("web", "/etc")),
        ("/a:b", ("", "/a:b")),
        ("./a:b", ("", "./a:b")),
        ("-", ("", "-")),
        ("x", ("", "x")),
    ],
)
def test_places(text: str, place: tuple[str, str]) -> None:
    found = split(text)
    assert (found.container, found.path) == place
