"""Layer tar -> folder in the form of overlayfs: each entry made with its owner, mode, attributes and times.

`Tree` keeps every path inside the layer, whatever the tar says; this file decides what an entry becomes.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Denied, Exhausted, Invalid, NakaginError, StepFailed
from nakagin.spec.digest import hasher
from nakagin.storage import tarread
from nakagin.storage.ahead import Ahead
from nakagin.storage.compression import decompressed, reading
from nakagin.storage.overlay import below, is_whiteout
from nakagin.storage.placing import CREATE, LAST_ID, Placing
from nakagin.storage.tarread import TarReader
from nakagin.storage.tree import Tree, clean, like, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.storage.compression import Readable
    from nakagin.storage.tarread import Entry
    from nakagin.storage.tree import Folder

_MOST_WARNINGS = 20
_FREE_AT_LEAST = 64 << 20

WHITEOUT = b".wh."
OPAQUE_MARK = b".wh..wh..opq"
_META = b".wh..wh."

SIZE_SETTING = "--storage-opt layer-size"
ENTRIES_SETTING = "--storage-opt layer-entries"


class Bounds(msgspec.Struct, frozen=True):
    """What one layer may cost: bytes (uncompressed, sparse files at full length) and entries."""

    size: int = 64 << 30
    entries: int = 4_000_000


class Unpacker:
    """Unpacks one layer into the directory `root` (open, empty) over the layers `lower` (topmost first; asked
    for only where an entry depends on them).

    Afterwards `size` is the sum of the file lengths, and `warnings` what this machine could not represent.
    """

    def __init__(self, root: int, lower: Callable[[], Sequence[bytes]], bounds: Bounds) -> None:
        self.size = 0
        self.warnings: list[str] = []
        self._bounds = bounds
        self._tree = Tree(root, lower)
        self._placing = Placing(self._warn)
        self._make: dict[bytes, Callable[[Folder, bytes, Entry, TarReader], None]] = {
            tarread.FILE: self._file,
            tarread.LINK: self._link,
            tarread.SYMLINK: self._symlink,
            tarread.CHARACTER: self._node,
            tarread.BLOCKDEV: self._node,
            tarread.FIFO: self._node,
            tarread.DIRECTORY: self._directory,
        }

    def run(self, reader: TarReader) -> None:
        """Unpack everything. Raises Invalid, Damaged, Exhausted, Denied or StepFailed, naming the entry."""
        tree = self._tree
        try:
            for entry in reader:
                try:
                    self._one(entry, reader)
                except (OSError, OverflowError) as error:
                    raise _explain(error, entry.name) from error
                tree.trim()
            try:
                tree.finish()
                for path in sorted(tree.attributes):
                    self._set_directory(path, tree.attributes[path])
                    tree.trim()
            except (OSError, OverflowError) as error:
                raise _explain(error, b"directories") from error
        finally:
            tree.close()

    def _one(self, entry: Entry, reader: TarReader) -> None:
        self.size += entry.size
        if reader.count > self._bounds.entries or self.size > self._bounds.size:
            raise Exhausted(
                f"the layer unpacks to more than {self._bounds.size} bytes or {self._bounds.entries} entries",
                hint=f"if it is meant to be that large, raise {SIZE_SETTING} or {ENTRIES_SETTING}",
            )
        path = clean(entry.name)
        if not path:
            if entry.type == tarread.DIRECTORY:
                self._tree.attributes[b""] = entry
            return
        head, _, name = path.rpartition(b"/")
        folder = self._tree.folder(head)
        if name.startswith(WHITEOUT):
            self._whiteout(folder, name)
            return
        make = self._make.get(entry.type)
        if make is None:
            raise Invalid(f"unknown entry type {entry.type!r}", where=shown(entry.name))
        if not (0 <= entry.uid <= LAST_ID and 0 <= entry.gid <= LAST_ID):
            raise Invalid(f"owner {entry.uid}:{entry.gid} is out of range", where=shown(entry.name))
        make(folder, name, entry, reader)

    def _whiteout(self, folder: Folder, mark: bytes) -> None:
        """A deletion (layer.md, "Whiteouts"): of one name, or of all that is below the folder."""
        name = mark[len(WHITEOUT) :]
        if mark == OPAQUE_MARK:
            self._tree.make_opaque(folder)
        elif name in (b"", b".", b".."):
            raise Invalid("a whiteout without a name", where=shown(folder.child(mark)))
        elif not mark.startswith(_META):  # the rest of those is AUFS's own book-keeping
            self._tree.hide(folder, name)

    def _file(self, folder: Folder, name: bytes, entry: Entry, reader: TarReader) -> None:
        try:
            fd = os.open(name, CREATE, 0o600, dir_fd=folder.fd)
        except FileExistsError:
            self._tree.clear(folder, name)
            fd = os.open(name, CREATE, 0o600, dir_fd=folder.fd)
        try:
            self._placing.content(fd, entry, reader)
            self._placing.open_file(fd, entry)
        finally:
            os.close(fd)

    def _directory(self, folder: Folder, name: bytes, entry: Entry, _: TarReader) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=folder.fd)
        except FileExistsError:
            status = os.lstat(name, dir_fd=folder.fd)
            if is_whiteout(status):
                self._tree.replace_whiteout(folder, name)
            elif not stat.S_ISDIR(status.st_mode):
                self._tree.clear(folder, name)
                os.mkdir(name, 0o700, dir_fd=folder.fd)
        self._tree.attributes[folder.child(name)] = entry

    def _symlink(self, folder: Folder, name: bytes, entry: Entry, _: TarReader) -> None:
        try:
            os.symlink(entry.linkname, name, dir_fd=folder.fd)
        except FileExistsError:
            self._tree.clear(folder, name)
            os.symlink(entry.linkname, name, dir_fd=folder.fd)
        self._placing.closed_file(folder.fd, name, entry)

    def _node(self, folder: Folder, name: bytes, entry: Entry, _: TarReader) -> None:
        kinds = {tarread.CHARACTER: stat.S_IFCHR, tarread.BLOCKDEV: stat.S_IFBLK, tarread.FIFO: stat.S_IFIFO}
        device = os.makedev(entry.major, entry.minor) if entry.type != tarread.FIFO else 0
        self._tree.clear(folder, name)
        try:
            os.mknod(name, kinds[entry.type] | 0o600, device, dir_fd=folder.fd)
        except PermissionError:
            # Inside a user namespace nobody may make devices; a container gets its /dev from the runtime.
            self._warn(f"{shown(entry.name)}: this process may not make device nodes")
            return
        self._placing.closed_file(folder.fd, name, entry)
        os.chmod(name, entry.mode, dir_fd=folder.fd)  # a fresh node, so no symlink is followed

    def _link(self, folder: Folder, name: bytes, entry: Entry, _: TarReader) -> None:
        head, _slash, target = clean(entry.linkname).rpartition(b"/")
        source = self._tree.folder(head)
        if (source.path, target) == (folder.path, name):
            return
        try:
            status = os.lstat(target, dir_fd=source.fd) if target else os.fstat(source.fd)
        except FileNotFoundError:
            status = self._copy_up(source, target, entry)
        if stat.S_ISDIR(status.st_mode) or is_whiteout(status):
            raise Invalid(f"a hard link to {shown(entry.linkname)}, not a file", where=shown(entry.name))
        try:
            os.link(target, name, src_dir_fd=source.fd, dst_dir_fd=folder.fd, follow_symlinks=False)
        except FileExistsError:
            self._tree.clear(folder, name)
            os.link(target, name, src_dir_fd=source.fd, dst_dir_fd=folder.fd, follow_symlinks=False)

    def _copy_up(self, folder: Folder, name: bytes, entry: Entry) -> os.stat_result:
        """Bring the target of a hard link up from a lower layer, as the kernel would."""
        under = below(folder.below, name)
        if under.path is None or under.status is None:
            raise Invalid(
                f"a hard link to {shown(entry.linkname)}, which is not there", where=shown(entry.name)
            )
        copy = like(under.status)
        if stat.S_ISLNK(under.status.st_mode):
            os.symlink(os.readlink(under.path), name, dir_fd=folder.fd)
            self._placing.closed_file(folder.fd, name, copy)
        elif stat.S_ISREG(under.status.st_mode):
            for attribute in os.listxattr(under.path):
                copy.xattrs[os.fsencode(attribute)] = os.getxattr(under.path, attribute)
            fd = os.open(name, CREATE, 0o600, dir_fd=folder.fd)
            try:
                with open(under.path, "rb", buffering=0) as source:
                    while os.sendfile(fd, source.fileno(), None, 1 << 30):
                        pass
                self._placing.open_file(fd, copy)
            finally:
                os.close(fd)
            self.size += under.status.st_size
        return under.status

    # --- Attributes

    def _set_directory(self, path: bytes, entry: Entry) -> None:
        fd = self._tree.folder(path).fd
        os.fchown(fd, entry.uid, entry.gid)
        self._placing.open_file(fd, entry)

    def _warn(self, text: str) -> None:
        if len(self.warnings) < _MOST_WARNINGS:
            self.warnings.append(text)


class Unpacked(msgspec.Struct, frozen=True):
    """What came of a layer: the digest and length of its plain tar, the bytes of its files, and warnings."""

    diff_id: str
    length: int
    size: int
    warnings: list[str] = []


def unpack(
    stream: Readable,
    root: int,
    lower: Callable[[], Sequence[bytes]],
    bounds: Bounds,
    *,
    ahead: bool = False,
) -> Unpacked:
    """Unpack the (perhaps compressed) layer tar into the directory `root`; see Unpacker.

    With `ahead`, a thread of its own decompresses and hashes while files are made.
    """
    space = os.fstatvfs(root)
    unpacker = Unpacker(root, lower, bounds)
    with reading("the layer"), ExitStack() as stack:
        plain = decompressed(stream)[1]
        measured = _Measured(plain, bounds.size, max(space.f_bavail * space.f_frsize - _FREE_AT_LEAST, 0))
        reader = TarReader(stack.enter_context(Ahead(measured)) if ahead else measured)
        unpacker.run(reader)
        reader.drain()
    return Unpacked(measured.digest(), measured.size, unpacker.size, unpacker.warnings)


class _Measured:
    """The plain bytes of a stream; knows their digest, and ends with Exhausted where they are more than the bound
    or the free space."""

    def __init__(self, stream: Readable, bound: int, free: int) -> None:
        self._stream = stream
        self._hash = hasher()
        self._bound = bound
        self._free = free
        self.size = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.size += len(data)
        if self.size > self._bound:
            raise Exhausted(
                f"the layer has more than {self._bound} bytes uncompressed", hint=f"raise {SIZE_SETTING}"
            )
        if self.size > self._free:
            raise Exhausted(
                "no space left to unpack the layer",
                hint=f"free disk space below the data root, where {_FREE_AT_LEAST >> 20} MB are kept for what runs",
            )
        self._hash.update(data)
        return data

    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _explain(error: OSError | OverflowError, name: bytes) -> NakaginError:
    number = error.errno if isinstance(error, OSError) else errno.EINVAL
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return Exhausted(f"no space left to unpack {shown(name)}", hint="free disk space below the data root")
    if number in (errno.EPERM, errno.EACCES):
        return Denied(
            f"cannot unpack {shown(name)}: {words}", hint="the engine needs to run as root to own files"
        )
    if number in (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.ENOENT):
        return Invalid(f"the layer has an impossible entry: {words}", where=shown(name))
    return StepFailed(f"unpack {shown(name)}", words, errno=number or 0)
