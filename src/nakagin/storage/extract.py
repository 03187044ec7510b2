"""Tar -> a tree that lives: the files of a container, which may change them under our hands.

Every directory is found by openat2 inside the container's root and then used by its descriptor alone, and nothing
is made or replaced through a symlink in last place: no name leads out, whoever swaps what meanwhile
(CVE-2018-15664, CVE-2019-14271). What may replace what follows Docker (moby, pkg/archive, Unpack).
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from typing import TYPE_CHECKING

from nakagin.errors import Denied, Exhausted, Invalid, NakaginError, StepFailed
from nakagin.kernel import abi, paths
from nakagin.storage import tarread
from nakagin.storage.placing import CREATE, LAST_ID, Placing, times
from nakagin.storage.tree import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from nakagin.storage.tarread import Entry, TarReader

_NODES = {
    tarread.CHARACTER: stat.S_IFCHR,
    tarread.BLOCKDEV: stat.S_IFBLK,
    tarread.FIFO: stat.S_IFIFO,
}
# The kernel's own: writing there with the engine's rights would change the machine, not the container.
_KERNELS = frozenset(
    (
        abi.PROC_SUPER_MAGIC,
        0x62656572,  # sysfs
        0x27E0EB,  # cgroup
        0x63677270,  # cgroup2
        0x1CD1,  # devpts
        0x64626720,  # debugfs
        0x74726163,  # tracefs
        0x73636673,  # securityfs
        0xCAFE4A11,  # bpf
        0x19800202,  # mqueue
    )
)


def is_the_kernels(fd: int) -> bool:
    """Whether a directory belongs to a filesystem that shows the kernel and not files."""
    return paths.filesystem_magic(fd) in _KERNELS


class Extraction:
    """Unpacks into the directory `place` (absolute, inside) of the root that `root` is a descriptor of. Blocking.

    `owner` (uid, gid) takes the place of the owners in the tar. With `same_kind` it is an error to put a file over
    a directory or the other way round; else what is there is replaced.
    """

    def __init__(
        self, root: int, place: str, *, owner: tuple[int, int] | None = None, same_kind: bool = False
    ) -> None:
        self._root = root
        self._place = place
        self._owner = owner
        self._same_kind = same_kind
        self._parent = -1
        self._parent_path = b""
        self._folders: list[tuple[bytes, Entry]] = []
        self.warnings: list[str] = []
        self._placing = Placing(self.warnings.append)

    def run(self, reader: TarReader) -> None:
        """Unpack everything. Raises Invalid, Denied, Exhausted, Damaged or StepFailed, naming the entry."""
        name = b""
        try:
            for entry in reader:
                name = entry.name
                self._one(self._inner(name), entry, reader)
            # Last, as what is made in a directory changes its time.
            for path, entry in reversed(self._folders):
                name = path
                os.utime(self._split(path), ns=times(entry), dir_fd=self._parent, follow_symlinks=False)
        except (OSError, OverflowError) as error:
            raise self._explain(error, name) from error
        finally:
            if self._parent >= 0:
                os.close(self._parent)
                self._parent = -1

    def _inner(self, name: bytes) -> bytes:
        """A name of the tar as a clean path below `place`; b"" is `place` itself. Invalid where it climbs out."""
        path = posixpath.normpath(name.lstrip(b"/") or b".")
        if path == b".." or path.startswith(b"../"):
            raise Invalid(f'"{shown(name)}" is outside of "{self._place}"')
        return b"" if path == b"." else path

    def _split(self, path: bytes) -> bytes:
        """Make the directory of `path` the present one; its last part."""
        head, _, name = path.rpartition(b"/")
        if self._parent < 0 or head != self._parent_path:
            if self._parent >= 0:
                os.close(self._parent)
                self._parent = -1
            self._parent = self._open(head)
            self._parent_path = head
        return name

    def _open(self, head: bytes) -> int:
        where = posixpath.join(self._place, os.fsdecode(head))
        fd = (
            paths.ensure_in_root(self._root, where)
            if head
            else paths.open_in_root(self._root, where, os.O_PATH)
        )
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            os.close(fd)
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if is_the_kernels(fd):
            os.close(fd)
            raise Denied(f"{where} belongs to the kernel", hint="files cannot be copied there")
        return fd

    def _one(self, path: bytes, entry: Entry, reader: TarReader) -> None:
        if not path:
            return  # the directory itself stays as it is
        if self._owner is not None:
            entry.uid, entry.gid = self._owner
        if not (0 <= entry.uid <= LAST_ID and 0 <= entry.gid <= LAST_ID):
            raise Invalid(f"owner {entry.uid}:{entry.gid} is out of range", where=shown(entry.name))
        name = self._split(path)
        match entry.type:
            case tarread.FILE:
                self._file(name, entry, reader)
            case tarread.DIRECTORY:
                self._directory(name, path, entry)
            case tarread.SYMLINK:
                self._make(name, entry, lambda: os.symlink(entry.linkname, name, dir_fd=self._parent))
                self._placing.closed_file(self._parent, name, entry)
            case tarread.LINK:
                self._link(name, entry)
            case kind if kind in _NODES:
                self._node(name, entry)
            case kind:
                raise Invalid(f"unknown entry type {kind!r}", where=shown(entry.name))

    def _file(self, name: bytes, entry: Entry, reader: TarReader) -> None:
        try:
            fd = os.open(name, CREATE, 0o600, dir_fd=self._parent)
        except FileExistsError:
            try:
                self._clear(name, entry)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                self._overwrite(name, entry, reader)
                return
            fd = os.open(name, CREATE, 0o600, dir_fd=self._parent)
        try:
            self._placing.content(fd, entry, reader)
            self._placing.open_file(fd, entry)
        finally:
            os.close(fd)

    def _overwrite(self, name: bytes, entry: Entry, reader: TarReader) -> None:
        """New content for a file that is a mount point (/etc/hosts, or one file of the host): it cannot be replaced."""
        try:
            fd = paths.open_file(self._parent, name, os.O_WRONLY | os.O_TRUNC)
        except OSError as error:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from error
        try:
            self._placing.content(fd, entry, reader)
        finally:
            os.close(fd)

    def _directory(self, name: bytes, path: bytes, entry: Entry) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=self._parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=self._parent, follow_symlinks=False).st_mode):
                self._clear(name, entry)
                os.mkdir(name, 0o700, dir_fd=self._parent)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, dir_fd=self._parent)
        try:
            os.fchown(fd, entry.uid, entry.gid)
            self._placing.open_file(fd, entry)
        finally:
            os.close(fd)
        self._folders.append((path, entry))

    def _node(self, name: bytes, entry: Entry) -> None:
        device = 0 if entry.type == tarread.FIFO else os.makedev(entry.major, entry.minor)
        kind = _NODES[entry.type] | 0o600
        self._make(name, entry, lambda: os.mknod(name, kind, device, dir_fd=self._parent))
        self._placing.closed_file(self._parent, name, entry)
        # There is no chmod that follows no link before Linux 6.6: so by a descriptor, which cannot be swapped.
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._parent)
        try:
            if not stat.S_ISLNK(os.fstat(fd).st_mode):
                os.chmod(f"/proc/self/fd/{fd}", entry.mode)
        finally:
            os.close(fd)

    def _link(self, name: bytes, entry: Entry) -> None:
        head, _, target = self._inner(entry.linkname).rpartition(b"/")
        folder = self._open(head)
        try:
            same = head == self._parent_path and target == name
            if not target or same:
                raise Invalid(f"a hard link to {shown(entry.linkname)}", where=shown(entry.name))
            self._make(
                name,
                entry,
                lambda: os.link(
                    target, name, src_dir_fd=folder, dst_dir_fd=self._parent, follow_symlinks=False
                ),
            )
        finally:
            os.close(folder)

    def _make(self, name: bytes, entry: Entry, deed: Callable[[], None]) -> None:
        try:
            deed()
        except FileExistsError:
            self._clear(name, entry)
            deed()

    def _clear(self, name: bytes, entry: Entry) -> None:
        """Remove what is in the way, if it may go."""
        try:
            is_folder = _is_folder(self._parent, name)
        except FileNotFoundError:
            return
        if self._same_kind and is_folder != (entry.type == tarread.DIRECTORY):
            there, new = ("directory", "non-directory") if is_folder else ("non-directory", "directory")
            raise Invalid(
                f'cannot overwrite {there} "{self._shown(entry.name)}" with {new} "{shown(entry.name)}"'
            )
        _remove(self._parent, name, is_folder)

    def _shown(self, name: bytes) -> str:
        return f"{self._place.rstrip('/.')}/{shown(name).strip('/')}"

    def _explain(self, error: OSError | OverflowError, name: bytes) -> NakaginError:
        number = error.errno or 0 if isinstance(error, OSError) else errno.EINVAL
        words = (error.strerror if isinstance(error, OSError) else None) or str(error)
        what = self._shown(name)
        match number:
            case errno.EROFS:
                return Denied(f"{what} lies on a file system that is marked read-only")
            case errno.ENOSPC | errno.EDQUOT:
                return Exhausted(
                    f"no space left for {what}", hint="free disk space, or raise the volume's limit"
                )
            case errno.EPERM | errno.EACCES:
                return Denied(f"cannot write {what}: {words}")
            case errno.EBUSY:
                return Invalid(f"{what} is a mount point and cannot be replaced")
            case (
                errno.ENOTDIR | errno.EISDIR | errno.ELOOP | errno.ENAMETOOLONG | errno.EINVAL | errno.ENOENT
                | errno.EXDEV | errno.ENOTEMPTY | errno.EMLINK | errno.EEXIST
            ):  # fmt: skip
                return Invalid(f"cannot write {what}: {words}")
            case _:
                return StepFailed(f"write {what}", words, errno=number)


def _is_folder(parent: int, name: bytes) -> bool:
    """Whether it is a directory; OSError (EBUSY) for a mount point.

    The kernel itself guards only the mount points of our own namespace: it would take away the container's.
    """
    if paths.is_mount_point(name, parent):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _remove(parent: int, name: bytes, is_folder: bool) -> None:
    """Remove it and all below it, by descriptors all the way down; OSError (EBUSY) at the first mount point."""
    if not is_folder:
        os.unlink(name, dir_fd=parent)
        return
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        for text in os.listdir(fd):
            child = os.fsencode(text)
            _remove(fd, child, _is_folder(fd, child))
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)
