"""A layer's tar that lies: applying it never leads out of the paths that were wanted."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from nakagin.sandbox.changes import apply, diff
from nakagin.sandbox.secrets import hidden


def layer(*members: tuple[str, bytes | None, str]) -> list[bytes]:
    """A tar of (path, data or None, link) members, in pieces of odd sizes."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for path, data, link in members:
            info = tarfile.TarInfo(path.lstrip("/"))
            info.uid, info.gid, info.mode = os.getuid(), os.getgid(), 0o644
            if link:
                info.type, info.linkname = tarfile.SYMTYPE, link
            elif data is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            else:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data) if data is not None else None)
    whole = file.getvalue()
    return [whole[start : start + 777] for start in range(0, len(whole), 777)]


def test_a_link_on_the_way_is_not_followed(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (inside / "way").symlink_to(outside)
    left = apply(layer((f"{inside}/way/file", b"x", "")), lambda path: path.startswith(str(inside)))
    assert left == [f"{inside}/way/file: a folder above it is missing or a link on this machine"]
    assert os.listdir(outside) == []


def test_a_link_in_the_tar_is_not_followed_by_what_comes_after_it(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    pieces = layer((f"{inside}/way", b"", str(outside)), (f"{inside}/way/file", b"x", ""))
    assert len(apply(pieces, lambda path: True)) == 1
    assert os.listdir(outside) == []


def test_only_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pieces = layer(
        (f"{tmp_path}/in/a", b"1\n", ""), (f"{tmp_path}/b", b"2\n", ""), (f"{tmp_path}/.wh.in", b"", "")
    )
    apply(pieces, lambda path: path.startswith(f"{tmp_path}/in/"))
    assert (tmp_path / "in" / "a").read_text() == "1\n"
    assert sorted(os.listdir(tmp_path)) == ["in"]


def test_deletion_and_emptying(tmp_path: Path) -> None:
    for name in ("gone/deep/x", "emptied/old", "stays/y"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text("x")
    (tmp_path / "gone" / "link").symlink_to(tmp_path / "stays")
    apply(
        layer(
            (f"{tmp_path}/.wh.gone", b"", ""),
            (f"{tmp_path}/emptied", None, ""),
            (f"{tmp_path}/emptied/.wh..wh..opq", b"", ""),
            (f"{tmp_path}/emptied/new", b"n", ""),
            (f"{tmp_path}/.wh.never-there", b"", ""),
        ),
        lambda path: path.startswith(str(tmp_path)),
    )
    assert sorted(os.listdir(tmp_path)) == ["emptied", "stays"]
    assert os.listdir(tmp_path / "emptied") == ["new"]
    assert (tmp_path / "stays" / "y").exists()


def test_kinds_that_replace_each_other(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_text("x")
    (tmp_path / "file").write_text("x")
    apply(
        layer((f"{tmp_path}/folder", b"now a file", ""), (f"{tmp_path}/file", None, "")),
        lambda path: "/f" in path,
    )
    assert (tmp_path / "folder").read_text() == "now a file"
    assert (tmp_path / "file").is_dir()


def test_a_diff_reads_no_link_and_shows_no_binary(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "text").symlink_to(tmp_path / "secret")
    shown = list(
        diff(layer((f"{tmp_path}/text", b"new\n", ""), (f"{tmp_path}/raw", b"\0", "")), lambda path: True)
    )
    assert "secret" not in "".join(line for line in shown if not line.startswith(("---", "+++")))
    assert shown[-1] == f"Binary file {tmp_path}/raw added"


def test_what_is_hidden(tmp_path: Path) -> None:
    """The whole homes of others, the secrets of one's own; never what is needed or asked for."""
    accounts = [(0, "/root"), (1, "/usr/sbin"), (12345, "/home/nobody-here")]
    found = hidden(accounts, 1000, ["/work"], [])
    assert "/root" in found
    assert "/etc/shadow" in found
    assert "/usr/sbin" not in found
    assert "/root" not in hidden(accounts, 1000, ["/root/project"], [])
    assert "/etc/shadow" not in hidden(accounts, 1000, ["/work"], ["/etc/shadow"])
