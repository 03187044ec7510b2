"""What is only there to be mounted on, told from what a container did."""

from __future__ import annotations

import os
from pathlib import Path

from nakagin.storage.placeholders import placeholders

PATHS = ("/dev", "/dev/shm", "/etc/hosts", "/etc/hostname", "/proc")


def made(root: Path, *names: str) -> None:
    """Folders ("etc/"), empty files ("etc/hosts"), and files with something in them ("etc/conf!")."""
    for name in names:
        path = root / name.rstrip("/!")
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text("x" if name.endswith("!") else "")


def found(tmp_path: Path) -> set[str]:
    return {os.fsdecode(path) for path in placeholders(f"{tmp_path}/upper", [f"{tmp_path}/lower"], PATHS)}


def test_what_a_start_makes_is_nothing(tmp_path: Path) -> None:
    made(tmp_path / "lower", "etc/passwd!")
    made(tmp_path / "upper", "etc/hosts", "etc/hostname", "dev/shm/", "proc/")
    assert found(tmp_path) == {"/etc", "/etc/hosts", "/etc/hostname", "/dev", "/dev/shm", "/proc"}


def test_what_the_container_did_is_something(tmp_path: Path) -> None:
    made(tmp_path / "lower", "etc/hosts!")
    made(tmp_path / "upper", "etc/hosts", "etc/hostname", "dev/shm/", "dev/mine", "proc!")
    # emptied; beside something else; a file with content
    assert found(tmp_path) == {"/etc/hostname", "/dev/shm"}


def test_a_folder_with_other_rights_was_changed(tmp_path: Path) -> None:
    made(tmp_path / "lower", "etc/")
    made(tmp_path / "upper", "etc/hosts")
    (tmp_path / "upper/etc").chmod(0o700)
    assert found(tmp_path) == {"/etc/hosts"}


def test_links_are_not_followed(tmp_path: Path) -> None:
    made(tmp_path / "lower", "etc/")
    made(tmp_path / "elsewhere", "hosts")
    (tmp_path / "upper").mkdir()
    (tmp_path / "upper/etc").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "upper/proc").symlink_to("/")
    assert found(tmp_path) == set()
