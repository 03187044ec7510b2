"""The engine's settings: dockerd's flags and daemon.json keys as one frozen value, checked. Pure but for one file."""

from __future__ import annotations

import os
import re
from typing import Any

import msgspec

from nakagin.build.collection import Settings as Builder
from nakagin.errors import Invalid, Unsupported
from nakagin.spec.docker import Ulimit
from nakagin.spec.size import parse_size
from nakagin.storage.options import parse_options

DATA_ROOT = "/var/lib/nakagin"
EXEC_ROOT = "/run/nakagin"
CONFIG_FILE = "/etc/nakagin/daemon.json"
#: Who may use the socket beside root, where the machine has such a group.
GROUP = "docker"
REGISTRIES_FILE = "/etc/nakagin/registries.toml"


class AddressPool(msgspec.Struct, frozen=True):
    """One of the pools that networks are cut from: a base network and the size of each piece in bits."""

    base: str
    size: int


class RuntimeOptions(msgspec.Struct, frozen=True, rename="pascal"):
    """What containerd's shim for runc is told; only the program matters here."""

    binary_name: str = ""


class Runtime(msgspec.Struct, frozen=True, rename="camel"):
    """A further runtime: its program (OCI command line) and the arguments that come before every command."""

    path: str = ""
    runtime_args: tuple[str, ...] = ()
    runtime_type: str = ""
    options: RuntimeOptions = RuntimeOptions()

    @property
    def program(self) -> str:
        """The path, however the runtime was described."""
        return self.path or self.options.binary_name


class DaemonUlimit(msgspec.Struct, frozen=True, rename="pascal"):
    """A default limit as daemon.json spells it."""

    name: str = ""
    soft: int = 0
    hard: int = 0


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """Everything that can be set; field names are the keys of daemon.json with "_" for "-".

    `instance` sets several engines of one machine apart: bridge, firewall table and cgroup carry it.
    """

    instance: str = ""
    hosts: tuple[str, ...] = ()
    data_root: str = DATA_ROOT
    exec_root: str = EXEC_ROOT
    pidfile: str = ""
    group: str = GROUP
    debug: bool = False
    log_level: str = "info"
    log_format: str = "text"
    labels: tuple[str, ...] = ()
    live_restore: bool = True
    metrics_addr: str = ""
    shutdown_timeout: int = 15
    tls: bool = False
    tlscacert: str = ""
    tlscert: str = ""
    tlskey: str = ""
    tlsverify: bool = False
    # Containers
    cdi_spec_dirs: tuple[str, ...] = ()
    cgroup_parent: str = ""
    default_cgroupns_mode: str = ""
    default_ipc_mode: str = "private"
    default_runtime: str = "nakagin"
    default_shm_size: int | str = 64 << 20
    default_ulimits: dict[str, DaemonUlimit] = {}
    exec_opts: tuple[str, ...] = ()
    init: bool = False
    init_path: str = ""
    log_driver: str = "json-file"
    log_opts: dict[str, str] = {}
    no_new_privileges: bool = False
    runtimes: dict[str, Runtime] = {}
    seccomp_profile: str = ""
    storage_driver: str = ""
    storage_opts: tuple[str, ...] = ()
    # Networks
    allow_direct_routing: bool = False
    bip: str = ""
    bip6: str = ""
    bridge: str = ""
    default_address_pools: tuple[AddressPool, ...] = ()
    default_gateway: str = ""
    default_gateway_v6: str = ""
    default_network_opts: dict[str, dict[str, str]] = {}
    dns: tuple[str, ...] = ()
    dns_opts: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    fixed_cidr: str = ""
    fixed_cidr_v6: str = ""
    host_gateway_ip: str = ""
    icc: bool = True
    ip: str = ""
    ip_forward: bool = True
    ipv6: bool = False
    ip_masq: bool = True
    ip6tables: bool = True
    iptables: bool = True
    mtu: int = 1500
    userland_proxy: bool = True
    userland_proxy_path: str = ""
    # Registries
    insecure_registries: tuple[str, ...] = ()
    max_concurrent_downloads: int = 3
    max_concurrent_uploads: int = 5
    max_download_attempts: int = 5
    proxies: dict[str, str] = {}
    registries_file: str = REGISTRIES_FILE
    registry_mirrors: tuple[str, ...] = ()
    builder: Builder = Builder()
    # Of other engines: taken, and without effect here
    containerd: str = ""
    containerd_namespace: str = ""
    containerd_plugins_namespace: str = ""
    cpu_rt_period: int = 0
    cpu_rt_runtime: int = 0
    experimental: bool = False
    features: dict[str, Any] = {}
    ip_forward_no_drop: bool = False
    network_control_plane_mtu: int = 1500
    node_generic_resources: tuple[str, ...] = ()
    raw_logs: bool = False
    swarm_default_advertise_addr: str = ""
    # Refused, with the reason
    authorization_plugins: tuple[str, ...] = ()
    cri_containerd: bool = False
    rootless: bool = False
    selinux_enabled: bool = False
    userns_remap: str = ""

    @property
    def address(self) -> tuple[str, ...]:
        """Where to listen: the hosts, or the one unix socket."""
        return self.hosts or (f"unix://{self.exec_root}/nakagin.sock",)

    @property
    def pid_file(self) -> str:
        """Where the process id is written."""
        return self.pidfile or os.path.join(self.exec_root, "nakagin.pid")

    @property
    def systemd_cgroups(self) -> bool:
        """Whether systemd makes the containers' cgroups."""
        return _SYSTEMD in self.exec_opts

    @property
    def cgroup_prefix(self) -> str:
        """What the names of this engine's scopes begin with; "" where the engine makes the cgroups itself."""
        if not self.systemd_cgroups:
            return ""
        return f"nakagin-{self.instance}" if self.instance else "nakagin"

    @property
    def cgroup(self) -> str:
        """The logical path of the parent of all containers' cgroups; systemd's slice, where that makes them."""
        if self.systemd_cgroups:
            return self.cgroup_parent or "system.slice"
        return self.cgroup_parent or (f"/nakagin-{self.instance}" if self.instance else "/nakagin")

    @property
    def ulimits(self) -> tuple[Ulimit, ...]:
        """The default limits of containers."""
        return tuple(
            Ulimit(name=each.name or name, soft=each.soft, hard=each.hard)
            for name, each in self.default_ulimits.items()
        )

    @property
    def shm_size(self) -> int:
        """The default size of /dev/shm in bytes."""
        return (
            self.default_shm_size
            if isinstance(self.default_shm_size, int)
            else parse_size(self.default_shm_size)
        )


