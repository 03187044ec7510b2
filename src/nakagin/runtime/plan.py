"""config.json -> what will be done, as plain data. Pure: no file is read and nothing is changed here.

Plan
├── clone_flags, joins, offsets, uid_map, gid_map     the namespaces
├── hostname, domainname
├── root                                              where the root filesystem comes from
├── steps                                             what furnishes it, in order (steps.py)
├── sysctls
└── program                                           the user's process (program.py)
"""

from __future__ import annotations

import os

from nakagin.errors import Invalid
from nakagin.kernel import abi
from nakagin.kernel.namespaces import KINDS
from nakagin.runtime.cgroup_mounts import cgroup_steps
from nakagin.runtime.options import PROPAGATION, MountOptions, parse_options
from nakagin.runtime.program import program
from nakagin.runtime.steps import (
    BindConsole,
    BindMount,
    Idmap,
    MakeDevice,
    MakeDirectory,
    MakeLink,
    MaskPath,
    MountFilesystem,
    ReadonlyPath,
    id_map,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.cgroups.layout import Layout
    from nakagin.runtime.program import Holdings, Program
    from nakagin.runtime.steps import Step
    from nakagin.spec.runtime import Config, Device, Hook, IntelRdt, Linux, Mount, NetDevice, TimeOffsets

_LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
)
_DEVICES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


class Root:
    """The root filesystem: a host folder, or with `mounts` only the point where they are mounted."""

    __slots__ = ("mounts", "mounts_cwd", "path", "propagation", "propagation_recursive", "readonly")

    def __init__(
        self, path: str, *, readonly: bool, propagation: str, mounts: Sequence[Mount], mounts_cwd: str
    ) -> None:
        self.path = path
        self.readonly = readonly
        self.propagation, self.propagation_recursive = PROPAGATION.get(propagation, (0, False))
        self.mounts = mounts
        self.mounts_cwd = mounts_cwd


class Plan:
    """All that `init` and `spawn` need to know. Not changed once it is made."""

    __slots__ = (
        "clone_flags", "domainname", "gid_map", "hooks", "hostname", "intel_rdt", "joins", "net_devices",
        "no_new_keyring", "no_pivot", "offsets", "own_mounts", "program", "root", "steps", "sysctls", "uid_map",
        "warnings",
    )  # fmt: skip

    def __init__(self, root: Root, program: Program) -> None:
        self.root = root
        self.program = program
        self.clone_flags = 0
        self.joins: list[tuple[str, str]] = []
        self.offsets = ""
        self.uid_map = ""
        self.gid_map = ""
        self.hostname = ""
        self.domainname = ""
        self.steps: list[Step] = []
        self.sysctls: dict[str, str] = {}
        self.hooks: dict[str, list[Hook]] = {}
        self.own_mounts = False
        self.net_devices: dict[str, NetDevice] = {}
        self.intel_rdt: IntelRdt = {}
        self.no_pivot = False
        self.no_new_keyring = False
        self.warnings: list[str] = []

    @property
    def has_user_namespace(self) -> bool:
        """Whether the container gets a user namespace of its own."""
        return bool(self.clone_flags & abi.CLONE_NEWUSER)

    @property
    def in_user_namespace(self) -> bool:
        """Whether the container's root is not the host's: then it may not make devices or open host files."""
        return self.has_user_namespace or any(kind == "user" for kind, _ in self.joins)

    @property
    def has_runtime_hooks(self) -> bool:
        """Whether hooks run in the runtime's namespaces before the container moves into its root."""
        return bool(self.hooks.get("prestart") or self.hooks.get("createRuntime"))

    def describe(self) -> list[str]:
        """The plan for people, one line per step."""
        made = [kind for kind, (flag, _) in KINDS.items() if self.clone_flags & flag]
        lines = [f"make namespaces {' '.join(made)}"] if made else []
        lines += [f"join {kind} namespace {path}" for kind, path in self.joins]
        if self.hostname:
            lines.append(f"set hostname {self.hostname}")
        lines.append(f"take {self.root.path} as root{' [ro]' if self.root.readonly else ''}")
        lines += [step.describe() for step in self.steps]
        lines += [f"set {key} = {value}" for key, value in self.sysctls.items()]
        return lines + self.program.describe()


