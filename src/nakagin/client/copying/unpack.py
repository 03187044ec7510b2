"""A tar stream from a container → files here, with nothing written outside the chosen folder.

The container's content is not trusted: every component is opened relative to a descriptor without following
links, so neither "..", nor a link that was unpacked a moment ago, leads out (CVE-2018-15664 and CVE-2019-14271
were of this kind).
"""

from __future__ import annotations

import io
import os
import tarfile

from nakagin.errors import Damaged, Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import WriteableBuffer

_PIECE = 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def unpack(
    pieces: Iterable[bytes], folder: str, renamed: str, *, keep_owner: bool = False, whole: bool = False
) -> None:
    """Unpack into `folder`; the archive's first path component becomes `renamed` (empty: is left out).

    `whole`: the names are taken as they are.

    Damaged for a broken archive, Invalid for an entry that cannot be made here.
    """
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    times: list[tuple[list[str], tarfile.TarInfo]] = []
    try:
        with tarfile.open(fileobj=io.BufferedReader(Pieces(pieces), _PIECE), mode="r|") as archive:
            for member in archive:
                if whole:
                    member.name = f"./{member.name}"
                    member.linkname = f"./{member.linkname}" if member.islnk() else member.linkname
                parts = _target(member.name, renamed)
                _unpack_member(archive, member, parts, root, renamed)
                if member.isdir():
                    times.append((parts, member))
                else:
                    _attributes(root, parts, member, keep_owner=keep_owner)
        # Folders last: what is made in them changes their time, and their mode may forbid it.
        for parts, member in reversed(times):
            _attributes(root, parts, member, keep_owner=keep_owner)
    except tarfile.TarError as error:
        raise Damaged(f"the archive from the container is damaged: {error}") from None
    except OSError as error:
        raise Invalid(f"cannot write {error.filename or folder}: {error.strerror}") from None
    finally:
        os.close(root)


def _target(name: str, renamed: str) -> list[str]:
    # The first component is the copied folder: its name, or "." when its contents were asked for.
    parts = [part for part in name.split("/")[1:] if part not in ("", ".")]
    if ".." in parts:
        raise Damaged(f"the archive from the container has an entry outside its folder: {name}")
    return [*([renamed] if renamed else []), *parts]


def _parent(root: int, parts: list[str]) -> int:
    """A descriptor of the folder that holds the last part, made where missing; the caller closes it."""
    current = os.dup(root)
    try:
        for part in parts[:-1]:
            try:
                following = os.open(part, _FOLDER, dir_fd=current)
            except FileNotFoundError:
                os.mkdir(part, 0o755, dir_fd=current)
                following = os.open(part, _FOLDER, dir_fd=current)
            os.close(current)
            current = following
    except BaseException:
        os.close(current)
        raise
    return current


def _unpack_member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, parts: list[str], root: int, renamed: str
) -> None:
    if not parts:
        return
    parent, name = _parent(root, parts), parts[-1]
    try:
        if member.isdir():
            _make_folder(name, parent)
            return
        _make_room(name, parent)
        if member.issym():
            os.symlink(member.linkname, name, dir_fd=parent)
        elif member.islnk():
            source = _target(member.linkname, renamed)
            there = _parent(root, source)
            try:
                os.link(source[-1], name, src_dir_fd=there, dst_dir_fd=parent, follow_symlinks=False)
            finally:
                os.close(there)
        elif member.isreg():
            _write_file(archive, member, name, parent)
        elif member.isfifo():
            os.mkfifo(name, 0o600, dir_fd=parent)
        elif member.ischr() or member.isblk():
            os.mknod(name, 0o600 | (0o020000 if member.ischr() else 0o060000), _device(member), dir_fd=parent)
    finally:
        os.close(parent)


def _device(member: tarfile.TarInfo) -> int:
    return os.makedev(member.devmajor, member.devminor)


def _make_folder(name: str, parent: int) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        os.close(os.open(name, _FOLDER, dir_fd=parent))


def _make_room(name: str, parent: int) -> None:
    """A file that is there is replaced, a folder is not."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return


def _write_file(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str, parent: int) -> None:
    source = archive.extractfile(member)
    assert source is not None
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(name, flags, 0o600, dir_fd=parent), "wb") as file:
        while piece := source.read(_PIECE):
            file.write(piece)


def _attributes(root: int, parts: list[str], member: tarfile.TarInfo, *, keep_owner: bool) -> None:
    """Owner (as root, when asked for), mode and time of an entry; hard links share those of their first name."""
    if not parts or member.islnk():
        return
    parent, name = _parent(root, parts), parts[-1]
    try:
        if keep_owner and os.geteuid() == 0:
            os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
        if not member.issym():
            # Without keep_owner the file is ours: its setuid bits would be ours too.
            mode = member.mode & (0o7777 if keep_owner else 0o777)
            os.chmod(name, mode, dir_fd=parent)
        os.utime(name, (member.mtime, member.mtime), dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(parent)


class Pieces(io.RawIOBase):
    """Pieces of bytes as a file that tarfile reads from front to back."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        if not self._held:
            self._held = next(self._pieces, b"")
        count = min(len(view), len(self._held))
        view[:count] = self._held[:count]
        self._held = self._held[count:]
        return count
