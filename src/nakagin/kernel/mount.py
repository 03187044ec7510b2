"""Mounts: the new mount calls (detached mounts held by a file descriptor) and the old mount(2).

A detached mount gets all its attributes before anybody can see it and is attached to a descriptor,
not to a path; so nothing can be swapped in between. Every function raises OSError.
"""

from __future__ import annotations

import ctypes
import os
import struct

from nakagin.kernel import abi
from nakagin.kernel.libc import fail, function, syscall

_mount = function("mount", ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_umount2 = function("umount2", ctypes.c_char_p, ctypes.c_int)


def mount(source: str | None, target: str, fstype: str | None, flags: int, data: str | None = None) -> None:
    """mount(2); None is NULL. `data` holds at most 4095 bytes."""
    encoded = [None if each is None else os.fsencode(each) for each in (source, target, fstype, data)]
    if _mount(encoded[0], encoded[1], encoded[2], flags, encoded[3]) < 0:
        raise fail("mount", target, source)


def umount(target: str, flags: int = 0) -> None:
    """umount2(2); flags MNT_DETACH, MNT_FORCE."""
    if _umount2(os.fsencode(target), flags) < 0:
        raise fail("umount", target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2); ("." , ".") stacks the old root on the new one, ready to be unmounted."""
    syscall(abi.NR_PIVOT_ROOT, os.fsencode(new_root), os.fsencode(put_old))


def open_tree(dir_fd: int, path: str = "", *, clone: bool = True, recursive: bool = False) -> int:
    """A descriptor of the mount at `path` (empty: of `dir_fd` itself), or with `clone` of a detached copy."""
    flags = abi.OPEN_TREE_CLOEXEC
    if clone:
        flags |= abi.OPEN_TREE_CLONE | (abi.AT_RECURSIVE if recursive else 0)
    if not path:
        flags |= abi.AT_EMPTY_PATH
    return syscall(abi.NR_OPEN_TREE, dir_fd, os.fsencode(path), flags)


def move_mount(mount_fd: int, target_fd: int) -> None:
    """Attach the detached mount on the directory or file that `target_fd` (O_PATH) is."""
    flags = abi.MOVE_MOUNT_F_EMPTY_PATH | abi.MOVE_MOUNT_T_EMPTY_PATH
    syscall(abi.NR_MOVE_MOUNT, mount_fd, b"", target_fd, b"", flags)


def new_filesystem(fstype: str, source: str | None, options: list[str], attributes: int = 0) -> int:
    """A descriptor of a new detached mount of `fstype`.

    `options` are the filesystem's own ("mode=755", "nr_inodes=10"), each value at most 255 bytes;
    `attributes` are MOUNT_ATTR_* and "ro" among the options makes the filesystem itself read-only.
    A refusal carries the filesystem's own explanation.
    """
    context = syscall(abi.NR_FSOPEN, os.fsencode(fstype), abi.FSOPEN_CLOEXEC)
    try:
        if source is not None:
            _configure(context, "source", source)
        for option in options:
            key, equals, value = option.partition("=")
            _configure(context, key, value if equals else None)
        syscall(abi.NR_FSCONFIG, context, abi.FSCONFIG_CMD_CREATE, None, None, 0)
        return syscall(abi.NR_FSMOUNT, context, abi.FSMOUNT_CLOEXEC, attributes)
    except OSError as error:
        number = error.errno or 0
        raise OSError(number, _explanation(context) or os.strerror(number)) from None
    finally:
        os.close(context)


def _configure(context: int, key: str, value: str | None) -> None:
    if value is None:
        syscall(abi.NR_FSCONFIG, context, abi.FSCONFIG_SET_FLAG, os.fsencode(key), None, 0)
    else:
        syscall(abi.NR_FSCONFIG, context, abi.FSCONFIG_SET_STRING, os.fsencode(key), os.fsencode(value), 0)


def _explanation(context: int) -> str:
    """What the filesystem wrote into its context's log: lines "e message"; empty if nothing."""
    lines: list[str] = []
    while True:
        try:
            line = os.read(context, 1024)
        except OSError:  # ENODATA: the log is empty
            return "; ".join(lines)
        if line[:2] != b"i ":
            lines.append(line[2:].decode(errors="replace").strip())


def set_attributes(
    mount_fd: int,
    *,
    add: int = 0,
    clear: int = 0,
    propagation: int = 0,
    userns_fd: int = 0,
    recursive: bool = False,
) -> None:
    """mount_setattr(2) on the mount that `mount_fd` is: MOUNT_ATTR_* bits, MS_SHARED and so on, an idmap."""
    attributes = struct.pack("4Q", add, clear, propagation, userns_fd)  # struct mount_attr
    flags = abi.AT_EMPTY_PATH | (abi.AT_RECURSIVE if recursive else 0)
    syscall(abi.NR_MOUNT_SETATTR, mount_fd, b"", flags, attributes, len(attributes))
