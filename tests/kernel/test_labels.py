"""Security modules, found as their own libraries find them."""

from __future__ import annotations

from pathlib import Path

from nakagin.kernel import labels


def test_apparmor(tmp_path: Path) -> None:
    file = tmp_path / "module/apparmor/parameters/enabled"
    assert not labels.has_apparmor(str(tmp_path))
    file.parent.mkdir(parents=True)
    file.write_text("N\n")
    assert not labels.has_apparmor(str(tmp_path))
    file.write_text("Y\n")
    assert labels.has_apparmor(str(tmp_path))


def test_selinux(tmp_path: Path) -> None:
    assert not labels.has_selinux(str(tmp_path))
    (tmp_path / "fs/selinux").mkdir(parents=True)
    (tmp_path / "fs/selinux/enforce").write_text("1")
    assert labels.has_selinux(str(tmp_path))
