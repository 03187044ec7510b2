"""The tree of a layer while it is unpacked: finding, making, hiding and clearing what is in it.

Every path is walked one component at a time with O_NOFOLLOW, from a descriptor of the layer's root. Symlinks
are resolved here, inside the root, over the layer and what is below it: no name that an image has chosen is
ever resolved by the kernel against this host (CVE-2018-15664 and its kin). Nobody else writes there.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from nakagin.errors import Invalid
from nakagin.storage.overlay import OPAQUE, below, is_whiteout, names_below
from nakagin.storage.tarread import DIRECTORY, Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST_PATH = 4095
DEEPEST_PATH = 512
_MOST_LINKS = 40
_MOST_OPEN = 128


class Folder:
    """An open directory of the layer: its real path in it, and the directories that merge below it.

    Those are looked up only when something asks for them: most layers never do, and are unpacked while the
    layers below are still on their way.
    """

    __slots__ = ("covered", "fd", "path", "source")

    def __init__(self, fd: int, path: bytes, source: Folder | Callable[[], Sequence[bytes]]) -> None:
        """`source` is the parent directory; for the root, it gives the layers below."""
        self.fd = fd
        self.path = path
        self.source = source
        self.covered: Sequence[bytes] | None = None  # what `below` found

    @property
    def below(self) -> Sequence[bytes]:
        """Absolute paths, topmost first."""
        if self.covered is None:
            chain = [self]
            while isinstance(above := chain[-1].source, Folder) and above.covered is None:
                chain.append(above)
            for folder in reversed(chain):
                above = folder.source
                if isinstance(above, Folder):
                    folder.covered = below(above.covered or (), folder.path.rpartition(b"/")[2]).folders
                else:
                    folder.covered = above()
        return self.covered or ()

    def cover(self) -> None:
        """Nothing of the layers below shows here any more."""
        self.covered = ()

    def child(self, name: bytes) -> bytes:
        """The path of something in it."""
        return self.path + b"/" + name if self.path else name


class Tree:
    """The directory `root` (open, empty) over the layers `lower` (absolute paths, topmost first).

    `lower` is called at the first need, and may wait. `attributes` are those that directories get in the end, by
    path: what happens inside would change them.
    """

    def __init__(self, root: int, lower: Callable[[], Sequence[bytes]]) -> None:
        self._lower = lower
        self._root = Folder(root, b"", lower)
        self._folders: dict[bytes, Folder] = {b"": self._root}
        self._opaque: set[bytes] = set()
        self._whiteouts: list[bytes] = []
        self.attributes: dict[bytes, Entry] = {}

    # --- Finding and making directories

    def folder(self, path: bytes) -> Folder:
        """The directory `path` (clean), symlinks resolved inside the root, made where it is missing.

        It stays open until `trim` or `close`.
        """
        if found := self._folders.get(path):
            return found
        known = path
        while known not in self._folders:
            known = known.rpartition(b"/")[0]
        here = self._folders[known]
        todo = path[len(known) :].split(b"/")[::-1]
        links = 0
        while todo:
            name = todo.pop()
            if name in (b"", b"."):
                continue
            if name == b"..":
                here = self.folder(here.path.rpartition(b"/")[0])
                continue
            following = self._enter(here, name)
            if isinstance(following, Folder):
                here = following
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            if following.startswith(b"/"):
                here = self._root
            todo += following.split(b"/")[::-1]
        self._folders[path] = here
        return here

    def trim(self) -> None:
        """Close directories where many are open. Only between two entries."""
        if len(self._folders) > _MOST_OPEN:
            self.close()

    def close(self) -> None:
        """Close all directories but the root; they are opened again when needed."""
        for fd in {folder.fd for folder in self._folders.values()} - {self._root.fd}:
            os.close(fd)
        self._folders = {b"": self._root}

    def _enter(self, here: Folder, name: bytes) -> Folder | bytes:
        """The directory `name`, or the text of the symlink that it is."""
        path = here.child(name)
        found = self._folders.get(path)
        if found and found.path == path:
            return found
        try:
            fd = os.open(name, OPEN_DIRECTORY, dir_fd=here.fd)
        except FileNotFoundError:
            under = below(here.below, name)
            if under.path is not None and under.status is not None and not under.folders:
                if stat.S_ISLNK(under.status.st_mode):
                    return os.readlink(under.path)
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
            os.mkdir(name, 0o700, dir_fd=here.fd)
            self.attributes[path] = like(under.status)
            fd = os.open(name, OPEN_DIRECTORY, dir_fd=here.fd)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            status = os.lstat(name, dir_fd=here.fd)
            if stat.S_ISLNK(status.st_mode):
                return os.readlink(name, dir_fd=here.fd)
            if not is_whiteout(status):
                raise
            self.replace_whiteout(here, name)
            self.attributes[path] = like(None)
            fd = os.open(name, OPEN_DIRECTORY, dir_fd=here.fd)
        folder = Folder(fd, path, here)
        if path in self._opaque:
            folder.cover()
        self._folders[path] = folder
        return folder

    # --- Clearing

    def clear(self, folder: Folder, name: bytes) -> None:
        """Remove what an earlier entry of the same tar made under this name, if anything."""
        path = folder.child(name)
        try:
            os.unlink(name, dir_fd=folder.fd)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            _remove_tree(folder.fd, name)
            self.attributes = {key: value for key, value in self.attributes.items() if not _within(key, path)}
            self._opaque = {key for key in self._opaque if not _within(key, path)}
            self._whiteouts = [key for key in self._whiteouts if not _within(key, path)]
        # It may have been a directory, or a symlink on the way to one.
        for key, known in list(self._folders.items()):
            if _within(key, path) or _within(known.path, path):
                del self._folders[key]
                if all(other is not known for other in self._folders.values()):
                    os.close(known.fd)

    # --- Hiding what is below

    def hide(self, folder: Folder, name: bytes) -> None:
        """What the layers below have under this name is deleted here; what this layer has there stays."""
        path = folder.child(name)
        try:
            status = os.lstat(name, dir_fd=folder.fd)
        except FileNotFoundError:
            # Over nothing it would show up as a device: overlayfs hides whiteouts only where it merges.
            if below(folder.below, name).path is not None:
                os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=folder.fd)
                self._whiteouts.append(path)
            return
        if stat.S_ISDIR(status.st_mode):
            self.make_opaque(self.folder(path))

    def make_opaque(self, folder: Folder) -> None:
        """Nothing of the layers below shows in this directory."""
        if folder.path:  # on the root of a layer overlayfs does not look for it; see finish
            os.setxattr(folder.fd, OPAQUE, b"y")
        self._opaque.add(folder.path)
        folder.cover()
        self.close()  # the directories inside know what was below them

    def replace_whiteout(self, folder: Folder, name: bytes) -> None:
        """A directory in place of a whiteout: it hides what was there before."""
        os.unlink(name, dir_fd=folder.fd)
        os.mkdir(name, 0o700, dir_fd=folder.fd)
        fd = os.open(name, OPEN_DIRECTORY, dir_fd=folder.fd)
        try:
            os.setxattr(fd, OPAQUE, b"y")
        finally:
            os.close(fd)
        self._opaque.add(folder.child(name))

    def finish(self) -> None:
        """Put the deletions into the form that overlayfs expects, now that all entries are known."""
        if b"" not in self.attributes:
            lower = self._lower()
            self.attributes[b""] = like(os.lstat(lower[0]) if lower else None)
        for path in self._whiteouts:
            if any(hidden and path.startswith(hidden + b"/") for hidden in self._opaque):
                head, _, name = path.rpartition(b"/")
                folder = self.folder(head)
                if is_whiteout(os.lstat(name, dir_fd=folder.fd)):
                    os.unlink(name, dir_fd=folder.fd)
                self.trim()
        if b"" in self._opaque:
            self._hide_root()

    def _hide_root(self) -> None:
        """An opaque root, written as a whiteout or opaque directory for each name below."""
        for name in names_below(self._lower()):
            try:
                status = os.lstat(name, dir_fd=self._root.fd)
            except FileNotFoundError:
                os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=self._root.fd)
                continue
            if stat.S_ISDIR(status.st_mode):
                os.setxattr(self.folder(name).fd, OPAQUE, b"y")
                self.trim()


def clean(name: bytes) -> bytes:
    """An entry's name as a path relative to the root, without ".", ".." and doubled slashes.

    Raises Invalid where it would climb above the root (as `../x`), or is longer than any path.
    """
    if name.startswith(b"./"):
        name = name[2:]
    if b"/." in name or b"//" in name or name.startswith((b".", b"/")):
        parts: list[bytes] = []
        for part in name.split(b"/"):
            if part == b"..":
                if not parts:
                    raise Invalid("the entry leads out of the layer", where=shown(name))
                parts.pop()
            elif part not in (b"", b"."):
                parts.append(part)
        name = b"/".join(parts)
    if len(name) > _LONGEST_PATH or name.count(b"/") > DEEPEST_PATH:
        raise Invalid(
            "the path is too long or too deep",
            where=shown(name),
            hint=f"at most {_LONGEST_PATH} bytes and {DEEPEST_PATH} directories",
        )
    return name.rstrip(b"/")


def shown(name: bytes) -> str:
    """A name for a message."""
    text = name.decode(errors="backslashreplace")
    return text if len(text) <= 200 else text[:200] + "..."


def like(status: os.stat_result | None) -> Entry:
    """An entry with the attributes of an existing object; those of a plain directory for None."""
    entry = Entry(b"", DIRECTORY, 0o755)
    if status is not None:
        entry.mode = stat.S_IMODE(status.st_mode)
        entry.uid, entry.gid = status.st_uid, status.st_gid
        entry.mtime_ns, entry.atime_ns = status.st_mtime_ns, status.st_atime_ns
    return entry


def _within(path: bytes, ancestor: bytes) -> bool:
    return path == ancestor or path.startswith(ancestor + b"/")


def _remove_tree(parent: int, name: bytes) -> None:
    """Remove a directory that this unpacking made."""
    stack = [(name, False)]
    while stack:
        path, emptied = stack.pop()
        if emptied:
            os.rmdir(path, dir_fd=parent)
            continue
        try:
            os.unlink(path, dir_fd=parent)
        except IsADirectoryError:
            fd = os.open(path, OPEN_DIRECTORY, dir_fd=parent)
            try:
                children = os.listdir(fd)
            finally:
                os.close(fd)
            stack.append((path, True))
            stack += [(path + b"/" + os.fsencode(child), False) for child in children]
