"""The parts of a service: builds, ports, mounts, health checks, deployment and hooks, as Compose prints them.

Field names and their order are those of Compose's own JSON: the order decides the hash that says whether a container
must be made anew. A field that is empty is left out; one without a default is always printed.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

# `form` tells `decode` how the text of a file is read.

#: Bytes as a decimal number in text ("67108864"), the way Compose prints them; "" is not given.
Size = Annotated[str, Meta(extra={"form": "size"})]
#: A length of time in Go's text ("1m30s"); "" is not given.
Duration = Annotated[str, Meta(extra={"form": "duration"})]
#: The same where none and no time at all are one.
Delay = Annotated[str, Meta(extra={"form": "delay"})]
#: KEY: value, or None where the value is to come from elsewhere.
Environment = dict[str, str | None]
#: Words; None where the image decides, [] to clear what it says.
Command = Annotated[list[str] | None, Meta(extra={"form": "command"})]
Number = int | float


class Part(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A piece of the canonical model."""


class Ulimit(Part, frozen=True, kw_only=True):
    """Soft and hard limit of one resource."""

    soft: int = 0
    hard: int = 0


class FileReference(Part, frozen=True, kw_only=True):
    """A config or secret as one service sees it; `mode` is octal text ("0440")."""

    source: str = ""
    target: str = ""
    uid: str = ""
    gid: str = ""
    mode: Annotated[str, Meta(extra={"form": "octal"})] = ""


class Build(Part, frozen=True, kw_only=True):
    """How the image is made."""

    context: str = ""
    dockerfile: str = ""
    dockerfile_inline: str = ""
    entitlements: list[str] = []
    args: Environment = {}
    provenance: str = ""
    sbom: str = ""
    ssh: list[str] = []
    labels: dict[str, str] = {}
    cache_from: list[str] = []
    cache_to: list[str] = []
    no_cache: bool = False
    additional_contexts: dict[str, str] = {}
    pull: bool = False
    extra_hosts: list[str] = []
    isolation: str = ""
    network: str = ""
    target: str = ""
    secrets: list[FileReference] = []
    shm_size: Size = ""
    tags: list[str] = []
    ulimits: dict[str, int | Ulimit] = {}
    platforms: list[str] = []
    privileged: bool = False


class Hook(Part, frozen=True, kw_only=True):
    """A command that is run inside a container when something happens."""

    command: Command
    user: str = ""
    privileged: bool = False
    working_dir: str = ""
    environment: Environment = {}


class Trigger(Part, frozen=True, kw_only=True):
    """What `watch` does when files below `path` change."""

    path: str
    action: str
    target: str = ""
    exec: Hook
    include: list[str] = []
    ignore: list[str] = []
    initial_sync: bool = False


class Develop(Part, frozen=True, kw_only=True):
    """Settings for development."""

    watch: list[Trigger] = []


class DeviceWeight(Part, frozen=True, kw_only=True):
    """A share of a block device."""

    path: str = field(name="Path")
    weight: int = field(name="Weight")


class DeviceRate(Part, frozen=True, kw_only=True):
    """The most that may go through a block device, in bytes or operations per second."""

    path: str = field(name="Path")
    rate: Size = field(name="Rate")


class BlockIO(Part, frozen=True, kw_only=True):
    """Limits of block devices."""

    weight: int = 0
    weight_device: list[DeviceWeight] = []
    device_read_bps: list[DeviceRate] = []
    device_read_iops: list[DeviceRate] = []
    device_write_bps: list[DeviceRate] = []
    device_write_iops: list[DeviceRate] = []


class CredentialSpec(Part, frozen=True, kw_only=True):
    """Credentials of a managed Windows account."""

    config: str = ""
    file: str = ""
    registry: str = ""


class Dependency(Part, frozen=True, kw_only=True):
    """What a service waits for before it is started."""

    condition: str = ""
    restart: bool = False
    required: bool


class UpdateConfig(Part, frozen=True, kw_only=True):
    """How replicas are replaced."""

    parallelism: int | None = None
    delay: Delay = ""
    failure_action: str = ""
    monitor: Delay = ""
    max_failure_ratio: Number = 0
    order: str = ""


class DeviceRequest(Part, frozen=True, kw_only=True):
    """Devices by what they can do; `count` -1 is all of them."""

    capabilities: list[str] = []
    driver: str = ""
    count: int = 0
    device_ids: list[str] = []
    options: dict[str, str] = {}