_SYSTEMD = "native.cgroupdriver=systemd"


def read_config_file(path: str, *, required: bool) -> dict[str, Any]:
    """The keys of a daemon.json; {} for one that is not there and not `required`. Raises Invalid."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        if required:
            raise Invalid(f"unable to configure the engine with file {path}: no such file") from None
        return {}
    except OSError as error:
        raise Invalid(f"unable to configure the engine with file {path}: {error.strerror}") from None
    try:
        keys = msgspec.json.decode(text or b"{}")
    except msgspec.DecodeError as error:
        raise Invalid(f"unable to configure the engine with file {path}: {error}") from None
    if not isinstance(keys, dict):
        raise Invalid(f"unable to configure the engine with file {path}: it holds no JSON object")
    return keys


def settle(flags: dict[str, Any], config: dict[str, Any], path: str = CONFIG_FILE) -> Settings:
    """One value from both; what stands in both is refused, as by dockerd. Raises Invalid, Unsupported."""
    twice = sorted(set(flags) & set(config))
    if twice:
        raise Invalid(
            f"unable to configure the engine with file {path}: the following directives are specified both as a flag "
            f"and in the configuration file: {', '.join(twice)}",
            hint="take each of them out of one place",
        )
    try:
        settings = msgspec.convert({**config, **flags}, Settings)
    except msgspec.ValidationError as error:
        raise Invalid(str(error), where=path if config else "flags") from None
    check(settings)
    return settings


_REFUSED = {
    "authorization_plugins": "authorization plugins are not supported",
    "cri_containerd": "containerd is not part of this engine",
    "rootless": "rootless engines are not supported yet",
    "selinux_enabled": "SELinux labels are not supported yet",
    "userns_remap": "user namespace remapping is not supported yet",
}
_LEVELS = ("debug", "info", "warn", "error", "fatal")


def check(settings: Settings) -> None:
    """Invalid or Unsupported for values that cannot be."""
    for name, words in _REFUSED.items():
        if getattr(settings, name):
            raise Unsupported(f"{name.replace('_', '-')}: {words}")
    if settings.log_level not in _LEVELS:
        raise Invalid(f"invalid logging level: {settings.log_level}", hint=f"one of {', '.join(_LEVELS)}")
    if settings.log_format not in {"text", "json"}:
        raise Invalid(f"invalid log format: {settings.log_format}", hint="text or json")
    if settings.storage_driver not in {"", "overlay2", "overlay", "overlayfs"}:
        raise Unsupported(
            f"storage driver {settings.storage_driver} is not supported", hint="overlay2 is the one there is"
        )
    parse_options(settings.storage_opts)
    settings.builder.gc.check()
    if settings.default_cgroupns_mode not in {"", "private", "host"}:
        raise Invalid(f"invalid default cgroup namespace mode: {settings.default_cgroupns_mode}")
    if settings.default_ipc_mode not in {"private", "shareable"}:
        raise Invalid(
            f"IPC mode {settings.default_ipc_mode} is not supported as default value",
            hint="private, shareable",
        )
    if settings.bridge and settings.bip:
        raise Invalid("you specified -b & --bip, mutually exclusive options. Please specify only one")
    _check_more(settings)


def _check_more(settings: Settings) -> None:
    if settings.mtu < 68 or settings.mtu > 65535:  # RFC 791, and the largest packet
        raise Invalid(f"invalid default MTU: {settings.mtu}")
    for option in settings.exec_opts:
        if option not in {"native.cgroupdriver=cgroupfs", _SYSTEMD}:
            raise Unsupported(
                f"exec-opt {option} is not supported", hint=f"native.cgroupdriver=cgroupfs and {_SYSTEMD} are"
            )
    if settings.systemd_cgroups and not settings.cgroup.endswith(".slice"):
        raise Invalid('cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"')
    for name, runtime in settings.runtimes.items():
        _check_runtime(name, runtime)
    if settings.log_driver not in {"journald", "json-file", "local", "none", "syslog"}:
        raise Invalid(
            f"no log driver named '{settings.log_driver}' is registered",
            hint="json-file, local, journald, syslog or none",
        )
    if settings.metrics_addr and not re.fullmatch(r".+:\d{1,5}", settings.metrics_addr):
        raise Invalid(f"invalid metrics address: {settings.metrics_addr}", hint="HOST:PORT")
    if settings.tlsverify and not settings.tlscacert:
        raise Invalid("tlsverify needs tlscacert")
    for name in ("max_concurrent_downloads", "max_concurrent_uploads", "max_download_attempts"):
        if getattr(settings, name) <= 0:
            raise Invalid(f"invalid {name.replace('_', '-')}: {getattr(settings, name)}", hint="at least 1")
    if parse_size(str(settings.default_shm_size)) <= 0:
        raise Invalid("the default size of /dev/shm must be positive")


_RUNC_SHIM = "io.containerd.runc.v2"


def _check_runtime(name: str, runtime: Runtime) -> None:
    if name in {"nakagin", _RUNC_SHIM} or not name or "/" in name or name.startswith("."):
        raise Invalid(f"invalid runtime name: {name!r}", hint="another name for --add-runtime")
    if runtime.path and runtime.runtime_type:
        raise Invalid(f"runtime {name}: path and runtimeType cannot both be set", hint="path is enough")
    if runtime.runtime_type not in {"", _RUNC_SHIM}:
        raise Unsupported(
            f"runtime {name}: {runtime.runtime_type} is a containerd shim, and there is no containerd here",
            hint="give the path of a program with the OCI runtime command line",
        )
    if not runtime.program:
        raise Invalid(
            f"runtime {name}: no path", hint='--add-runtime NAME=PATH, or {"path": PATH} in daemon.json'
        )
