"""Requirement files of pip: which of several a project is run with, what they name, and what they draw in.

Source: https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nakagin.init.folder import Folder

# The file of a running program, if there are several: the first of these words that is in one's name.
_FIRST = ("requirements.txt", "prod", "main", "base", "common")
_OTHERS = re.compile(r"dev|test|lint|doc|local|ci\b|constraints")
_INCLUDE = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[\s=]+(\S+)", re.MULTILINE)
_LOCAL = re.compile(
    r"^\s*(?:(?:-e|--editable)[\s=]+)?(?:file:)?\.{1,2}(?:/\S*)?(?:\[[^\]]*\])?\s*$", re.MULTILINE
)


def chosen(folder: Folder) -> str:
    """The file to install from, "" where there is none: requirements.txt, else that of production, in the top folder
    or in one called requirements."""
    found = [
        path
        for path in folder.ending(".txt")
        if re.fullmatch(r"(?:requirements/)?[^/]*\.txt", path)
        and "requirements" in path
        and not _OTHERS.search(path)
    ]
    return next((path for word in _FIRST for path in found if word in path), next(iter(found), ""))


def drawn_in(folder: Folder, path: str) -> list[str]:
    """The file and all that it includes, also by way of others; paths in the folder."""
    found: list[str] = []
    pending = [path]
    while pending:
        here = pending.pop()
        if here in found or not folder.has(here):
            continue
        found.append(here)
        base = posixpath.dirname(here)
        for name in _INCLUDE.findall(folder.text(here)):
            other = posixpath.normpath(posixpath.join(base, name))
            if "://" not in name and not other.startswith(("/", "..")):
                pending.append(other)
    return found


def lines(folder: Folder, path: str) -> Iterator[tuple[str, str]]:
    """(requirement, the file that it stands in), options left out."""
    for each in drawn_in(folder, path):
        for line in folder.text(each).splitlines():
            if line.strip() and not line.lstrip().startswith(("-", "#", ".")):
                yield line, each


def is_local(folder: Folder, path: str) -> bool:
    """Whether a file asks for the project itself, or another folder of it: then all of it must be there."""
    return any(_LOCAL.search(folder.text(each)) for each in drawn_in(folder, path))


def copies(paths: list[str]) -> list[str]:
    """The COPY lines that bring files to where they lie in the project."""
    folders = sorted({posixpath.dirname(path) for path in paths})
    return [
        f"COPY {' '.join(path for path in paths if posixpath.dirname(path) == each)} ./{each}{'/' if each else ''}"
        for each in folders
    ]