class DiscreteResource(Part, frozen=True, kw_only=True):
    """A countable resource."""

    kind: str
    value: int


class GenericResource(Part, frozen=True, kw_only=True):
    """A resource that the user defined."""

    discrete_resource_spec: DiscreteResource | None = None


class Resource(Part, frozen=True, kw_only=True):
    """Limits or reservations."""

    cpus: Number = 0
    memory: Size = ""
    pids: int = 0
    devices: list[DeviceRequest] = []
    generic_resources: list[GenericResource] = []


class Resources(Part, frozen=True, kw_only=True):
    """Limits and reservations."""

    limits: Resource | None = None
    reservations: Resource | None = None


class RestartPolicy(Part, frozen=True, kw_only=True):
    """When a stopped container is started again."""

    condition: str = ""
    delay: Duration = ""
    max_attempts: int | None = None
    window: Duration = ""


class PlacementPreference(Part, frozen=True, kw_only=True):
    """How replicas are spread."""

    spread: str = ""


class Placement(Part, frozen=True, kw_only=True):
    """On which machines replicas may run."""

    constraints: list[str] = []
    preferences: list[PlacementPreference] = []
    max_replicas_per_node: int = 0


class Deploy(Part, frozen=True, kw_only=True):
    """How many replicas there are, with what limits, and how they are replaced."""

    mode: str = ""
    replicas: int | None = None
    labels: dict[str, str] = {}
    update_config: UpdateConfig | None = None
    rollback_config: UpdateConfig | None = None
    resources: Resources
    restart_policy: RestartPolicy | None = None
    placement: Placement
    endpoint_mode: str = ""


class Device(Part, frozen=True, kw_only=True):
    """A device of the host inside the container."""

    source: str = ""
    target: str = ""
    permissions: str = ""


class Provider(Part, frozen=True, kw_only=True):
    """A program that provides the service instead of a container."""

    type: str = ""
    options: dict[str, list[str]] = {}


class EnvFile(Part, frozen=True, kw_only=True):
    """A file of variables; only seen where it was not to be read."""

    path: str = ""
    required: bool = False
    format: str = ""


class HealthCheck(Part, frozen=True, kw_only=True):
    """How the engine finds out whether a container is well."""

    test: Annotated[list[str], Meta(extra={"form": "test"})] = []
    timeout: Duration = ""
    interval: Duration = ""
    retries: int | None = None
    start_period: Duration = ""
    start_interval: Duration = ""
    disable: bool = False


class Logging(Part, frozen=True, kw_only=True):
    """Where output goes."""

    driver: str = ""
    options: dict[str, str] = {}


class ServiceModel(Part, frozen=True, kw_only=True):
    """Under which variables a service finds a language model."""

    endpoint_var: str = ""
    model_var: str = ""


class ServiceNetwork(Part, frozen=True, kw_only=True):
    """How a service is attached to one network."""

    aliases: list[str] = []
    driver_opts: dict[str, str] = {}
    gw_priority: int = 0
    interface_name: str = ""
    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: list[str] = []
    mac_address: str = ""
    priority: int = 0


class Port(Part, frozen=True, kw_only=True):
    """A published port; `published` may be a range."""

    name: str = ""
    mode: str = ""
    host_ip: str = ""
    target: int = 0
    published: str = ""
    protocol: str = ""
    app_protocol: str = ""


class BindOptions(Part, frozen=True, kw_only=True):
    """Of a mount of type bind."""

    selinux: str = ""
    propagation: str = ""
    create_host_path: bool = False
    recursive: str = ""


class VolumeOptions(Part, frozen=True, kw_only=True):
    """Of a mount of type volume."""

    labels: dict[str, str] = {}
    nocopy: bool = False
    subpath: str = ""


class TmpfsOptions(Part, frozen=True, kw_only=True):
    """Of a mount of type tmpfs."""

    size: Size = ""
    mode: Annotated[int, Meta(extra={"form": "bits"})] = 0


class ImageOptions(Part, frozen=True, kw_only=True):
    """Of a mount of type image."""

    subpath: str = ""


class Mount(Part, frozen=True, kw_only=True):
    """What a service mounts; a volume without a source is anonymous."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind: BindOptions | None = None
    volume: VolumeOptions | None = None
    tmpfs: TmpfsOptions | None = None
    image: ImageOptions | None = None
