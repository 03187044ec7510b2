"""Paths of a container as `cp` and the archive API mean them, and what is there: Docker's rules, inside the root.

A trailing "/" or "/." asserts a directory and follows a link in last place; without, the link itself is meant.
Sources: moby, pkg/archive (copy.go) and daemon/archive_unix.go.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from typing import TYPE_CHECKING

from nakagin.errors import Invalid, NotFound
from nakagin.kernel import paths
from nakagin.monitor.logfile import timestamp
from nakagin.storage.extract import is_the_kernels

if TYPE_CHECKING:
    from typing import Any

_MOST_LINKS = 40

# Go's os.FileMode has its own bits above the permissions.
_GO_TYPES = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFREG: 0,
}
_GO_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


def absolute(path: str) -> str:
    """The path from the root, cleaned, with the "/" or "/." at its end kept, as Docker cleans it (".." by letter)."""
    clean = "/" + posixpath.normpath("/" + path).lstrip("/")
    if posixpath.basename(path.rstrip("/") if path.strip("/") else path) == "." and not path.endswith("/"):
        return clean.rstrip("/") + "/."
    if path.endswith("/"):
        return clean.rstrip("/") + "/"
    return clean


def base(path: str) -> str:
    """The last part of an `absolute` path: "/" for the root, "." where the content alone is meant."""
    return posixpath.basename(path.rstrip("/")) or "/"


def find(root: int, path: str, container: str) -> os.stat_result:
    """What is at an `absolute` path. NotFound in Docker's words, Invalid where it asserts a directory and is none."""
    try:
        fd = open_at(root, path)
    except FileNotFoundError:
        raise _missing(path, container) from None
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL):
            raise Invalid(f"{path} in container {container}: {os.strerror(error.errno)}") from None
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISDIR(status.st_mode) and is_the_kernels(fd):
            raise _missing(path, container)
        return status
    finally:
        os.close(fd)


def open_at(root: int, path: str) -> int:
    """An O_PATH descriptor of what is at an `absolute` path."""
    asserts_folder = path.endswith(("/", "/."))
    return paths.open_in_root(root, path, os.O_PATH | (os.O_DIRECTORY if asserts_folder else os.O_NOFOLLOW))


def _missing(path: str, container: str) -> NotFound:
    return NotFound(f"Could not find the file {path} in container {container}")


def described(root: int, path: str, status: os.stat_result) -> dict[str, Any]:
    """The document of the header X-Docker-Container-Path-Stat."""
    mode = status.st_mode
    bits = sum(bit for flag, bit in _GO_BITS if mode & flag)
    return {
        "name": base(path),
        "size": status.st_size,
        "mode": stat.S_IMODE(mode) & 0o777 | bits | _GO_TYPES[stat.S_IFMT(mode)],
        "mtime": timestamp(status.st_mtime_ns),
        "linkTarget": link_target(root, path) if stat.S_ISLNK(mode) else "",
    }


def link_target(root: int, path: str) -> str:
    """Where the link leads inside, all links on the way followed as far as they go.

    One that leads into a directory which is not there gives its own path: a client that copies to it would only
    fail (an /etc/localtime of an image without the zones), and so replaces the link.
    """
    target = followed(root, path)
    try:
        os.close(paths.open_in_root(root, posixpath.dirname(target), os.O_PATH | os.O_DIRECTORY))
    except OSError:
        return path
    return target


def followed(root: int, path: str) -> str:
    """The path without links, as far as they can be followed. Only for words: the tree may change meanwhile."""
    done: list[str] = []
    todo = path.split("/")[::-1]
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            done = done[:-1]
            continue
        text = _link_text(root, "/".join([*done, part]))
        if text is None or links >= _MOST_LINKS:
            done.append(part)
            continue
        links += 1
        if text.startswith("/"):
            done = []
        todo += text.split("/")[::-1]
    return "/" + "/".join(done)


def _link_text(root: int, path: str) -> str | None:
    try:
        fd = paths.open_in_root(root, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return os.readlink("", dir_fd=fd)
    except OSError:
        return None  # no link
    finally:
        os.close(fd)
