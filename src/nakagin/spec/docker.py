"""The Docker Engine API 1.50 as types: what clients send, and the values of answers that we keep.

Every Struct is frozen; attribute names are snake_case, JSON names are Docker's. Lists are tuples, never null;
where Docker tells null from empty the type says `| None`. Decode with `spec.gojson.decode`, which takes what
lenient Go takes; show with `spec.gojson.document`. Durations are nanoseconds, sizes bytes.
Values are not judged here. Source: moby api/docs/v1.50.yaml and api/types/.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta, field

from nakagin.spec.gojson import WORDS

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Unsigned16 = Annotated[int, Meta(ge=0, le=2**16 - 1)]
Unsigned32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Unsigned64 = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # msgspec knows no larger bound
Strings = tuple[str, ...]
Words = Annotated[tuple[str, ...], Meta(extra=WORDS)]
Empty = dict[str, object]
Size = tuple[Unsigned32, Unsigned32]


def fields(names: str) -> frozenset[str]:
    return frozenset(names.split())


class Document(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What all documents share: frozen, keyword-only, PascalCase in JSON; unknown keys are ignored."""

    #: Attributes that Go leaves out when empty (`omitempty`), and those it shows as null.
    omit_empty: ClassVar[frozenset[str]] = frozenset()
    null_empty: ClassVar[frozenset[str]] = frozenset()


# Containers: limits


class WeightDevice(Document, frozen=True, kw_only=True):
    path: str = ""
    weight: Unsigned16 = 0


class ThrottleDevice(Document, frozen=True, kw_only=True):
    """`rate` in bytes or operations per second."""

    path: str = ""
    rate: Unsigned64 = 0


class DeviceMapping(Document, frozen=True, kw_only=True):
    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = ""


class DeviceRequest(Document, frozen=True, kw_only=True):
    """`capabilities` is an OR list of AND lists; `count` -1 means all."""

    driver: str = ""
    count: Int64 = 0
    device_ids: Strings = field(default=(), name="DeviceIDs")
    capabilities: tuple[Strings, ...] = ()
    options: dict[str, str] = {}


class Ulimit(Document, frozen=True, kw_only=True):
    name: str = ""
    soft: Int64 = 0
    hard: Int64 = 0


class Resources(Document, frozen=True, kw_only=True):
    """The limits of a container; 0 (or None) is "not limited"."""

    null_empty = fields("device_cgroup_rules device_requests")
    omit_empty = fields("kernel_memory kernel_memory_tcp")

    cpu_shares: Int64 = 0
    memory: Int64 = 0
    nano_cpus: Int64 = 0
    cgroup_parent: str = ""
    blkio_weight: Unsigned16 = 0
    blkio_weight_device: tuple[WeightDevice, ...] = ()
    blkio_device_read_bps: tuple[ThrottleDevice, ...] = ()
    blkio_device_write_bps: tuple[ThrottleDevice, ...] = ()
    blkio_device_read_iops: tuple[ThrottleDevice, ...] = field(default=(), name="BlkioDeviceReadIOps")
    blkio_device_write_iops: tuple[ThrottleDevice, ...] = field(default=(), name="BlkioDeviceWriteIOps")
    cpu_period: Int64 = 0
    cpu_quota: Int64 = 0
    cpu_realtime_period: Int64 = 0
    cpu_realtime_runtime: Int64 = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: tuple[DeviceMapping, ...] = ()
    device_cgroup_rules: Strings = ()
    device_requests: tuple[DeviceRequest, ...] = ()
    kernel_memory: Int64 = 0
    kernel_memory_tcp: Int64 = field(default=0, name="KernelMemoryTCP")
    memory_reservation: Int64 = 0
    memory_swap: Int64 = 0
    memory_swappiness: Int64 | None = None
    oom_kill_disable: bool | None = None
    pids_limit: Int64 | None = None
    ulimits: tuple[Ulimit, ...] = ()
    cpu_count: Int64 = 0
    cpu_percent: Int64 = 0
    io_maximum_iops: Unsigned64 = field(default=0, name="IOMaximumIOps")
    io_maximum_bandwidth: Unsigned64 = field(default=0, name="IOMaximumBandwidth")


# Containers: mounts


class BindOptions(Document, frozen=True, kw_only=True):
    omit_empty = frozenset(
        {
            "propagation",
            "non_recursive",
            "create_mountpoint",
            "read_only_non_recursive",
            "read_only_force_recursive",
        }
    )

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class DriverConfig(Document, frozen=True, kw_only=True):
    omit_empty = fields("name options")

    name: str = ""
    options: dict[str, str] = {}


