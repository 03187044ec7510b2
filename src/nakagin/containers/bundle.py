"""From a container's record and the facts of the moment to its OCI configuration. Pure, a fold of small functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from nakagin.cgroups import paths
from nakagin.containers import apparmor, mounts, namespaces, resources, security
from nakagin.containers.defaults import PATH, SHM_SIZE
from nakagin.containers.users import Identity

if TYPE_CHECKING:
    from nakagin.containers.model import Container, MountSpec
    from nakagin.spec import docker
    from nakagin.spec import runtime as oci

INIT_PATH = "/sbin/docker-init"


class Host(NamedTuple):
    """What the machine and the engine's settings say; the same for all containers.

    With `cgroup_prefix` systemd makes the cgroups: scopes of that name in the slice `cgroup_parent`.
    `capabilities` are those that the engine holds, `seccomp` a profile as JSON ("" the built-in one, or "unconfined"),
    `apparmor_profile` is for containers that ask for none.
    """

    capabilities: frozenset[str]
    known_capabilities: frozenset[str]
    hostname: str
    cgroup_parent: str
    cgroup_prefix: str = ""
    machine: str = "x86_64"
    kernel: str = "6.1"
    seccomp: str = ""
    cgroup_namespace: str = "private"
    ipc_mode: str = "private"
    ulimits: tuple[docker.Ulimit, ...] = ()
    most_files: int = 1 << 20
    shm_size: int = SHM_SIZE
    no_new_privileges: bool = False
    has_apparmor: bool = False
    apparmor_profile: str = ""
    init_path: str = ""
    init_always: bool = False


class Moment(NamedTuple):
    """What was found out for this very start.

    `files` maps targets to the engine's own files (/etc/hosts …), `pids` the joined namespaces to processes,
    `linked` are the variables of links,
    `devices` are nodes with their permissions, `block_numbers` the numbers of throttled block devices.
    """

    identity: Identity
    root: str
    mounts: Sequence[MountSpec]
    files: Mapping[str, str] = {}
    pids: Mapping[namespaces.Kind, int] = {}
    devices: Sequence[tuple[oci.Device, str]] = ()
    block_numbers: Mapping[str, tuple[int, int]] = {}
    shared_shm: str = ""
    linked: Sequence[str] = ()


def configuration(container: Container, host: Host, moment: Moment) -> oci.Config:
    """The whole config.json of one start."""
    wanted = container.host_config
    options = security.parse_options(wanted.security_opt, no_new_privileges=host.no_new_privileges)
    config: oci.Config = {
        "ociVersion": "1.2.0",
        "root": {"path": moment.root, "readonly": wanted.readonly_rootfs},
        "process": process(container, host, moment.identity, options, moment.linked),
        "mounts": _mounts(container, host, moment, options),
        "linux": _linux(container, host, moment, options),
    }
    if namespaces.uts_mode(wanted.uts_mode).mode == "private":
        config["hostname"] = hostname(container, host)
        if container.config.domainname:
            config["domainname"] = container.config.domainname
    if wanted.annotations:
        config["annotations"] = dict(wanted.annotations)
    return config


def hostname(container: Container, host: Host) -> str:
    """The name inside: the request's, the host's on its network, else the short id."""
    if container.config.hostname:
        return container.config.hostname
    on_host = container.host_config.network_mode == "host" or container.host_config.uts_mode == "host"
    return host.hostname if on_host else container.id[:12]


def uses_init(container: Container, host: Host) -> bool:
    """Whether the tiny init is the container's first process."""
    wanted = container.host_config.init
    own_pids = namespaces.pid_mode(container.host_config.pid_mode).mode == "private"
    return own_pids and (host.init_always if wanted is None else wanted)


def process(
    container: Container,
    host: Host,
    identity: Identity,
    options: security.SecurityOptions,
    linked: Sequence[str] = (),
) -> oci.Process:
    """The container's own program."""
    config, wanted = container.config, container.host_config
    args = list(container.command)
    if uses_init(container, host):
        args = [INIT_PATH, "--", *args]
    found: oci.Process = {
        "terminal": config.tty,
        "user": user(identity),
        "args": args,
        "env": environment(container, host, identity, linked=linked),
        "cwd": config.working_dir or "/",
        "capabilities": capability_sets(capability_names(container, host), identity.uid),
        "rlimits": resources.rlimits(wanted.ulimits, host.ulimits, host.most_files),
        "oomScoreAdj": wanted.oom_score_adj,
    }
    if options.no_new_privileges:
        found["noNewPrivileges"] = True
    if profile := apparmor_profile(container, host, options):
        found["apparmorProfile"] = profile
    if config.tty and wanted.console_size != (0, 0):
        found["consoleSize"] = {"height": wanted.console_size[0], "width": wanted.console_size[1]}
    return found


def apparmor_profile(container: Container, host: Host, options: security.SecurityOptions) -> str:
    """The AppArmor profile of its processes; "" where the machine has none to give, or it shall have none."""
    if not host.has_apparmor:
        return ""
    if options.apparmor == apparmor.DOCKERS:
        return host.apparmor_profile
    if options.apparmor:
        return options.apparmor
    return "" if container.host_config.privileged else host.apparmor_profile


