"""Perform the steps that furnish a root filesystem: mounts, devices, links, masks. Runs in the child.

Every place is resolved below the root into a descriptor (openat2) and what goes there is attached to
that descriptor: CVE-2021-30465, CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881 all swap a path between
check and use, and here is no second use.
"""

from __future__ import annotations

import errno
import os
import stat

from nakagin.errors import StepFailed
from nakagin.kernel import abi, mount, paths, terminal
from nakagin.kernel.libc import named
from nakagin.kernel.mounttable import unescaped
from nakagin.runtime.options import parse_options
from nakagin.runtime.steps import (
    BindConsole,
    BindMount,
    MakeDevice,
    MakeDirectory,
    MakeLink,
    MaskPath,
    MountFilesystem,
    ReadonlyPath,
    SealMount,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nakagin.runtime.plan import Root
    from nakagin.runtime.steps import Step

_NULL = os.makedev(1, 3)
_MISSING = (FileNotFoundError, NotADirectoryError)

# What a config may bind into /proc: lxcfs and the like replace these files, and only these.
_PROC_FILES = frozenset(
    "/proc/" + name
    for name in (
        "cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo",
        "net/dev", "sys/kernel/ns_last_pid", "sys/crypto/fips_enabled",
    )
)  # fmt: skip


class Site:
    """Where the steps are performed.

    `root` is the root filesystem's descriptor, owned from here on; `prepared` holds what cannot be had here: mounts
    for binds, opened filesystems; `master`/`slave` are the terminal, made here if `slave` is -1.
    """

    __slots__ = ("_folder", "_folder_fd", "empty", "master", "null", "prepared", "root", "slave")

    def __init__(self, root: int, prepared: dict[Step, int], slave: int = -1) -> None:
        self.root = root
        self.prepared = prepared
        self.master = -1
        self.slave = slave
        self.null = self.empty = self._folder_fd = -1
        self._folder = ""

    def folder(self, path: str) -> int:
        """The directory `path`, made if it is missing; good until the next folder or `forget`."""
        if self._folder_fd < 0 or path != self._folder:
            self.forget()
            self._folder_fd = paths.ensure_in_root(self.root, path)
            self._folder = path
        return self._folder_fd

    def forget(self) -> None:
        """What `folder` gave may be covered now."""
        if self._folder_fd >= 0:
            os.close(self._folder_fd)
            self._folder_fd = -1

    def close(self) -> None:
        """Close all but the terminal. Whoever lives on would keep the container's mounts with them."""
        self.forget()
        for fd in (self.root, self.null, self.empty):
            if fd >= 0:
                os.close(fd)
        self.root = self.null = self.empty = -1


def furnish(steps: Iterable[Step], site: Site) -> None:
    """Perform the steps in order. Raises StepFailed with the step's own words."""
    for step in steps:
        kind = type(step)
        if kind not in _BESIDE:
            site.forget()
        try:
            _PERFORM[kind](step, site)
        except OSError as error:
            raise step_failed(step.describe(), error) from None


def step_failed(step: str, error: OSError) -> StepFailed:
    """The step's failure with the kernel's reason and, where it names one, the file."""
    cause = error.strerror or str(error)
    if error.filename:
        cause += f": {os.fsdecode(error.filename)}"
    return StepFailed(step, cause, errno=error.errno or 0)


def mount_root(root: Root) -> None:
    """Mount the root filesystem itself (an overlay), in this namespace only. Raises StepFailed."""
    os.makedirs(root.path, mode=0o700, exist_ok=True)
    if root.mounts_cwd:
        os.chdir(root.mounts_cwd)  # relative lowerdirs keep the data of many layers within 4095 bytes
    for each in root.mounts:
        options = parse_options(each.get("options") or [])
        fstype, source = each.get("type") or "", each.get("source") or ""
        target = os.path.normpath(root.path + "/" + each.get("destination", "/"))
        flags = mount.legacy_flags(options.add)
        if options.bind:
            flags |= abi.MS_BIND | (abi.MS_REC if options.recursive else 0)
        try:
            mount.mount(source, target, fstype, flags, ",".join(options.data))
            if options.bind and options.add:
                mount.mount(None, target, None, flags | abi.MS_REMOUNT)
        except OSError as error:
            raise step_failed(f"mount {fstype} as root", error) from None
    os.chdir("/")


def mount_point(path: str) -> str:
    """The mount point under which `path` lies, by the mount table."""
    path = os.path.realpath(path)
    with open("/proc/self/mountinfo", errors="surrogateescape") as table:
        points = [unescaped(line.split(" ", 5)[4]) for line in table]
    return max((each for each in points if f"{path}/".startswith(f"{each.rstrip('/')}/")), key=len)


def prepare_bind(step: BindMount) -> int:
    """The detached mount for a bind, with all its attributes. Raises OSError."""
    try:
        fd = mount.open_tree(abi.AT_FDCWD, step.source, recursive=step.recursive)
    except OSError as error:
        raise named(error, step.source) from None
    try:
        if not mount.can_prepare():
            if step.idmap:
                raise OSError(errno.ENOSYS, "idmapped mounts need Linux 5.12", step.source)
            return fd  # gets its attributes when it is attached
        if step.idmap:
            from nakagin.runtime import idmap

            userns = idmap.user_namespace(step.idmap.uids, step.idmap.gids)
            try:
                mount.set_attributes(
                    fd, add=abi.MOUNT_ATTR_IDMAP, userns_fd=userns, recursive=step.idmap.recursive
                )
            finally:
                os.close(userns)
        _decorate(fd, step)
    except OSError:
        os.close(fd)
        raise
    return fd


def _decorate(fd: int, step: BindMount) -> None:
    """Give a bind the attributes and the propagation that it shall have."""
    if step.tree_add or step.tree_clear:
        mount.set_attributes(fd, add=step.tree_add, clear=step.tree_clear, recursive=True)
    if step.add or step.clear:
        mount.set_attributes(fd, add=step.add, clear=step.clear)
    if step.propagation:
        recursive = step.propagation_recursive
        mount.set_attributes(fd, propagation=step.propagation, recursive=recursive)


def _real_null() -> int:
    """The host's /dev/null, verified: CVE-2025-31133 put another file there as the source of masks."""
    fd = os.open("/dev/null", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    found = os.fstat(fd)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != _NULL:
        os.close(fd)
        raise OSError(95, "not the null device", "/dev/null")
    return fd


def _is_directory(fd: int) -> bool:
    return stat.S_ISDIR(os.fstat(fd).st_mode)


def _attach(mount_fd: int, site: Site, target: str) -> None:
    """Attach a detached mount below the root, making the place if it is missing."""
    directory = _is_directory(mount_fd)
    place = _new_place(site, target, directory)
    if place < 0:
        place = paths.ensure_in_root(site.root, target, directory=directory)
        site.forget()
    try:
        mount.move_mount(mount_fd, place)
    finally:
        os.close(place)


def _new_place(site: Site, target: str, directory: bool) -> int:
    """`target`, made in its folder, which stays at hand for the next; -1 where something is there, or in the way.

    Many mounts have the same folder, and a place that is new and no symlink covers no other path.
    """
    parent, name = _place(site, target)
    try:
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(name, flags, 0o755, dir_fd=parent))
        return paths.openat2(parent, name, os.O_PATH, 0, abi.RESOLVE_BENEATH | abi.RESOLVE_NO_SYMLINKS)
    except OSError:
        return -1


def _attach_with(
    mount_fd: int, place: int, *, add: int = 0, propagation: int = 0, recursive: bool = False
) -> None:
    """Attach a detached mount with these attributes; where the kernel can't do it before, at once after."""
    wanted = bool(add or propagation)
    early = wanted and mount.can_prepare()
    if early:
        mount.set_attributes(mount_fd, add=add, propagation=propagation, recursive=recursive)
    mount.move_mount(mount_fd, place)
    if wanted and not early:
        mount.set_attributes(mount_fd, add=add, propagation=propagation, recursive=recursive)


def _refuse_in_proc(target: str) -> None:
    """Files of somebody's own in /proc. CVE-2019-16884: they would swallow the writes that confine the process."""
    if target == "/proc" or target.startswith("/proc/"):
        raise OSError(1, "only a procfs may be mounted at /proc, and nothing below it")


def _mount_filesystem(step: MountFilesystem, site: Site) -> None:
    if step.fstype == "overlay":
        _refuse_in_proc(step.target)
    place = _filesystem_place(step, site)
    try:
        data = step.data
        if step.fstype == "tmpfs" and not any(option.startswith("mode=") for option in data):
            # An image's /tmp is 1777 and its /run is 755; the tmpfs over it shall be no different, now or next time.
            data = [*data, f"mode={stat.S_IMODE(os.fstat(place).st_mode):o}"]
        if any(len(option) > 255 for option in data):
            # fsconfig(2) takes values up to 255 bytes; the old call knows no such limit.
            words = ",".join(data)
            mount.mount(
                step.source, f"/proc/self/fd/{place}", step.fstype, mount.legacy_flags(step.attributes), words
            )
            return
        attributes = 0 if step.copy_up else step.attributes
        context = site.prepared.pop(step, -1)
        fd = mount.new_filesystem(step.fstype, step.source, data, attributes, context)
        try:
            if step.copy_up:
                from nakagin.runtime import copy_up

                copy_up.copy_tree(place, fd)
            _attach_with(fd, place, add=step.attributes if step.copy_up else 0, propagation=step.propagation)
        finally:
            os.close(fd)
    finally:
        os.close(place)


def _filesystem_place(step: MountFilesystem, site: Site) -> int:
    if step.fstype in {"proc", "sysfs"}:
        # CVE-2019-19921: were /proc a symlink into a shared volume, another container could change what
        # the masks and writes below it meet.
        os.close(paths.ensure_in_root(site.root, step.target))
        flags, resolve = os.O_PATH | os.O_DIRECTORY, abi.RESOLVE_IN_ROOT | abi.RESOLVE_NO_SYMLINKS
        return paths.openat2(site.root, step.target, flags, 0, resolve)
    if step.fstype == "tmpfs":
        return _tmpfs_place(step, site)
    return paths.ensure_in_root(site.root, step.target)


def _tmpfs_place(step: MountFilesystem, site: Site) -> int:
    """Where nothing is, it gets the mode that a tmpfs has by itself: any user may write there, as under runc."""
    before = os.umask(0)
    try:
        return paths.ensure_in_root(site.root, step.target, mode=0o1777)
    finally:
        os.umask(before)


def _bind(step: BindMount, site: Site) -> None:
    fd = site.prepared.pop(step) if step in site.prepared else prepare_bind(step)
    try:
        if step.target == "/":
            raise OSError(22, "nothing may be mounted over the root itself")
        real = step.target == "/proc" and paths.filesystem_magic(fd) == abi.PROC_SUPER_MAGIC
        if not real and step.target not in _PROC_FILES:
            _refuse_in_proc(step.target)
        _attach(fd, site, step.target)
        if not mount.can_prepare():
            _decorate(fd, step)
    finally:
        os.close(fd)


def _make_device(step: MakeDevice, site: Site) -> None:
    parent, name = _place(site, step.path)
    kinds = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
    try:
        os.mknod(name, kinds[step.kind] | step.mode, step.number, dir_fd=parent)
        if step.uid or step.gid:
            os.chown(name, step.uid, step.gid, dir_fd=parent, follow_symlinks=False)
    except FileExistsError:
        pass
    except PermissionError:
        # Without CAP_MKNOD, or in a user namespace's tmpfs: the host's own node serves.
        _bind(BindMount(step.path, step.path), site)


def _make_link(step: MakeLink, site: Site) -> None:
    if step.only_to_something:
        try:
            os.close(paths.open_in_root(site.root, step.target, os.O_PATH))
        except _MISSING:
            return
    parent, name = _place(site, step.path)
    try:
        if step.replace:
            try:
                os.unlink(name, dir_fd=parent)
            except FileNotFoundError:
                pass
        os.symlink(step.target, name, dir_fd=parent)
    except FileExistsError:
        pass


def _place(site: Site, path: str) -> tuple[int, str]:
    """The directory of `path`, made if it is missing (the site's: not to be closed), and the last part's name."""
    directory, _, name = path.rpartition("/")
    return site.folder(directory or "/"), name


def _make_directory(step: MakeDirectory, site: Site) -> None:
    os.close(paths.ensure_in_root(site.root, step.path))


def _bind_console(_: BindConsole, site: Site) -> None:
    if site.slave < 0:
        dev = paths.open_in_root(site.root, "/dev", os.O_PATH | os.O_DIRECTORY)
        try:
            site.master, site.slave = terminal.open_pty(dev)
        finally:
            os.close(dev)
    # CVE-2025-52565: the source is the terminal's own descriptor, not a path like /dev/pts/0, and the
    # target is /dev/console itself, not what an image's symlink makes of it.
    parent, name = _place(site, "/dev/console")
    try:
        os.mknod(name, stat.S_IFREG | 0o600, dir_fd=parent)
    except FileExistsError:
        pass
    place = paths.openat2(parent, name, os.O_PATH, 0, abi.RESOLVE_BENEATH | abi.RESOLVE_NO_SYMLINKS)
    fd = mount.open_tree(site.slave)
    try:
        mount.move_mount(fd, place)
    finally:
        os.close(fd)
        os.close(place)


def _seal_mount(step: SealMount, site: Site) -> None:
    fd = paths.open_in_root(site.root, step.path, os.O_PATH)
    try:
        mount.set_attributes(fd, add=abi.MOUNT_ATTR_RDONLY)
    finally:
        os.close(fd)


def _mask(step: MaskPath, site: Site) -> None:
    try:
        place = paths.open_in_root(site.root, step.path, os.O_PATH)
    except _MISSING:
        return
    cover = -1
    try:
        directory = _is_directory(place)
        if not directory and site.null < 0:
            site.null = _real_null()
        if directory and site.empty < 0:
            site.empty = cover = mount.new_filesystem(
                "tmpfs", "tmpfs", ["nr_inodes=1"], abi.MOUNT_ATTR_RDONLY
            )
            mount.move_mount(cover, place)
            cover = -1  # stays open: later masks are copies of it
            return
        cover = mount.open_tree(site.empty if directory else site.null)
        mount.move_mount(cover, place)
    finally:
        os.close(place)
        if cover >= 0:
            os.close(cover)


def _make_readonly(step: ReadonlyPath, site: Site) -> None:
    try:
        place = paths.open_in_root(site.root, step.path, os.O_PATH)
    except _MISSING:
        return
    try:
        cover = mount.open_tree(place, recursive=True)
        try:
            _attach_with(cover, place, add=abi.MOUNT_ATTR_RDONLY, recursive=True)
        finally:
            os.close(cover)
    finally:
        os.close(place)


# After these the folder that the site has at hand is still what its path means.
_BESIDE = frozenset({BindMount, MakeDevice, MakeLink})
_PERFORM: dict[type, Callable[..., None]] = {
    MountFilesystem: _mount_filesystem,
    BindMount: _bind,
    MakeDevice: _make_device,
    MakeLink: _make_link,
    MakeDirectory: _make_directory,
    BindConsole: _bind_console,
    SealMount: _seal_mount,
    MaskPath: _mask,
    ReadonlyPath: _make_readonly,
}