def plan(
    config: Config,
    *,
    bundle: str,
    holdings: Holdings,
    layout: Layout,
    group: str,
    rootfs: Sequence[Mount] = (),
    rootfs_cwd: str = "",
    no_pivot: bool = False,
    no_new_keyring: bool = False,
) -> Plan:
    """The plan for `config`, whose relative paths are relative to `bundle`.

    `layout` and `group` are the machine's cgroup hierarchies and the container's logical path there;
    `holdings` is what this process may hand on. Raises Invalid with the place in the document.
    """
    linux = config.get("linux") or {}
    root = _root(config, linux, bundle, rootfs, rootfs_cwd)
    process = config.get("process")
    if not process:
        raise Invalid("a process to run is missing", where="process")
    made = Plan(root, program(process, linux, holdings))
    made.no_pivot = no_pivot
    made.no_new_keyring = no_new_keyring
    made.warnings = list(made.program.warnings)
    _namespaces(made, linux)
    made.hostname = config.get("hostname") or ""
    made.domainname = config.get("domainname") or ""
    for name in ("hostname", "domainname"):
        if config.get(name) and not _separate(made, "uts"):
            raise Invalid("it would rename the host: a uts namespace is needed", where=name)
    made.hooks = {kind: list(hooks) for kind, hooks in (config.get("hooks") or {}).items() if hooks}  # type: ignore[call-overload]
    _check_hooks(made.hooks)
    made.own_mounts = _separate(made, "mount")
    if made.own_mounts:
        made.steps = _furniture(made, config, linux, bundle, layout, group)
    made.net_devices = linux.get("netDevices") or {}
    if made.net_devices and not _separate(made, "network"):
        raise Invalid("network devices need a network namespace to go to", where="linux.netDevices")
    made.intel_rdt = linux.get("intelRdt") or {}
    made.sysctls = _sysctls(made, linux.get("sysctl") or {})
    return made


def _root(config: Config, linux: Linux, bundle: str, rootfs: Sequence[Mount], cwd: str) -> Root:
    described = config.get("root") or {}
    if not described.get("path"):
        raise Invalid("the path of the root filesystem is missing", where="root.path")
    propagation = linux.get("rootfsPropagation") or ""
    if propagation and propagation not in PROPAGATION:
        raise Invalid(f"{propagation} is not a kind of propagation", where="linux.rootfsPropagation")
    return Root(
        os.path.join(bundle, described["path"]),
        readonly=bool(described.get("readonly")),
        propagation=propagation,
        mounts=rootfs,
        mounts_cwd=cwd,
    )


def _namespaces(made: Plan, linux: Linux) -> None:
    seen = set()
    for at, namespace in enumerate(linux.get("namespaces") or ()):
        kind, path = namespace.get("type", ""), namespace.get("path") or ""
        where = f"linux.namespaces[{at}]"
        if kind not in KINDS:
            raise Invalid(f"{kind!r} is not a kind of namespace", where=where)
        if kind in seen:
            raise Invalid(f"a second {kind} namespace", where=where)
        if path and not path.startswith("/"):
            raise Invalid(f"the path {path} is not absolute", where=where)
        seen.add(kind)
        if path:
            made.joins.append((kind, path))
        else:
            made.clone_flags |= KINDS[kind][0]
    order = list(KINDS)
    made.joins.sort(key=lambda join: order.index(join[0]))
    made.uid_map = id_map(linux.get("uidMappings") or ())
    made.gid_map = id_map(linux.get("gidMappings") or ())
    if made.has_user_namespace and not (made.uid_map and made.gid_map):
        raise Invalid("a new user namespace needs uid and gid mappings", where="linux.uidMappings")
    if (made.uid_map or made.gid_map) and "user" not in seen:
        raise Invalid("id mappings need a user namespace", where="linux.uidMappings")
    offsets = linux.get("timeOffsets") or {}
    if offsets and not made.clone_flags & abi.CLONE_NEWTIME:
        raise Invalid("time offsets need a new time namespace", where="linux.timeOffsets")
    made.offsets = _offsets(offsets)


