"""A file or folder → tar stream, in pieces of bounded size."""

from __future__ import annotations

import io
import os
import tarfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 1024 * 1024
_BLOCK = 512


def pack(source: str, name: str, *, follow: bool = False, keep_owner: bool = False) -> Iterator[bytes]:
    """The tar stream of `source` under `name` ("." for a folder's contents).

    `follow` follows a link that `source` itself is; `keep_owner` keeps uid and gid (else the receiver's root).
    """
    top = os.path.realpath(source) if follow else source.rstrip("/") or "/"
    inodes: dict[tuple[int, int], str] = {}
    for path in _walk(top):
        relative = os.path.relpath(path, top)
        inner = name if relative == "." else os.path.join(name, relative)
        yield from _member(path, inner, inodes, keep_owner=keep_owner)
    yield bytes(2 * _BLOCK)


def _walk(top: str) -> Iterator[str]:
    yield top
    if os.path.isdir(top) and not os.path.islink(top):
        for entry in sorted(os.scandir(top), key=lambda each: each.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path)
            else:
                yield entry.path


def _member(path: str, name: str, inodes: dict[tuple[int, int], str], *, keep_owner: bool) -> Iterator[bytes]:
    info = _describe(path, name, inodes)
    if info is None:
        return
    if not keep_owner:
        info.uid = info.gid = 0
        info.uname = info.gname = ""
    yield info.tobuf(tarfile.PAX_FORMAT, errors="surrogateescape")
    if not info.isreg():
        return
    left = info.size
    with open(path, "rb") as file:
        while left:
            piece = file.read(min(_PIECE, left))
            # A file that shrank meanwhile is filled up: the header has promised its size.
            piece = piece or bytes(min(_PIECE, left))
            left -= len(piece)
            yield piece
    yield bytes(-info.size % _BLOCK)


def _describe(path: str, name: str, inodes: dict[tuple[int, int], str]) -> tarfile.TarInfo | None:
    """The header of one entry; None for a socket, which a tar cannot hold. Second names of a file are hard links."""
    with tarfile.TarFile(fileobj=io.BytesIO(), mode="w") as describer:
        info = describer.gettarinfo(path, name)
    if info is None:
        return None
    status = os.lstat(path)
    if info.isreg() and status.st_nlink > 1:
        first = inodes.setdefault((status.st_dev, status.st_ino), name)
        if first != name:
            info.type, info.linkname, info.size = tarfile.LNKTYPE, first, 0
    return info
