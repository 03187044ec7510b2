"""`cp` between this machine and a container: what goes where, as docker's rules have it ("docker container cp")."""

from __future__ import annotations

import base64
import json
import os
import stat
import sys

from nakagin.cli.command import write_bytes
from nakagin.cli.copying.pack import pack
from nakagin.cli.copying.unpack import unpack
from nakagin.errors import Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from nakagin.client.containers import Container

# Bit of Go's os.FileMode in the engine's stat header.
_GO_FOLDER = 1 << 31
_GO_LINK = 1 << 27


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


class Counted:
    """Bytes that went through."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.total = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.total += len(piece)
            yield piece


def from_container(container: Container, source: str, target: str, *, follow: bool, archive: bool) -> int:
    """Copy out; the number of bytes, 0 for a stream to standard output."""
    if follow:
        source = _followed(container, source)
    _, pieces = container.get_archive(source)
    if target == "-":
        for piece in pieces:
            write_bytes(piece)
        return 0
    counted = Counted(pieces)
    name = os.path.basename(source.rstrip("/")) or "."
    contents_only = source.endswith("/.") or name == "."
    into_folder = os.path.isdir(target)
    if target.endswith("/") and not into_folder:
        raise NotFound(f'destination directory "{target}" must exist')
    if into_folder:
        folder, renamed = target, "" if contents_only else name
    else:
        folder, renamed = os.path.dirname(target.rstrip("/")) or ".", os.path.basename(target.rstrip("/"))
        if not os.path.isdir(folder):
            raise NotFound(f"invalid output path: directory {folder} does not exist")
    unpack(counted, folder, renamed, keep_owner=archive)
    return counted.total


def to_container(container: Container, source: str, target: str, *, follow: bool, archive: bool) -> int:
    """Copy in; the number of bytes, 0 for a stream from standard input."""
    target_stat = _target_stat(container, target)
    target_is_folder = bool(target_stat and target_stat["mode"] & _GO_FOLDER)
    if source == "-":
        if not target_is_folder:
            raise Invalid(f'destination "{target}" must be a directory')
        container.put_archive(target, sys.stdin.buffer, copy_uid_gid=archive)
        return 0
    status = _source_status(source, follow=follow)
    is_folder = stat.S_ISDIR(status.st_mode)
    if target_is_folder:
        folder = target
        name = "." if source.endswith("/.") else os.path.basename(os.path.abspath(source))
    else:
        if target.endswith("/") and not target_stat and not is_folder:
            raise NotFound(f'destination directory "{target}" must exist')
        if target_stat and is_folder:
            raise Invalid(f"cannot copy directory {source} to file {target}")
        folder, name = os.path.split(target.rstrip("/"))
    counted = Counted(pack(source, name, follow=follow, keep_owner=archive))
    container.put_archive(folder or "/", counted, copy_uid_gid=archive)
    return counted.total


def _source_status(source: str, *, follow: bool) -> os.stat_result:
    try:
        return os.stat(source) if follow or source.endswith("/") else os.lstat(source)
    except FileNotFoundError:
        raise NotFound(f"lstat {source}: no such file or directory") from None
    except OSError as error:
        raise Invalid(f"lstat {source}: {error.strerror}") from None


def _target_stat(container: Container, path: str) -> dict[str, Any] | None:
    """The engine's stat of a path, links followed; None where there is nothing."""
    try:
        return _decoded(container.archive_stat(_followed(container, path)))
    except NotFound as error:
        # "No such container" is not about the path.
        if "no such container" in error.message.lower():
            raise
        return None


def _followed(container: Container, path: str) -> str:
    found = _decoded(container.archive_stat(path))
    target = str(found.get("linkTarget") or "")
    if not found["mode"] & _GO_LINK or not target:
        return path
    return target if target.startswith("/") else os.path.join(os.path.dirname(path), target)


def _decoded(header: str) -> dict[str, Any]:
    try:
        found = json.loads(base64.b64decode(header))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Invalid("the engine's answer about a path is not readable")
    return {"mode": 0, **found}