def _offsets(offsets: TimeOffsets) -> str:
    """The text of timens_offsets (time_namespaces(7))."""
    lines = ""
    for clock, offset in offsets.items():
        if clock not in {"monotonic", "boottime"} or not isinstance(offset, dict):
            raise Invalid(f"{clock} has no offset in a time namespace", where="linux.timeOffsets")
        lines += f"{clock} {offset.get('secs', 0)} {offset.get('nanosecs', 0)}\n"
    return lines


def _separate(made: Plan, kind: str) -> bool:
    """Whether the container does not share the runtime's namespace of this kind."""
    return bool(made.clone_flags & KINDS[kind][0]) or any(joined == kind for joined, _ in made.joins)


def _check_hooks(hooks: dict[str, list[Hook]]) -> None:
    for kind, listed in hooks.items():
        for at, hook in enumerate(listed):
            where = f"hooks.{kind}[{at}]"
            if kind not in HOOKS:
                raise Invalid(f"{kind} is not a moment for hooks", where=where)
            if not hook.get("path", "").startswith("/"):
                raise Invalid("the path must be absolute", where=where)
            if hook.get("timeout", 1) <= 0:
                raise Invalid("the timeout must be positive", where=where)


def _furniture(
    made: Plan, config: Config, linux: Linux, bundle: str, layout: Layout, group: str
) -> list[Step]:
    """Mounts, devices, links, console, masks: in the order in which each finds what it needs."""
    steps: list[Step] = []
    own_cgroups = bool(made.clone_flags & abi.CLONE_NEWCGROUP)
    dev_is_bound = False
    for at, mount in enumerate(config.get("mounts") or ()):
        where = f"mounts[{at}]"
        target = mount.get("destination") or ""
        if not target:
            raise Invalid("the destination is missing", where=where)
        # Relative destinations are an old habit that runc still takes as relative to the root.
        target = _absolute(target)
        options = parse_options(mount.get("options") or [])
        if mount.get("type") == "cgroup" and not options.bind:
            steps += cgroup_steps(target, options, layout, group, own_cgroups)
        else:
            steps.append(_mount(mount, target, options, linux, bundle, where))
        if target == "/dev":
            dev_is_bound = isinstance(steps[-1], BindMount)
    if not dev_is_bound:
        devices = [*_default_devices(), *(linux.get("devices") or ())]
        unique = {_absolute(device.get("path", "")): device for device in devices}
        steps += [_device(device, made.in_user_namespace) for device in unique.values()]
        steps += [MakeLink(path, to) for path, to in _LINKS]
        steps.append(MakeLink("/dev/core", "/proc/kcore", only_to_something=True))
        steps.append(MakeLink("/dev/ptmx", "pts/ptmx", replace=True))  # the container's own devpts
    if made.program.terminal:
        steps.append(BindConsole())
    if made.program.cwd != "/":
        steps.append(MakeDirectory(made.program.cwd))
    steps += [ReadonlyPath(path) for path in linux.get("readonlyPaths") or ()]
    steps += [MaskPath(path) for path in linux.get("maskedPaths") or ()]
    return steps


def _absolute(path: str) -> str:
    """The path below the root; two leading slashes would stay two (POSIX gives them a meaning)."""
    return os.path.normpath("/" + path.lstrip("/"))


