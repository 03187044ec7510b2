"""`cp` between this machine and a container, and between containers; what goes where is in `targets`."""

from __future__ import annotations

import os
import posixpath
import stat

from nakagin.client.copying import targets
from nakagin.client.copying.pack import pack
from nakagin.client.copying.rebase import rebased
from nakagin.client.copying.unpack import unpack
from nakagin.errors import Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nakagin.client.containers import Container
    from nakagin.client.pathstat import PathStat
    from nakagin.client.session import Body

# A link that names the time zone: through it, what "UTC" is would be changed for everything in the container.
_LOCALTIME = "/etc/localtime"


class Counted:
    """Bytes that went through."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.total = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.total += len(piece)
            yield piece


class Source:
    """A tar that comes out of a container: its entries lie below `base`, and are to be called `name`."""

    def __init__(self, container: Container, path: str, *, follow: bool) -> None:
        name = ""
        if follow:
            path, name = _followed(container, path)
        self.status, pieces = container.get_archive(path)
        self.counted = Counted(pieces)
        self.base = targets.parted(path)[1]
        self.name = name or self.base


def out(container: Container, path: str, *, follow: bool) -> Iterator[bytes]:
    """What is at `path` as a tar, in pieces."""
    return iter(Source(container, path, follow=follow).counted)


def from_container(
    container: Container, path: str, target: str, *, follow: bool = False, archive: bool = False
) -> int:
    """Copy out; the number of bytes."""
    _check_output(target)
    source = Source(container, path, follow=follow)
    there = os.path.isdir(target) if os.path.exists(target) else None
    folder, name = targets.target(source.name, source.status.is_folder, target, there)
    unpack(source.counted, folder, "" if name == "." else name, keep_owner=archive)
    return source.counted.total


def into(container: Container, tar: Body, target: str, *, archive: bool) -> None:
    """Unpack a tar into the directory `target`."""
    target, there = _target(container, target)
    if not there:
        raise Invalid(f'destination "{container.reference}:{target}" must be a directory')
    container.put_archive(target, tar, copy_uid_gid=archive)


def to_container(
    container: Container, path: str, target: str, *, follow: bool = False, archive: bool = False
) -> int:
    """Copy in; the number of bytes."""
    target, there = _target(container, target)
    follows = follow or targets.asserts_folder(path)
    name = targets.parted(os.path.realpath(path) if path in ("..", "../") else path)[1]
    is_folder = stat.S_ISDIR(_status(path, follow=follows).st_mode)
    folder, name = targets.target(name, is_folder, target, there)
    counted = Counted(pack(path, name, follow=follows, keep_owner=True))
    container.put_archive(folder, counted, copy_uid_gid=archive)
    return counted.total


def between(
    container: Container, path: str, other: Container, target: str, *, follow: bool, archive: bool
) -> int:
    """Copy from one container into another; the number of bytes."""
    target, there = _target(other, target)
    source = Source(container, path, follow=follow)
    folder, name = targets.target(source.name, source.status.is_folder, target, there)
    pieces = source.counted if name == source.base else rebased(source.counted, source.base, name)
    other.put_archive(folder, pieces, copy_uid_gid=archive)
    return source.counted.total


def _check_output(target: str) -> None:
    folder = os.path.dirname(os.path.normpath(target)) or "."
    if not os.path.isdir(folder):
        raise NotFound(f'invalid output path: directory "{folder}" does not exist')
    if os.path.exists(target) and not os.path.isdir(target) and not os.path.isfile(target):
        raise Invalid(f'invalid output path: "{target}" must be a directory or a regular file')


def _status(source: str, *, follow: bool) -> os.stat_result:
    try:
        return os.stat(source) if follow else os.lstat(source)
    except FileNotFoundError:
        raise NotFound(f"lstat {source}: no such file or directory") from None
    except OSError as error:
        raise Invalid(f"lstat {source}: {error.strerror}") from None


def _target(container: Container, path: str) -> tuple[str, bool | None]:
    """The target with a link in last place followed, and whether it is a directory; None where nothing is there."""
    found = _stat(container, path)
    if found is not None and found.is_link and posixpath.normpath("/" + path) != _LOCALTIME:
        path = found.link_target or path
        found = _stat(container, path)
    if found is None:
        return path, None
    if stat.S_ISCHR(found.mode) or stat.S_ISBLK(found.mode):
        raise Invalid(
            f'destination "{container.reference}:{path}" must be a directory or a regular file: got a device'
        )
    return path, found.is_folder


def _stat(container: Container, path: str) -> PathStat | None:
    try:
        return container.archive_stat(path)
    except NotFound as error:
        # "No such container" is not about the path.
        if "no such container" in error.message.lower():
            raise
    except Invalid:
        pass  # "a/b" where a is a file: unpacking will say so
    return None


def _followed(container: Container, path: str) -> tuple[str, str]:
    """Where the link leads that `path` is, and the name that the copy keeps: the link's own."""
    found = container.archive_stat(path)
    if not found.is_link:
        return path, ""
    if posixpath.normpath("/" + path) == found.link_target:
        raise NotFound(f"{path} in container {container.reference} is a link that leads nowhere")
    return found.link_target or path, targets.parted(path)[1]
