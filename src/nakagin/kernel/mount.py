"""Mounts: the new mount calls (detached mounts held by a file descriptor) and the old mount(2).

A detached mount gets all its attributes before anybody can see it and is attached to a descriptor,
not to a path; so nothing can be swapped in between. Every function raises OSError.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from nakagin.kernel import abi
from nakagin.kernel.calls import Call, perform
from nakagin.kernel.libc import fail, function, syscall
from nakagin.kernel.mounttable import mount_id, unescaped

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


def open_call(fstype: str) -> Call:
    """What opens the `context` of a new filesystem in another process: a procfs shows the pid namespace of who does."""
    return Call(f"open filesystem {fstype}", abi.NR_FSOPEN, os.fsencode(fstype), abi.FSOPEN_CLOEXEC)


def new_filesystem(
    fstype: str, source: str | None, options: list[str], attributes: int = 0, context: int = -1
) -> int:
    """A descriptor of a new detached mount of `fstype`, of the opened `context` (used up) where one is given.

    `options` are the filesystem's own ("mode=755", "nr_inodes=10"), each value at most 255 bytes;
    `attributes` are MOUNT_ATTR_* and "ro" among the options makes the filesystem itself read-only.
    A refusal carries the filesystem's own explanation.
    """
    if context < 0:
        context = perform([open_call(fstype)])
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
    """mount_setattr(2) on the mount that `mount_fd` is: MOUNT_ATTR_* bits, MS_SHARED and so on, an idmap.

    Before Linux 5.12 an attached mount is remounted instead; a detached one is refused with EINVAL, ids
    with ENOSYS.
    """
    attributes = struct.pack("4Q", add, clear, propagation, userns_fd)  # struct mount_attr
    flags = abi.AT_EMPTY_PATH | (abi.AT_RECURSIVE if recursive else 0)
    try:
        syscall(abi.NR_MOUNT_SETATTR, mount_fd, b"", flags, attributes, len(attributes))
    except OSError as error:
        if error.errno != errno.ENOSYS or userns_fd:
            raise
        _set_attributes_by_remount(mount_fd, add, clear, propagation, recursive)


_prepares: list[bool] = []  # the answer, once it was asked for


def can_prepare() -> bool:
    """Whether detached mounts can be given attributes: mount_setattr(2), Linux 5.12."""
    if not _prepares:
        _prepares.append(_has_setattr())
    return _prepares[0]


def _has_setattr() -> bool:
    try:
        syscall(abi.NR_MOUNT_SETATTR, -1, b"", 0, None, 0)
    except OSError as error:
        return error.errno != errno.ENOSYS
    return True


# What a mount attribute is called by mount(2). Their numbers are also those of statvfs(3)'s f_flag.
LEGACY = (
    (abi.MOUNT_ATTR_RDONLY, abi.MS_RDONLY),
    (abi.MOUNT_ATTR_NOSUID, abi.MS_NOSUID),
    (abi.MOUNT_ATTR_NODEV, abi.MS_NODEV),
    (abi.MOUNT_ATTR_NOEXEC, abi.MS_NOEXEC),
    (abi.MOUNT_ATTR_NODIRATIME, abi.MS_NODIRATIME),
    (abi.MOUNT_ATTR_NOATIME, abi.MS_NOATIME),
    (abi.MOUNT_ATTR_STRICTATIME, abi.MS_STRICTATIME),
    (abi.MOUNT_ATTR_NOSYMFOLLOW, abi.MS_NOSYMFOLLOW),
)
_ATIMES = abi.MS_NOATIME | abi.MS_RELATIME | abi.MS_STRICTATIME


def legacy_flags(attributes: int) -> int:
    """MOUNT_ATTR_* bits as MS_* bits."""
    return sum(flag for attribute, flag in LEGACY if attributes & attribute)


def remount_flags(now: int, add: int, clear: int) -> int:
    """The MS_* bits of a mount that has `now` and shall lose `clear` and get `add` (MOUNT_ATTR_* bits)."""
    kept = now & (legacy_flags(~0) | _ATIMES)
    if clear & abi.MOUNT_ATTR__ATIME:
        kept &= ~_ATIMES
        if not add & abi.MOUNT_ATTR__ATIME:
            kept |= abi.MS_RELATIME  # its bits are zero
    return kept & ~legacy_flags(clear & ~abi.MOUNT_ATTR__ATIME) | legacy_flags(add)


def _set_attributes_by_remount(
    mount_fd: int, add: int, clear: int, propagation: int, recursive: bool
) -> None:
    tree = [mount_fd]
    try:
        if recursive:
            tree += _below(mount_fd)
        for fd in tree:
            # By the descriptor: nothing can be swapped in between.
            place = f"/proc/self/fd/{fd}"
            if add or clear:
                flags = remount_flags(os.fstatvfs(fd).f_flag, add, clear)
                mount(None, place, None, abi.MS_REMOUNT | abi.MS_BIND | flags)
            if propagation:
                mount(None, place, None, propagation)
    finally:
        for fd in tree[1:]:
            os.close(fd)


def _below(mount_fd: int) -> list[int]:
    """Descriptors of all mounts on top of the mount, parents first."""
    with open("/proc/self/mountinfo", errors="surrogateescape") as table:
        rows = [line.split(" ", 5) for line in table]
    tree = {str(mount_id(mount_fd))}
    found: list[int] = []
    for number, parent, _, _, point, _ in rows:  # a mount stands behind the one that it lies on
        if parent not in tree:
            continue
        fd = os.open(unescaped(point), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        if str(mount_id(fd)) != number:  # covered by another one, or swapped: it cannot be reached
            os.close(fd)
            continue
        tree.add(number)
        found.append(fd)
    return found
