"""Compiled filters are kept and found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.runtime.filters import compile_filter

if TYPE_CHECKING:
    from pathlib import Path

    from nakagin.spec.runtime import Seccomp

SECTION: Seccomp = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}],
}
OTHER: Seccomp = {"defaultAction": "SCMP_ACT_ALLOW"}


def test_kept_in_a_folder(tmp_path: Path) -> None:
    first = compile_filter(SECTION, str(tmp_path / "cache"))
    (file,) = (tmp_path / "cache").iterdir()
    head, _, program = file.read_bytes().partition(b"\n")
    file.write_bytes(head + b"\n" + program[:-8] + b"\0" * 8)
    assert compile_filter(SECTION, str(tmp_path / "cache")).program != first.program  # read, not compiled
    file.write_bytes(b"something else\n" + program)
    assert compile_filter(SECTION, str(tmp_path / "cache")).program == first.program


def test_kept_in_memory() -> None:
    cache: dict[str, bytes] = {}
    compile_filter(SECTION, cache)
    compile_filter(OTHER, cache)
    assert len(cache) == 2


def test_whether_the_launcher_gets_through() -> None:
    assert compile_filter(OTHER, {}).lets_launch
    closed: Seccomp = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ALLOW"}],
    }
    assert not compile_filter(closed, {}).lets_launch
    closed["syscalls"].append({"names": ["execveat"], "action": "SCMP_ACT_ALLOW"})
    assert compile_filter(closed, {}).lets_launch
