"""Where a copy goes and under which name: the rules of "docker container cp" (moby, pkg/archive/copy.go). Pure.

A path that ends in "/" or "/." asserts that it is a directory; "/." as a source means what is in it.
"""

from __future__ import annotations

import posixpath

from nakagin.errors import Invalid, NotFound


class Place:
    """One side of a copy; `container` is empty for this machine, `path` "-" is a stream."""

    __slots__ = ("container", "path")

    def __init__(self, container: str, path: str) -> None:
        self.container = container
        self.path = path


def split(text: str) -> Place:
    """ "web:/etc" → a place in a container; "./a:b" and "/a:b" are files here."""
    container, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")) or not container:
        return Place("", text)
    return Place(container, path)


def asserts_folder(path: str) -> bool:
    """Whether the path can only be a directory."""
    return path.endswith("/") or means_content(path)


def means_content(path: str) -> bool:
    """Whether the last part is "."."""
    return path == "." or path.endswith("/.")


def parted(path: str) -> tuple[str, str]:
    """(directory, last part) of a path, the last part "." where the content is meant."""
    clean = posixpath.normpath(path)
    if clean.startswith("//"):
        clean = clean[1:]
    if means_content(path) and clean != ".":
        return clean, "."
    return posixpath.dirname(clean) or ".", posixpath.basename(clean) or "/"


def target(name: str, is_folder: bool, path: str, there: bool | None) -> tuple[str, str]:
    """(directory to unpack in, name there) for a source `name` (directory or not) that is copied to `path`.

    `there` says whether the target is a directory, None where it does not exist. Raises Invalid, NotFound.
    """
    if there:
        return path, name
    if there is False and is_folder:
        raise Invalid("cannot copy directory", where=path)
    if there is None and not is_folder and asserts_folder(path):
        raise NotFound(f"no such directory: {path}", hint="make it first")
    return parted(path)
