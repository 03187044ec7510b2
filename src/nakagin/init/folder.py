"""A project's folder as init sees it: bounded, read-only, and never through a link that leads out of it."""

from __future__ import annotations

import codecs
import json
import os
import re
import tomllib
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from nakagin.errors import Invalid, NotFound

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


MANIFESTS = frozenset(
    {
        "requirements.txt", "pyproject.toml", "Pipfile", "setup.py", "package.json", "go.mod", "Cargo.toml", "pom.xml",
        "build.gradle", "build.gradle.kts", "composer.json", "Gemfile",
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

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The folders one or two levels down that have a manifest of their own: projects in themselves."""
        found = {
            path.rpartition("/")[0]
            for path in self.files
            if path.count("/") in {1, 2} and path.rpartition("/")[2] in MANIFESTS
        }
        return tuple(sorted(each for each in found if each.rpartition("/")[0] not in found))

    def _walk(self) -> Iterator[str]:
        found = 0
        for here, folders, names in os.walk(self.root):
            inside = os.path.relpath(here, self.root)
            depth = 0 if inside == "." else inside.count("/") + 1
            kept = (each for each in folders if each not in SKIPPED or _is_of_cargo(here, each))
            folders[:] = sorted(kept) if depth < _DEEPEST else []
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
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES)
        # PowerShell's `>` writes UTF-16, and some editors a mark before UTF-8.
        encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        return data.decode(encoding, "replace").replace("\r\n", "\n")

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file's object, empty where there is no file. Invalid where it cannot be read."""
        try:
            document = json.loads(self.text(name) or "{}")
        except ValueError as error:
            raise Invalid(f"{name} is no JSON: {error}") from None
        if not isinstance(document, dict):
            raise Invalid(f"{name} holds no object")
        return document

    def toml(self, name: str) -> dict[str, Any]:
        """A TOML file's table, empty where there is no file. Invalid where it cannot be read."""
        try:
            return tomllib.loads(self.text(name))
        except tomllib.TOMLDecodeError as error:
            raise Invalid(f"{name} is no TOML: {error}") from None

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


def _is_of_cargo(here: str, name: str) -> bool:
    """src/bin of a cargo package holds sources; elsewhere a `bin` holds what was built."""
    src = os.path.basename(here) == "src"
    return name == "bin" and src and os.path.exists(os.path.join(os.path.dirname(here), "Cargo.toml"))
