"""Paths that cannot lead out: openat2(2) below a root, and files of a verified procfs.

CVE-2021-30465, CVE-2025-52881 and their kin swap a directory for a symlink between check and use.
Here a path is resolved once, by the kernel, into a descriptor, and only the descriptor is used.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from nakagin.kernel import abi
from nakagin.kernel.calls import Call
from nakagin.kernel.libc import fail, function, named, syscall

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_LINKS = 40  # as the kernel has it (path_resolution(7))

_fstatfs = function("fstatfs", ctypes.c_int, ctypes.c_void_p)


def openat2(dir_fd: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2), close-on-exec. Raises OSError with the path as its filename."""
    how = struct.pack("3Q", flags | os.O_CLOEXEC, mode, resolve)  # struct open_how
    for _ in range(32):
        try:
            return syscall(abi.NR_OPENAT2, dir_fd, os.fsencode(path), how, len(how))
        except OSError as error:
            # EAGAIN: a rename or mount elsewhere made the kernel unsure that ".." stayed inside.
            if error.errno != 11:
                raise named(error, path) from None
    raise OSError(11, "the path was changed again and again while it was resolved", path)


def open_in_root(root_fd: int, path: str, flags: int, mode: int = 0) -> int:
    """Open `path` as if `root_fd` were "/": symlinks and ".." stay inside, magic links are refused."""
    resolve = abi.RESOLVE_IN_ROOT | abi.RESOLVE_NO_MAGICLINKS
    return openat2(root_fd, path, flags, mode, resolve)


def ensure_in_root(root_fd: int, path: str, *, directory: bool = True, mode: int = 0o755) -> int:
    """An O_PATH descriptor of `path` below `root_fd`; makes what is missing, as mkdir -p does.

    The last part becomes a directory or an empty file. What exists is taken as it is, whatever its type:
    the caller checks. Symlinks resolve inside the root, also those whose target must be made.
    """
    try:
        return open_in_root(root_fd, path, os.O_PATH)
    except FileNotFoundError:
        pass
    parts = [part for part in path.split("/") if part and part != "."]
    links = 0
    done, parent = _deepest(root_fd, parts[:-1])
    del parts[: len(done)]
    try:
        while parts:
            part = parts.pop(0)
            try:
                _make(parent, part, directory or bool(parts), 0o755 if parts else mode)
                # Resolved from the root again: the part may be a symlink that leads elsewhere inside.
                found = open_in_root(root_fd, "/".join([*done, part]), os.O_PATH)
            except FileNotFoundError:
                target = _dangling(parent, part)
                links += 1
                if target is None or links > _MOST_LINKS:
                    raise
                parts = [each for each in target.split("/") if each and each != "."] + parts
                if target.startswith("/"):
                    done = []
                    os.close(parent)
                    parent = os.dup(root_fd)
                continue
            done.append(part)
            os.close(parent)
            parent = found
    except OSError:
        os.close(parent)
        raise
    return parent


def _deepest(root_fd: int, folders: list[str]) -> tuple[list[str], int]:
    """The last of the folders, if all are there, else none: mostly only the end of a path is to be made."""
    if folders:
        try:
            return folders, open_in_root(root_fd, "/".join(folders), os.O_PATH)
        except FileNotFoundError:
            pass
    return [], os.dup(root_fd)


def _dangling(parent: int, name: str) -> str | None:
    """Where the symlink leads that stands in the way; None if it is none."""
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError:
        return None


def _make(parent: int, name: str, directory: bool, mode: int) -> None:
    try:
        if directory:
            os.mkdir(name, mode, dir_fd=parent)
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(name, flags, mode, dir_fd=parent))
    except FileExistsError:
        pass


def is_mount_point(name: bytes | str, dir_fd: int | None = None) -> bool:
    """Whether something is mounted on `name` (in the directory `dir_fd`, where given). FileNotFoundError.

    In every mount namespace, and also where it is of the same device: os.path.ismount sees neither.
    """
    folder, last = os.path.split(os.fsdecode(name).rstrip("/"))
    parent = dir_fd if dir_fd is not None and not folder else os.open(folder or ".", _FOLDER, dir_fd=dir_fd)
    try:
        os.close(openat2(parent, last, os.O_PATH | os.O_NOFOLLOW, resolve=abi.RESOLVE_NO_XDEV))
    except OSError as error:
        if error.errno == 18:  # EXDEV
            return True
        raise
    finally:
        if parent != dir_fd:
            os.close(parent)
    return False


def open_file(dir_fd: int | None, name: bytes | str, flags: int) -> int:
    """Open the regular file `name` (in the directory `dir_fd`, where given); OSError (EINVAL) for anything else.

    A device or a pipe is never opened, as that does things: whoever can swap the file could make us do them.
    """
    found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise OSError(22, "not a file", name)
        return os.open(f"/proc/self/fd/{found}", flags | os.O_CLOEXEC)
    finally:
        os.close(found)


def filesystem_magic(fd: int) -> int:
    """The type of the filesystem that `fd` lies on, as statfs(2) numbers it."""
    buffer = ctypes.create_string_buffer(256)
    if _fstatfs(fd, buffer) < 0:
        raise fail("fstatfs")
    return int.from_bytes(buffer.raw[:8], "little")


def open_procfs(path: str = "/proc") -> int:
    """An O_PATH descriptor of a real procfs; OSError (ENOTSUP) if something else was mounted there."""
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if filesystem_magic(fd) != abi.PROC_SUPER_MAGIC:
        os.close(fd)
        raise OSError(95, "not a procfs", path)
    return fd


_WITHIN_PROC = abi.RESOLVE_BENEATH | abi.RESOLVE_NO_XDEV | abi.RESOLVE_NO_MAGICLINKS


def proc_call(words: str, proc_fd: int, path: str, flags: int) -> Call:
    """What opens a file of the procfs `proc_fd` in another process, as `write_proc` does."""
    how = struct.pack("3Q", flags | os.O_CLOEXEC, 0, _WITHIN_PROC)
    return Call(words, abi.NR_OPENAT2, proc_fd, os.fsencode(path), how, len(how))


def write_proc(proc_fd: int, path: str, text: str | bytes) -> None:
    """Write a file of the procfs `proc_fd` in one call.

    CVE-2025-52881: a mount or symlink over the file would send the write (a security label, a sysctl)
    elsewhere; so no mount point and no magic link may be crossed.
    """
    fd = openat2(proc_fd, path, os.O_WRONLY, 0, _WITHIN_PROC)
    try:
        os.write(fd, text.encode() if isinstance(text, str) else text)
    except OSError as error:
        raise named(error, f"/proc/{path}") from None
    finally:
        os.close(fd)


def current_directory() -> bytes:
    """The kernel's own getcwd(2): b"/..." or, for a directory outside the root, b"(unreachable)/...".

    The C library's getcwd would walk up and name the host's path instead.
    """
    buffer = ctypes.create_string_buffer(4096)
    syscall(abi.NR_GETCWD, buffer, 4096)
    return buffer.value