class VolumeOptions(Document, frozen=True, kw_only=True):
    omit_empty = fields("no_copy labels subpath driver_config")

    no_copy: bool = False
    labels: dict[str, str] = {}
    subpath: str = ""
    driver_config: DriverConfig | None = None


class ImageOptions(Document, frozen=True, kw_only=True):
    omit_empty = fields("subpath")

    subpath: str = ""


class TmpfsOptions(Document, frozen=True, kw_only=True):
    """`options`: flags as lists of one word, others as [key, value]."""

    omit_empty = fields("size_bytes mode options")

    size_bytes: Int64 = 0
    mode: Unsigned32 = 0
    options: tuple[Strings, ...] = ()


class Mount(Document, frozen=True, kw_only=True):
    """One `--mount`; `type` is bind, volume, tmpfs, image, npipe or cluster."""

    omit_empty = frozenset(
        {
            "type",
            "source",
            "target",
            "read_only",
            "consistency",
            "bind_options",
            "volume_options",
            "image_options",
            "tmpfs_options",
            "cluster_options",
        }
    )

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    image_options: ImageOptions | None = None
    tmpfs_options: TmpfsOptions | None = None
    cluster_options: Empty | None = None


# Containers: the request


class LogConfig(Document, frozen=True, kw_only=True):
    type: str = ""
    config: dict[str, str] = {}


class RestartPolicy(Document, frozen=True, kw_only=True):
    """`name`: "", no, always, unless-stopped or on-failure."""

    name: str = ""
    maximum_retry_count: Int64 = 0


class PortBinding(Document, frozen=True, kw_only=True):
    """`host_port`: "" for any, a number, or a range "8000-8010"."""

    host_ip: str = ""
    host_port: str = ""


class Healthcheck(Document, frozen=True, kw_only=True):
    """`test`: () inherits, ("NONE",) disables, ("CMD", ...) or ("CMD-SHELL", text)."""

    omit_empty = fields("test interval timeout start_period start_interval retries")

    test: Strings = ()
    interval: Int64 = 0
    timeout: Int64 = 0
    start_period: Int64 = 0
    start_interval: Int64 = 0
    retries: Int64 = 0


class ContainerConfig(Document, frozen=True, kw_only=True):
    """The portable half of a container. `cmd` and `entrypoint` None mean "as the image says", () none."""

    omit_empty = frozenset(
        {
            "exposed_ports",
            "healthcheck",
            "args_escaped",
            "network_disabled",
            "mac_address",
            "stop_signal",
            "stop_timeout",
            "shell",
        }
    )
    null_empty = fields("volumes on_build")

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, Empty] = {}
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: Strings = ()
    cmd: Words | None = None
    healthcheck: Healthcheck | None = None
    args_escaped: bool = False
    image: str = ""
    volumes: dict[str, Empty] = {}
    working_dir: str = ""
    entrypoint: Words | None = None
    network_disabled: bool = False
    mac_address: str = ""
    on_build: Strings = ()
    labels: dict[str, str] = {}
    stop_signal: str = ""
    stop_timeout: Int64 | None = None
    shell: Words = ()


class HostConfig(Resources, frozen=True, kw_only=True):
    """The half of a container that depends on its host. `masked_paths` None means the defaults, () none."""

    null_empty = Resources.null_empty | fields(
        "binds volumes_from cap_add cap_drop group_add links security_opt"
    )
    omit_empty = Resources.omit_empty | fields("annotations mounts storage_opt tmpfs sysctls init")

    binds: Strings = ()
    container_id_file: str = field(default="", name="ContainerIDFile")
    log_config: LogConfig = LogConfig()
    network_mode: str = ""
    port_bindings: dict[str, tuple[PortBinding, ...]] = {}
    restart_policy: RestartPolicy = RestartPolicy()
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: Strings = ()
    console_size: Size = (0, 0)
    annotations: dict[str, str] = {}
    cap_add: Words = ()
    cap_drop: Words = ()
    cgroupns_mode: str = ""
    dns: Strings = ()
    dns_options: Strings = ()
    dns_search: Strings = ()
    extra_hosts: Strings = ()
    group_add: Strings = ()
    ipc_mode: str = ""
    cgroup: str = ""
    links: Strings = ()
    oom_score_adj: Int64 = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: Strings = ()
    storage_opt: dict[str, str] = {}
    tmpfs: dict[str, str] = {}
    uts_mode: str = field(default="", name="UTSMode")
    userns_mode: str = ""
    shm_size: Int64 = 0
    sysctls: dict[str, str] = {}
    runtime: str = ""
    isolation: str = ""
    mounts: tuple[Mount, ...] = ()
    masked_paths: Strings | None = None
    readonly_paths: Strings | None = None
    init: bool | None = None