def _mount(mount: Mount, target: str, options: MountOptions, linux: Linux, bundle: str, where: str) -> Step:
    fstype = mount.get("type") or ""
    if options.bind or fstype in {"bind", "rbind"}:
        source = mount.get("source") or ""
        if not source:
            raise Invalid("a bind mount needs a source", where=where)
        return BindMount(
            os.path.join(bundle, source),
            target,
            recursive=options.recursive or fstype == "rbind",
            add=options.add,
            clear=options.clear,
            tree_add=options.tree_add,
            tree_clear=options.tree_clear,
            propagation=options.propagation,
            propagation_recursive=options.propagation_recursive,
            idmap=_idmap(mount, options, linux, where),
        )
    if not fstype:
        raise Invalid("the type of the filesystem is missing", where=where)
    if mount.get("uidMappings") or options.idmap:
        raise Invalid("only a bind mount can have its ids mapped", where=where)
    if fstype == "devpts" and "newinstance" in options.data:
        options.data.remove("newinstance")  # every devpts is a new instance since Linux 4.7
    if linux.get("mountLabel") and fstype in {"tmpfs", "devpts", "mqueue"}:
        options.data.append(f"context={linux['mountLabel']}")
    return MountFilesystem(
        fstype,
        target,
        source=mount.get("source") or fstype,
        data=options.data,
        attributes=options.add | options.tree_add,
        propagation=options.propagation,
        copy_up=options.copy_up,
    )


def _idmap(mount: Mount, options: MountOptions, linux: Linux, where: str) -> Idmap | None:
    """Mappings of the mount's own, or with the bare word "idmap" those of the container's user namespace."""
    uids, gids = mount.get("uidMappings") or [], mount.get("gidMappings") or []
    if not (uids or gids or options.idmap):
        return None
    if not (uids or gids):
        uids, gids = linux.get("uidMappings") or [], linux.get("gidMappings") or []
    if not (uids and gids):
        raise Invalid("an idmapped mount needs uid and gid mappings", where=where)
    return Idmap(uids, gids, options.idmap_recursive)


def _default_devices() -> list[Device]:
    return [
        {"path": f"/dev/{name}", "type": "c", "major": major, "minor": minor, "fileMode": 0o666}
        for name, major, minor in _DEVICES
    ]


def _device(device: Device, in_user_namespace: bool) -> Step:
    """A node, or where nodes cannot be made (user namespaces) a bind of the host's."""
    path, kind = _absolute(device.get("path", "")), device.get("type", "")
    if kind not in {"c", "b", "u", "p"}:
        raise Invalid(f"{kind!r} is not a kind of device", where=f"linux.devices {path}")
    if in_user_namespace and kind != "p":
        return BindMount(path, path)
    return MakeDevice(
        path,
        kind,
        os.makedev(device.get("major", 0), device.get("minor", 0)),
        device.get("fileMode", 0o666),
        device.get("uid", 0),
        device.get("gid", 0),
    )


# Settings of the ipc and uts namespaces; all of net.* belongs to the network namespace (namespaces(7)).
_IPC_SYSCTLS = frozenset(
    {"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
     "kernel.shmmni", "kernel.shm_rmid_forced"}
)  # fmt: skip


def _sysctls(made: Plan, wanted: dict[str, str]) -> dict[str, str]:
    """The settings by path below /proc/sys. Refuses those that would change the host."""
    paths: dict[str, str] = {}
    for name, value in wanted.items():
        # Either separator may come first; the other one is then part of a name ("net/ipv4/conf/eth0.1/…").
        slashed = name if "/" in name and "." not in name.partition("/")[0] else _swap(name)
        dotted = slashed.replace("/", ".")
        if dotted in _IPC_SYSCTLS or dotted.startswith("fs.mqueue."):
            kind = "ipc"
        elif dotted.startswith("net."):
            kind = "network"
        elif dotted in {"kernel.domainname", "kernel.hostname"}:
            kind = "uts"
        else:
            raise Invalid(f"{name} is not separate for a container", where="linux.sysctl")
        if ".." in slashed.split("/"):
            raise Invalid(f"{name} leads elsewhere", where="linux.sysctl")
        if not _separate(made, kind):
            raise Invalid(f"{name} would change the host: a {kind} namespace is needed", where="linux.sysctl")
        paths[slashed] = value
    return paths


def _swap(name: str) -> str:
    """ "net.ipv4.conf.eth0/1.forwarding" -> "net/ipv4/conf/eth0.1/forwarding"."""
    return "/".join(part.replace("/", ".") for part in name.split("."))
