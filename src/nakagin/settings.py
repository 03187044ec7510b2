"""The engine's settings: dockerd's flags and daemon.json keys as one frozen value, checked. Pure but for one file."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from nakagin.errors import Invalid, Unsupported
from nakagin.spec.docker import Ulimit
from nakagin.spec.size import parse_size

DATA_ROOT = "/var/lib/nakagin"
EXEC_ROOT = "/run/nakagin"
CONFIG_FILE = "/etc/nakagin/daemon.json"


class AddressPool(msgspec.Struct, frozen=True):
    """One of the pools that networks are cut from: a base network and the size of each piece in bits."""

    base: str
    size: int


class Runtime(msgspec.Struct, frozen=True, rename="camel"):
    """A further runtime: the program and its arguments."""

    path: str = ""
    runtime_args: tuple[str, ...] = msgspec.field(default=(), name="runtimeArgs")
    runtime_type: str = msgspec.field(default="", name="runtimeType")


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
    group: str = "docker"
    debug: bool = False
    log_level: str = "info"
    log_format: str = "text"
    labels: tuple[str, ...] = ()
    live_restore: bool = True
    shutdown_timeout: int = 15
    tls: bool = False
    tlscacert: str = ""
    tlscert: str = ""
    tlskey: str = ""
    tlsverify: bool = False
    # Containers
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
    bip: str = ""
    bridge: str = ""
    default_address_pools: tuple[AddressPool, ...] = ()
    default_gateway: str = ""
    dns: tuple[str, ...] = ()
    dns_opts: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    fixed_cidr: str = ""
    host_gateway_ip: str = ""
    icc: bool = True
    ip: str = ""
    ip_forward: bool = True
    ip_masq: bool = True
    iptables: bool = True
    mtu: int = 1500
    userland_proxy: bool = True
    userland_proxy_path: str = ""
    # Of other engines: taken, and without effect here
    allow_direct_routing: bool = False
    builder: dict[str, Any] = {}
    containerd: str = ""
    containerd_namespace: str = ""
    containerd_plugins_namespace: str = ""
    cpu_rt_period: int = 0
    cpu_rt_runtime: int = 0
    cdi_spec_dirs: tuple[str, ...] = ()
    default_network_opts: dict[str, Any] = {}
    experimental: bool = False
    features: dict[str, Any] = {}
    insecure_registries: tuple[str, ...] = ()
    ip_forward_no_drop: bool = False
    ip6tables: bool = True
    max_concurrent_downloads: int = 3
    max_concurrent_uploads: int = 5
    max_download_attempts: int = 5
    metrics_addr: str = ""
    network_control_plane_mtu: int = 1500
    node_generic_resources: tuple[str, ...] = ()
    proxies: dict[str, str] = {}
    raw_logs: bool = False
    registry_mirrors: tuple[str, ...] = ()
    swarm_default_advertise_addr: str = ""
    # Refused, with the reason
    authorization_plugins: tuple[str, ...] = ()
    bip6: str = ""
    cri_containerd: bool = False
    default_gateway_v6: str = ""
    fixed_cidr_v6: str = ""
    ipv6: bool = False
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
    def cgroup(self) -> str:
        """The logical path of the parent of all containers' cgroups."""
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
    "bip6": "IPv6 on the default bridge is not supported yet",
    "cri_containerd": "containerd is not part of this engine",
    "default_gateway": "another gateway on the default bridge is not supported yet",
    "default_gateway_v6": "IPv6 on the default bridge is not supported yet",
    "fixed_cidr_v6": "IPv6 on the default bridge is not supported yet",
    "ipv6": "IPv6 on the default bridge is not supported yet",
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
    if settings.storage_opts:
        raise Unsupported("storage options are not supported yet")
    if settings.default_cgroupns_mode not in {"", "private", "host"}:
        raise Invalid(f"invalid default cgroup namespace mode: {settings.default_cgroupns_mode}")
    if settings.default_ipc_mode not in {"private", "shareable"}:
        raise Invalid(
            f"IPC mode {settings.default_ipc_mode} is not supported as default value",
            hint="private, shareable",
        )
    if settings.bridge not in {"", "none"}:
        raise Unsupported("a bridge of another's making is not supported yet", hint="--bridge none, or --bip")
    _check_more(settings)


def _check_more(settings: Settings) -> None:
    if settings.mtu < 68 or settings.mtu > 65535:  # RFC 791, and the largest packet
        raise Invalid(f"invalid default MTU: {settings.mtu}")
    for option in settings.exec_opts:
        if option != "native.cgroupdriver=cgroupfs":
            raise Unsupported(f"exec-opt {option} is not supported", hint="native.cgroupdriver=cgroupfs is")
    if settings.log_driver not in {"json-file", "local", "none"}:
        raise Invalid(
            f"no log driver named '{settings.log_driver}' is registered", hint="json-file, local or none"
        )
    if settings.tlsverify and not settings.tlscacert:
        raise Invalid("tlsverify needs tlscacert")
    if parse_size(str(settings.default_shm_size)) <= 0:
        raise Invalid("the default size of /dev/shm must be positive")