class EndpointIPAMConfig(Document, frozen=True, kw_only=True):
    omit_empty = fields("ipv4_address ipv6_address link_local_ips")

    ipv4_address: str = field(default="", name="IPv4Address")
    ipv6_address: str = field(default="", name="IPv6Address")
    link_local_ips: Strings = field(default=(), name="LinkLocalIPs")


class EndpointSettings(Document, frozen=True, kw_only=True):
    """A container's place in one network: what was asked for (first six), and what it got."""

    null_empty = fields("links aliases driver_opts dns_names")

    ipam_config: EndpointIPAMConfig | None = field(default=None, name="IPAMConfig")
    links: Strings = ()
    aliases: Strings = ()
    mac_address: str = ""
    driver_opts: dict[str, str] = {}
    gw_priority: Int64 = 0
    network_id: str = field(default="", name="NetworkID")
    endpoint_id: str = field(default="", name="EndpointID")
    gateway: str = ""
    ip_address: str = field(default="", name="IPAddress")
    ip_prefix_len: Int64 = field(default=0, name="IPPrefixLen")
    ipv6_gateway: str = field(default="", name="IPv6Gateway")
    global_ipv6_address: str = field(default="", name="GlobalIPv6Address")
    global_ipv6_prefix_len: Int64 = field(default=0, name="GlobalIPv6PrefixLen")
    dns_names: Strings = field(default=(), name="DNSNames")


class NetworkingConfig(Document, frozen=True, kw_only=True):
    endpoints_config: dict[str, EndpointSettings] = {}


class Secret(Document, frozen=True, kw_only=True):
    """A file in /run/secrets (or at `target`), or the variable `env`. `data` is base64, and in no answer."""

    name: str
    data: str = ""
    target: str = ""
    env: str = ""
    mode: int = 0o444
    uid: int = 0
    gid: int = 0


class Extension(Document, frozen=True, kw_only=True):
    """What Nakagin's own clients may add to a create request, under the key "Nakagin".

    `rootfs`: "DIR" or "DIR:overlay" in place of an image; `timezone`: a zone name, or "local" for the host's.
    """

    rootfs: str = ""
    timezone: str = ""
    secrets: tuple[Secret, ...] = ()


class ContainerCreate(ContainerConfig, frozen=True, kw_only=True):
    """The body of POST /containers/create: a ContainerConfig with the other halves beside its fields."""

    host_config: HostConfig = HostConfig()
    networking_config: NetworkingConfig = NetworkingConfig()
    nakagin: Extension = Extension()

    @property
    def config(self) -> ContainerConfig:
        """The ContainerConfig alone."""
        return ContainerConfig(**{name: getattr(self, name) for name in ContainerConfig.__struct_fields__})


class UpdateRequest(Resources, frozen=True, kw_only=True):
    """The body of POST /containers/{id}/update: zero and None leave a limit as it is."""

    restart_policy: RestartPolicy = RestartPolicy()


# Exec


class ExecCreate(Document, frozen=True, kw_only=True):
    user: str = ""
    privileged: bool = False
    tty: bool = False
    console_size: Size | None = None
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach: bool = False
    detach_keys: str = ""
    env: Strings = ()
    working_dir: str = ""
    cmd: Words = ()


class ExecStart(Document, frozen=True, kw_only=True):
    """`console_size` is (rows, columns)."""

    detach: bool = False
    tty: bool = False
    console_size: Size | None = None


# Volumes and networks


class VolumeCreate(Document, frozen=True, kw_only=True):
    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] = {}
    labels: dict[str, str] = {}
    cluster_volume_spec: Empty | None = None


# Health, as inspect shows it


class HealthcheckResult(Document, frozen=True, kw_only=True):
    """`start` and `end` are RFC 3339 with nanoseconds."""

    start: str = ""
    end: str = ""
    exit_code: Int64 = 0
    output: str = ""


class Health(Document, frozen=True, kw_only=True):
    """`status`: none, starting, healthy or unhealthy."""

    status: str = "none"
    failing_streak: Int64 = 0
    log: tuple[HealthcheckResult, ...] = ()
