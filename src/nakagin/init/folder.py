"""A project's folder as init sees it: bounded, read-only, and never through a link that leads out of it."""

from __future__ import annotations

import os
import re
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from nakagin.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST_BYTES = 512 * 1024
_MOST_FILES = 5000
_DEEPEST = 6
SKIPPED = frozenset(
    {
        ".git", ".hg", ".svn", ".idea", ".vscode", ".venv", "venv", "env", ".tox", ".nox", "__pycache__",
        ".mypy_cache", ".pytest_cache", ".ruff_cache", "node_modules", "vendor", "target", "dist", "build", "out",
        ".next", ".nuxt", ".gradle", "bin", "obj", "tests", "test", "spec", "__tests__", "coverage",
    }
)  # fmt: skip


class Hit(NamedTuple):
    """Where a pattern was found: the path in the folder, the line (from 1), and the match."""

    path: str
    line: int
    match: re.Match[str]

    @property
    def place(self) -> str:
        """ "app/main.py:12"."""
        return f"{self.path}:{self.line}"


class Folder:
    """Files by their path relative to the root. What cannot be read counts as empty."""

    def __init__(self, root: str) -> None:
        if not os.path.isdir(root):
            raise NotFound(f"no such folder: {root}", hint="name the project's folder")
        self.root = os.path.realpath(root)

    @property
    def name(self) -> str:
        """The folder's own name."""
        return os.path.basename(self.root) or "app"

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Every file but those of tools, tests and dependencies; the shallow ones first."""
        return tuple(sorted(self._walk(), key=lambda path: (path.count("/"), path)))

    def _walk(self) -> Iterator[str]:
        found = 0
        for here, folders, names in os.walk(self.root):
            inside = os.path.relpath(here, self.root)
            depth = 0 if inside == "." else inside.count("/") + 1
            folders[:] = sorted(each for each in folders if each not in SKIPPED) if depth < _DEEPEST else []
            for name in sorted(names):
                found += 1
                if found > _MOST_FILES:
                    return
                yield name if inside == "." else f"{inside}/{name}"

    def has(self, *names: str) -> str:
        """The first of these that is there, "" where none is."""
        return next((name for name in names if os.path.exists(os.path.join(self.root, name))), "")

    def text(self, name: str) -> str:
        """A file's text, "" where there is none."""
        path = os.path.realpath(os.path.join(self.root, name))
        if not path.startswith(self.root + os.sep) or not os.path.isfile(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_MOST_BYTES)

    def ending(self, *suffixes: str) -> tuple[str, ...]:
        """The files with one of these endings."""
        return tuple(path for path in self.files if path.endswith(suffixes))

    def search(self, pattern: str, paths: Iterable[str]) -> Iterator[Hit]:
        """Every place where the pattern is found, file by file."""
        compiled = re.compile(pattern, re.MULTILINE)
        for path in paths:
            text = self.text(path)
            for match in compiled.finditer(text):
                yield Hit(path, text.count("\n", 0, match.start()) + 1, match)

    def first(self, pattern: str, paths: Iterable[str]) -> Hit | None:
        """The first place where the pattern is found."""
        return next(self.search(pattern, paths), None)
