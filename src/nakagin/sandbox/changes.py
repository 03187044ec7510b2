"""What a sandbox changed, from the layer's tar: listed, shown as a diff, or done to this machine.

The tar comes from a program that nobody trusts: no path leads through a symlink, no member is opened before its
parents are known to be folders, devices are left out.
"""

from __future__ import annotations

import os
import stat
import tarfile

from nakagin.errors import Denied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_LONGEST_DIFF = 256 * 1024
_XATTR = "SCHILY.xattr."


class Pieces:
    """A file object on an iterator of bytes, as tarfile reads it."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, all of them unless the end comes first."""
        found = [self._rest]
        length = len(self._rest)
        while size < 0 or length < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            found.append(piece)
            length += len(piece)
        data = b"".join(found)
        self._rest = data[size:] if size >= 0 else b""
        return data[:size] if size >= 0 else data


def members(pieces: Iterable[bytes]) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """The tar's members with their data, in order."""
    with tarfile.open(fileobj=Pieces(pieces), mode="r|") as archive:  # type: ignore[call-overload]
        for member in archive:
            yield member, archive.extractfile(member) if member.isreg() else None


def target(member: tarfile.TarInfo) -> tuple[str, str]:
    """(absolute path, "" | "delete" | "clear") of a member."""
    folder, _, name = member.name.strip("/").rpartition("/")
    if name == OPAQUE:
        return f"/{folder}", "clear"
    if name.startswith(WHITEOUT):
        return f"/{folder}/{name.removeprefix(WHITEOUT)}".replace("//", "/"), "delete"
    return f"/{member.name.strip('/')}", ""


def diff(pieces: Iterable[bytes], wanted: Callable[[str], bool]) -> Iterator[str]:
    """Unified diffs of the text files, one line for what is no text."""
    import difflib

    for member, data in members(pieces):
        path, deed = target(member)
        if not wanted(path):
            continue
        old = _old(path)
        if deed == "delete":
            new: bytes | None = b""
        elif deed or data is None:
            continue
        else:
            new = data.read(_LONGEST_DIFF + 1)
        if old == new:
            continue
        before, after = _lines(old), _lines(new)
        if before is None or after is None:
            yield f"Binary file {path} {'deleted' if deed else 'differs' if old is not None else 'added'}"
            continue
        yield from difflib.unified_diff(
            before,
            after,
            path if old is not None else "/dev/null",
            "/dev/null" if deed else path,
            lineterm="",
        )


def _old(path: str) -> bytes | None:
    """What a file of this machine holds; None for what is no file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(fd, _LONGEST_DIFF + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)


def _lines(data: bytes | None) -> list[str] | None:
    """The lines of a text; None for what is none or too long to show."""
    if data is None:
        return []
    if len(data) > _LONGEST_DIFF or b"\0" in data:
        return None
    try:
        return data.decode().splitlines()
    except UnicodeDecodeError:
        return None


def apply(pieces: Iterable[bytes], wanted: Callable[[str], bool]) -> list[str]:
    """Do to this machine what the sandbox did to its copy, for the wanted paths; what was left out, and why."""
    left: list[str] = []
    for member, data in members(pieces):
        path, deed = target(member)
        if not wanted(path):
            continue
        parent = _open_folder(os.path.dirname(path) if deed != "clear" else path)
        try:
            if parent is None:
                if not deed:
                    left.append(f"{path}: a folder above it is missing or a link on this machine")
                continue
            if deed == "clear":
                for name in os.listdir(parent):
                    _remove(name, parent)
            elif deed == "delete":
                _remove(os.path.basename(path), parent)
            elif reason := _place(member, data, os.path.basename(path), parent):
                left.append(f"{path}: {reason}")
        except PermissionError as error:
            raise Denied(
                f"cannot change {path}: {error.strerror}", hint="nothing after it was changed"
            ) from error
        finally:
            if parent is not None:
                os.close(parent)
    return left


def _open_folder(path: str) -> int | None:
    """A descriptor of a folder, no component of whose path is a link; None where it is not there."""
    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in filter(None, path.split("/")):
        try:
            flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            inner = os.open(name, flags | os.O_RDONLY, dir_fd=here)
        except (FileNotFoundError, NotADirectoryError, OSError):
            os.close(here)
            return None
        os.close(here)
        here = inner
    return here


def _remove(name: str, parent: int) -> None:
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=parent)
        return
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        for each in os.listdir(inner):
            _remove(each, inner)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=parent)


def _place(member: tarfile.TarInfo, data: IO[bytes] | None, name: str, parent: int) -> str:
    """Make one member in its folder; why it was not made, "" where it was."""
    if member.isdir():
        return _folder(member, name, parent)
    if not (member.isreg() or member.issym() or member.islnk() or member.isfifo()):
        return "a device"
    temporary = f".{name[:200]}.{os.urandom(6).hex()}"
    try:
        if member.issym():
            os.symlink(member.linkname, temporary, dir_fd=parent)
        elif member.isfifo():
            os.mkfifo(temporary, 0o600, dir_fd=parent)
        elif member.islnk():
            other = "/" + member.linkname.strip("/")
            folder = _open_folder(os.path.dirname(other))
            if folder is None:
                return f"its other name {other} is not there"
            try:
                os.link(
                    os.path.basename(other),
                    temporary,
                    src_dir_fd=folder,
                    dst_dir_fd=parent,
                    follow_symlinks=False,
                )
            finally:
                os.close(folder)
        else:
            assert data is not None
            _file(member, data, temporary, parent)
        if not member.islnk():
            _attributes(member, temporary, parent)
        _make_room(name, parent)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        _remove(temporary, parent)
        raise
    return ""


def _make_room(name: str, parent: int) -> None:
    """A folder is in the way of a file: rename cannot replace it."""
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        _remove(name, parent)


def _folder(member: tarfile.TarInfo, name: str, parent: int) -> str:
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=parent)
            raise FileNotFoundError
    except FileNotFoundError:
        os.mkdir(name, 0o700, dir_fd=parent)
        status = None
    if status is None or (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) != (
        member.mode,
        member.uid,
        member.gid,
    ):
        _attributes(member, name, parent)
    return ""


def _file(member: tarfile.TarInfo, data: IO[bytes], name: str, parent: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o600, dir_fd=parent), "wb") as file:
        while piece := data.read(1 << 20):
            file.write(piece)
        for key, value in member.pax_headers.items():
            if key.startswith(_XATTR):
                os.setxattr(file.fileno(), key.removeprefix(_XATTR), os.fsencode(value))


def _attributes(member: tarfile.TarInfo, name: str, parent: int) -> None:
    if os.geteuid() == 0:
        os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
    if not member.issym():
        os.chmod(name, member.mode, dir_fd=parent)
    if not member.isdir():
        os.utime(name, (member.mtime, member.mtime), dir_fd=parent, follow_symlinks=False)
