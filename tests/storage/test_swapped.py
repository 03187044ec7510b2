"""A container swaps a folder for a link while its files are read from outside: the host's files stay out of the tar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nakagin.storage.diff import layer_tar
from nakagin.storage.merged import merged_tar

READERS: list[Callable[[Path, Path], Iterator[bytes]]] = [
    lambda upper, lower: layer_tar(str(upper), [str(lower)]),
    lambda upper, lower: merged_tar([str(upper), str(lower)]),
]


@pytest.mark.parametrize("read", READERS, ids=["layer", "merged"])
@pytest.mark.parametrize("moment", [b"folder/", b"folder/first", b"folder/inner/"])
def test_a_folder_becomes_a_link(
    read: Callable[[Path, Path], Iterator[bytes]], moment: bytes, tmp_path: Path
) -> None:
    upper, lower, host = tmp_path / "upper", tmp_path / "lower", tmp_path / "host"
    for folder in (upper / "folder" / "inner", lower, host / "inner"):
        folder.mkdir(parents=True)
    for name in ("first", "inner/own", "second"):
        (upper / "folder" / name).write_text("mine")
        (host / name).write_text("secret")
    found = bytearray()
    swapped = False
    for piece in read(upper, lower):
        found += piece
        if not swapped and piece.startswith((moment, moment.rstrip(b"/") + b"\0")):
            (upper / "folder").rename(upper / "gone")
            (upper / "folder").symlink_to(host)
            swapped = True
    assert swapped
    assert b"secret" not in found


def test_a_folder_of_a_folder_becomes_a_link(tmp_path: Path) -> None:
    upper, host = tmp_path / "upper", tmp_path / "host"
    (upper / "a" / "b").mkdir(parents=True)
    (upper / "a" / "b" / "file").write_text("mine")
    host.mkdir()
    (host / "file").write_text("secret")
    found = bytearray()
    for piece in merged_tar([str(upper)]):
        found += piece
        if piece.startswith(b"a/b") and not (upper / "a" / "c").exists():
            (upper / "a" / "b").rename(upper / "a" / "c")
            (upper / "a" / "b").symlink_to(host)
    assert b"secret" not in found
