"""A tree that lives -> tar: files of a container, which may change them while we read.

Directories are opened one from the other, never by a path; what is no regular file is never opened.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from nakagin.errors import Unsupported
from nakagin.storage.extract import is_the_kernels
from nakagin.storage.members import Members, entry_of
from nakagin.storage.tarwrite import END, header
from nakagin.storage.tree import DEEPEST_PATH

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def folder_tar(folder: int, name: bytes, *, without: Collection[bytes] = ()) -> Iterator[bytes]:
    """The tar of the directory that `folder` is a descriptor of, and all below it, called `name`, in pieces.

    `name` b"" gives names from the root ("/etc"), b"." the content alone ("./etc"). Sockets, and what the kernel
    shows in its own filesystems, are left out; what vanishes meanwhile, too; so is what lies in the directories
    `without` of the topmost one.
    """
    fd = os.open(".", _DIRECTORY, dir_fd=folder)
    try:
        yield header(entry_of(fd, name + b"/", os.fstat(fd)))
        with Members() as members:
            yield from _below(fd, name + b"/", members, without)
    finally:
        os.close(fd)
    yield END


def file_tar(folder: int, name: bytes) -> Iterator[bytes]:
    """The tar of one entry of the directory `folder` that is no directory. FileNotFoundError."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISSOCK(status.st_mode):
        raise Unsupported(f"{os.fsdecode(name)} is a socket, which a tar cannot hold")
    with Members() as members:
        yield from members.file(name, name, status, folder)
    yield END


def _below(folder: int, prefix: bytes, members: Members, without: Collection[bytes] = ()) -> Iterator[bytes]:
    if prefix.count(b"/") > DEEPEST_PATH:
        raise Unsupported(
            "a directory is too deep to become part of a tar", hint=f"at most {DEEPEST_PATH} levels"
        )
    if is_the_kernels(folder):
        return
    for text in sorted(os.listdir(folder)):
        name = os.fsencode(text)
        inner = prefix + name
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISSOCK(status.st_mode):
                continue
            if not stat.S_ISDIR(status.st_mode):
                pieces = members.file(name, inner, status, folder)
            else:
                fd = os.open(name, _DIRECTORY, dir_fd=folder)
        except OSError:
            continue  # gone, or swapped for something else, meanwhile
        if not stat.S_ISDIR(status.st_mode):
            yield from pieces
            continue
        try:
            yield header(entry_of(fd, inner, os.fstat(fd)))
            if name not in without:
                yield from _below(fd, inner + b"/", members)
        finally:
            os.close(fd)
