"""Which bytes of a stack of layers are hidden, on folders made by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nakagin.storage.overlay import OPAQUE
from nakagin.storage.waste import hidden

pytestmark = pytest.mark.root


def layers(root: Path, *contents: dict[str, int | None]) -> list[str]:
    """Folders with files of these sizes; None is a whiteout, a name that ends in "/" an opaque folder."""
    for number, files in enumerate(contents):
        for name, size in files.items():
            path = root / str(number) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                path.mkdir(exist_ok=True)
                os.setxattr(path, OPAQUE, b"y")
            elif size is None:
                os.mknod(path, 0o020000, 0)
            else:
                path.write_bytes(b"x" * size)
        (root / str(number)).mkdir(exist_ok=True)
    return [str(root / str(number)) for number in range(len(contents))]


def test_what_hides_a_file(tmp_path: Path) -> None:
    """Each time the layer that first replaced or deleted it, not those after that."""
    found = hidden(
        layers(
            tmp_path,
            {"same": 1, "again": 2, "gone": 4, "d/in": 8, "d/kept": 16, "e/all": 32, "f/x/y": 64, "g": 128},
            {"again": 256, "gone": None, "d/in": 512, "e/": 0, "f": 1024, "g/now": 2048},
            {"again": 1, "gone": 4096, "d": None, "new": 1},
        )
    )
    # d goes as a whole: what layer 1 had replaced in it before counts for its deletion
    assert found == [
        {1: 2 + 4 + 32 + 64 + 128, 2: 8 + 16},
        {2: 256 + 512},
        {},
    ]


def test_nothing_is_hidden(tmp_path: Path) -> None:
    assert hidden(layers(tmp_path, {"a/b": 1}, {"a/c": 1, "never": None}, {})) == [{}, {}, {}]
    assert hidden([]) == []
