"""Paths as the archive API means them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nakagin.containers import insidepath


@pytest.mark.parametrize(
    ("given", "path", "base"),
    [
        ("/d", "/d", "d"),
        ("d", "/d", "d"),
        ("/d/", "/d/", "d"),
        ("/d/.", "/d/.", "."),
        ("/", "/", "/"),
        ("/.", "/.", "."),
        (".", "/.", "."),
        ("/d/..", "/", "/"),
        ("/d/sub/..", "/d", "d"),
        ("/../../d/f", "/d/f", "f"),
        ("/d//f", "/d/f", "f"),
        ("//d", "/d", "d"),
    ],
)
def test_absolute(given: str, path: str, base: str) -> None:
    """As dockerd answered when it was asked for each."""
    assert insidepath.absolute(given) == path
    assert insidepath.base(path) == base


def test_links(tmp_path: Path) -> None:
    (tmp_path / "d/sub").mkdir(parents=True)
    for name, text in {
        "d/l": "f", "dl": "/d", "d/up": "../../../../nowhere", "gone": "/no/such/dir", "loop": "loop",
    }.items():  # fmt: skip
        (tmp_path / name).symlink_to(text)
    root = os.open(tmp_path, os.O_PATH)
    try:
        found = {path: insidepath.link_target(root, path) for path in ("/d/l", "/dl", "/dl/l", "/d/up")}
        assert found == {"/d/l": "/d/f", "/dl": "/d", "/dl/l": "/d/f", "/d/up": "/nowhere"}
        # The one that could only fail is to be replaced.
        assert insidepath.link_target(root, "/gone") == "/gone"
        assert insidepath.followed(root, "/loop") == "/loop"
    finally:
        os.close(root)
