"""Seccomp sections -> installable filters. Compiling takes milliseconds, so the programs are kept."""

from __future__ import annotations

import binascii
import os

from nakagin.kernel import seccomp
from nakagin.runtime.become import Filter
from nakagin.spec import document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.spec.runtime import Seccomp

_PASSES = frozenset({"SCMP_ACT_ALLOW", "SCMP_ACT_LOG"})


def compile_filter(section: Seccomp, cache: dict[str, bytes] | str) -> Filter:
    """The filter for the section; `cache` is a dict in memory or a folder. Raises Invalid, Unsupported."""
    text = document.render(section)
    program = cache.get(text) if isinstance(cache, dict) else _read(cache, text)
    if program is None:
        program = seccomp.compile(section)
        if isinstance(cache, dict):
            cache[text] = program
        else:
            _write(cache, text, program)
    return Filter(program, seccomp.install_flags(section), _lets_launch(section))


def _lets_launch(section: Seccomp) -> bool:
    """Whether the launcher can be executed under the filter: that takes execveat(2)."""
    passes = section.get("defaultAction") in _PASSES
    for rule in section.get("syscalls") or ():
        if "execveat" in (rule.get("names") or ()):
            passes = rule.get("action") in _PASSES and not rule.get("args")
    return passes


def _path(folder: str, text: str) -> str:
    return f"{folder}/{binascii.crc32(text.encode()):08x}.bpf"


def _read(folder: str, text: str) -> bytes | None:
    """The kept program. The file begins with the section itself, so a short hash cannot confuse two."""
    try:
        with open(_path(folder, text), "rb") as file:
            content = file.read()
    except OSError:
        return None
    head = text.encode() + b"\n"
    return content[len(head) :] if content.startswith(head) else None


def _write(folder: str, text: str, program: bytes) -> None:
    """Keep the program; where that is not possible it is compiled again next time."""
    temporary = f"{_path(folder, text)}.{os.getpid()}"
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(text.encode() + b"\n" + program)
        os.rename(temporary, _path(folder, text))
    except OSError:
        pass
