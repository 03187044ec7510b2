"""A root that is mounted for one look is seen by nobody else, and leads nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nakagin.containers import rootview


@pytest.mark.root
def test_look(tmp_path: Path) -> None:
    for name in ("lower", "upper", "work", "place"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower/file").write_text("below")
    os.symlink("/../../../../../../../../etc/hostname", tmp_path / "lower/out")
    here = os.getcwd()

    def work(root: int) -> tuple[str, str, bool]:
        seen = str(tmp_path / "place") in Path("/proc/self/mountinfo").read_text()
        return rootview.read_text(root, "file"), rootview.read_text(root, "out"), seen

    options = ["lowerdir=lower", "upperdir=upper", "workdir=work", "volatile"]
    overlay = [{"type": "overlay", "source": "overlay", "destination": "/", "options": options}]
    found = rootview.look(str(tmp_path), overlay, str(tmp_path / "place"), work)  # type: ignore[arg-type]
    assert found == ("below", "", False)
    assert os.listdir(tmp_path / "place") == []
    assert os.getcwd() == here


@pytest.mark.root
def test_what_goes_wrong_is_told(tmp_path: Path) -> None:
    wrong = [{"type": "overlay", "source": "overlay", "destination": "/", "options": ["lowerdir=missing"]}]
    with pytest.raises(OSError, match="mount"):
        rootview.look(str(tmp_path), wrong, str(tmp_path), lambda _: None)  # type: ignore[arg-type]
