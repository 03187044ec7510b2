"""A file or folder → tar stream, in pieces of bounded size."""

from __future__ import annotations

import io
import os
import tarfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

_PIECE = 1024 * 1024
_BLOCK = 512


def pack(
    source: str,
    name: str,
    *,
    follow: bool = False,
    keep_owner: bool = False,
    prune: Callable[[str, bool], bool] | None = None,
) -> Generator[bytes]:
    """The tar stream of `source` under `name` ("." for a folder's contents).

    `follow` follows a link that `source` itself is; `keep_owner` keeps uid and gid (else the receiver's root).
    `prune` (relative path, is a folder) leaves something out, and all below it.
    """
    top = os.path.realpath(source) if follow else source.rstrip("/") or "/"
    packer = _Packer(keep_owner=keep_owner)
    for path in _walk(top, "", prune):
        relative = path[len(top) :].lstrip("/")
        inner = os.path.join(name, relative) if relative else name
        yield from packer.member(path, inner)
    yield bytes(2 * _BLOCK)


def pack_some(folder: str, paths: Iterable[str]) -> Iterator[bytes]:
    """The tar stream of some files (by their paths below `folder`), root's."""
    top = os.path.realpath(folder)
    packer = _Packer(keep_owner=False)
    for path in paths:
        yield from packer.member(os.path.join(top, path), path)
    yield bytes(2 * _BLOCK)


def _walk(top: str, relative: str, prune: Callable[[str, bool], bool] | None) -> Iterator[str]:
    yield top
    if os.path.isdir(top) and not os.path.islink(top):
        for entry in sorted(os.scandir(top), key=lambda each: each.name):
            inner = f"{relative}/{entry.name}" if relative else entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if prune is not None and prune(inner, is_folder):
                continue
            if is_folder:
                yield from _walk(entry.path, inner, prune)
            else:
                yield entry.path


class _Packer:
    """Members of one tar; second names of a file become hard links, as TarFile remembers what it described."""

    def __init__(self, *, keep_owner: bool) -> None:
        self._keep_owner = keep_owner
        self._describer = tarfile.TarFile(fileobj=io.BytesIO(), mode="w")

    def member(self, path: str, name: str) -> Iterator[bytes]:
        """Header and bytes; nothing for a socket, which a tar cannot hold."""
        info: tarfile.TarInfo | None = self._describer.gettarinfo(path, name)
        if info is None:
            return
        if not self._keep_owner:
            info.uid = info.gid = 0
            info.uname = info.gname = ""
        yield info.tobuf(tarfile.PAX_FORMAT, errors="surrogateescape")
        if not info.isreg():
            return
        left = info.size
        with open(path, "rb", buffering=0) as file:
            while left:
                piece = file.read(min(_PIECE, left))
                # A file that shrank meanwhile is filled up: the header has promised its size.
                piece = piece or bytes(min(_PIECE, left))
                left -= len(piece)
                yield piece
        yield bytes(-info.size % _BLOCK)
