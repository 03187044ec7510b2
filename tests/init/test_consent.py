"""Files that are there: shown what would change, and replaced only where somebody said so. On a real terminal, too."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

MINE = "FROM scratch\n# my own\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text("print(1)\n")
    (tmp_path / "Dockerfile").write_text(MINE)
    (tmp_path / "Dockerfile").chmod(0o640)
    return tmp_path


def init(folder: Path, *flags: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "nakagin.cli", "init", *flags, str(folder)],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def on_a_terminal(folder: Path, *answers: str) -> str:
    """What init says when each question (a line that ends in "] ") is answered in turn."""
    main, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "nakagin.cli", "init", str(folder)],
        stdin=end,
        stdout=end,
        stderr=end,
        close_fds=True,
    )
    os.close(end)
    said, left, deadline = "", list(answers), time.monotonic() + 30
    while time.monotonic() < deadline and select.select([main], [], [], 30)[0]:
        try:
            said += os.read(main, 65536).decode()
        except OSError:
            break  # the other side was closed
        if said.endswith("] ") and left:
            os.write(main, left.pop(0).encode() + b"\n")
    process.wait(30)
    os.close(main)
    assert not left, said
    return said.replace("\r\n", "\n")


def test_nobody_consents(folder: Path) -> None:
    """Neither silence nor --yes is a consent; the other files are written."""
    for flags in ((), ("--yes",)):
        code, said = init(folder, "--port", "0", *flags)
        assert code == 1
        assert "-# my own" in said
        assert "+CMD [" in said
        assert "Left as they are: Dockerfile (--overwrite replaces them)" in said
        assert (folder / "Dockerfile").read_text() == MINE
        assert (folder / "compose.yaml").exists()


def test_overwriting_shows_what_changes_and_keeps_the_mode(folder: Path) -> None:
    code, said = init(folder, "--port", "0", "--overwrite")
    assert code == 0
    assert "-# my own" in said
    assert "Replaced Dockerfile" in said
    assert (folder / "Dockerfile").stat().st_mode & 0o777 == 0o640
    code, said = init(folder, "--port", "0", "--yes")
    assert (code, "Replaced" in said, "Wrote" in said) == (0, False, False)


def test_a_link_is_replaced_and_not_followed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "precious"
    outside.write_text("precious")
    (folder / "Dockerfile").unlink()
    (folder / "Dockerfile").symlink_to(outside)
    assert init(folder, "--port", "0", "--overwrite")[0] == 0
    assert outside.read_text() == "precious"
    assert not (folder / "Dockerfile").is_symlink()


def test_a_person_is_asked(folder: Path) -> None:
    said = on_a_terminal(folder, "8123", "n")
    assert "Which port does the program listen on? (0: none) [0] 8123" in said
    assert "Replace Dockerfile? [y/N] n" in said
    assert (folder / "Dockerfile").read_text() == MINE
    said = on_a_terminal(folder, "8123", "y")
    assert "Replaced Dockerfile" in said
    assert "EXPOSE 8123" in (folder / "Dockerfile").read_text()