def user(identity: Identity) -> oci.User:
    """The numbers that the kernel gets."""
    return {"uid": identity.uid, "gid": identity.gid, "additionalGids": [identity.gid, *(
        group for group in identity.groups if group != identity.gid
    )]}  # fmt: skip


def capability_sets(names: Sequence[str], uid: int) -> oci.Capabilities:
    """As Docker: root has them in effect, another user only within reach of setuid programs."""
    if uid == 0:
        return {"bounding": list(names), "permitted": list(names), "effective": list(names)}
    return {"bounding": list(names), "permitted": [], "effective": []}


def environment(
    container: Container,
    host: Host,
    identity: Identity,
    extra: Iterable[str] = (),
    linked: Iterable[str] = (),
) -> list[str]:
    """PATH, HOSTNAME, TERM, HOME and links' variables under the image's and the request's; "NAME" alone removes one."""
    variables = {"PATH": PATH, "HOSTNAME": hostname(container, host)}
    if container.config.tty:
        variables["TERM"] = "xterm"
    for text in (*linked, *container.config.env, *extra):
        name, separator, value = text.partition("=")
        if separator:
            variables[name] = value
        else:
            variables.pop(name, None)
    variables.setdefault("HOME", identity.home)
    return [f"{name}={value}" for name, value in variables.items()]


def _mounts(
    container: Container, host: Host, moment: Moment, options: security.SecurityOptions
) -> list[oci.Mount]:
    wanted = container.host_config
    ipc = namespaces.ipc_mode(wanted.ipc_mode).mode
    shm: oci.Mount | None = None
    if ipc == "host":
        shm = mounts.shared_shm_mount("/dev/shm")  # noqa: S108  the host's own, as asked for
    elif moment.shared_shm:
        shm = mounts.shared_shm_mount(moment.shared_shm)
    elif ipc == "private":
        shm = mounts.shm_mount(wanted.shm_size or host.shm_size)
    found = mounts.oci_mounts(
        moment.mounts, moment.files, shm=shm, mqueue=True, read_only_root=wanted.readonly_rootfs,
        privileged=wanted.privileged, writable_cgroups=options.writable_cgroups,
        identity=(moment.identity.uid, moment.identity.gid),
    )  # fmt: skip
    if uses_init(container, host):
        found.append(
            {"destination": INIT_PATH, "type": "bind", "source": host.init_path, "options": ["bind", "ro"]}
        )
    return found


def _linux(container: Container, host: Host, moment: Moment, options: security.SecurityOptions) -> oci.Linux:
    wanted = container.host_config
    limits = resources.limits(wanted, dict(moment.block_numbers))
    limits["devices"] = resources.device_rules(wanted.privileged, moment.devices, wanted.device_cgroup_rules)
    linux: oci.Linux = {
        "cgroupsPath": _cgroups_path(container.id, host, wanted.cgroup_parent),
        "namespaces": namespaces.plan(wanted, host.cgroup_namespace, moment.pids),
        "resources": limits,
        "maskedPaths": security.masked_paths(wanted),
        "readonlyPaths": security.readonly_paths(wanted),
        "devices": [device for device, _ in moment.devices],
    }
    if sysctls := _sysctls(wanted):
        linux["sysctl"] = sysctls
    if propagation := mounts.root_propagation(moment.mounts):
        linux["rootfsPropagation"] = propagation
    section = security.seccomp_filter(
        options, wanted.privileged, host.seccomp, capability_names(container, host), host.machine, host.kernel
    )
    if section is not None:
        linux["seccomp"] = section
    return linux


def _sysctls(wanted: docker.HostConfig) -> dict[str, str]:
    """For a network of its own Docker's defaults (any port, and ping, without privilege); then the request's."""
    own = namespaces.network_mode(wanted.network_mode).mode in {"private", "none"}
    standard = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
    return {**(standard if own else {}), **wanted.sysctls}


def capability_names(container: Container, host: Host) -> list[str]:
    """The bounding set of the container."""
    wanted = container.host_config
    return security.capabilities(
        wanted.privileged, wanted.cap_add, wanted.cap_drop, host.known_capabilities, host.capabilities
    )


def cgroup_path(container: Container, host: Host) -> str:
    """The logical path of the container's cgroup."""
    return path_of(container.id, host, container.host_config.cgroup_parent)


def path_of(id: str, host: Host, parent: str = "") -> str:
    """The same for a container of this id below `parent` ("": the engine's own)."""
    return paths.container_path(_cgroups_path(id, host, parent), id, systemd=bool(host.cgroup_prefix))


def _cgroups_path(id: str, host: Host, parent: str) -> str:
    """The specification's cgroupsPath: for systemd "slice:prefix:name"."""
    parent = parent or host.cgroup_parent
    if host.cgroup_prefix:
        return f"{parent}:{host.cgroup_prefix}:{id}"
    return f"/{parent.strip('/')}/{id}"
