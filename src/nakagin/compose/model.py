"""The canonical project: what all files of a Compose application mean together, after every stage of loading.

`Project.document()` is what `docker compose config --format json` prints. Everything below `load` speaks of these
values only. Maps are keyed by the names in the file; what the engine knows things by is in `name`.
"""

from __future__ import annotations

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from nakagin.compose.parts import (
    BlockIO,
    Build,
    Command,
    CredentialSpec,
    Dependency,
    Deploy,
    Develop,
    Device,
    DeviceRequest,
    Duration,
    EnvFile,
    Environment,
    FileReference,
    HealthCheck,
    Hook,
    Logging,
    Mount,
    Number,
    Part,
    Port,
    Provider,
    ServiceModel,
    ServiceNetwork,
    Size,
    Ulimit,
)
from nakagin.spec.duration import parse_duration


class Service(Part, frozen=True, kw_only=True):
    """One service. Its name is its key in `Project.services`."""

    profiles: list[str] = []
    annotations: dict[str, str] = {}
    attach: bool | None = None
    build: Build | None = None
    develop: Develop | None = None
    blkio_config: BlockIO | None = None
    cap_add: list[str] = []
    cap_drop: list[str] = []
    cgroup_parent: str = ""
    cgroup: str = ""
    cpu_count: int = 0
    cpu_percent: Number = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_rt_period: int = 0
    cpu_rt_runtime: int = 0
    cpus: Number = 0
    cpuset: str = ""
    cpu_shares: int = 0
    command: Command
    configs: list[FileReference] = []
    container_name: str = ""
    credential_spec: CredentialSpec | None = None
    depends_on: dict[str, Dependency] = {}
    deploy: Deploy | None = None
    device_cgroup_rules: list[str] = []
    devices: list[Device] = []
    dns: list[str] = []
    dns_opt: list[str] = []
    dns_search: list[str] = []
    domainname: str = ""
    entrypoint: Command
    provider: Provider | None = None
    environment: Environment = {}
    env_file: list[EnvFile] = []
    expose: list[str] = []
    external_links: list[str] = []
    extra_hosts: list[str] = []
    group_add: list[str] = []
    gpus: list[DeviceRequest] = []
    hostname: str = ""
    healthcheck: HealthCheck | None = None
    image: str = ""
    init: bool | None = None
    ipc: str = ""
    isolation: str = ""
    labels: dict[str, str] = {}
    label_file: list[str] = []
    links: list[str] = []
    logging: Logging | None = None
    mem_limit: Size = ""
    mem_reservation: Size = ""
    memswap_limit: Size = ""
    mem_swappiness: Size = ""
    mac_address: str = ""
    models: dict[str, ServiceModel | None] = {}
    network_mode: str = ""
    networks: dict[str, ServiceNetwork | None] = {}
    oom_kill_disable: bool = False
    oom_score_adj: int = 0
    pid: str = ""
    pids_limit: int = 0
    platform: str = ""
    ports: list[Port] = []
    privileged: bool = False
    pull_policy: str = ""
    read_only: bool = False
    restart: str = ""
    runtime: str = ""
    scale: int | None = None
    secrets: list[FileReference] = []
    security_opt: list[str] = []
    shm_size: Size = ""
    stdin_open: bool = False
    stop_grace_period: Duration = ""
    stop_signal: str = ""
    storage_opt: dict[str, str] = {}
    sysctls: dict[str, str] = {}
    tmpfs: list[str] = []
    tty: bool = False
    ulimits: dict[str, int | Ulimit] = {}
    use_api_socket: bool = False
    user: str = ""
    userns_mode: str = ""
    uts: str = ""
    volumes: list[Mount] = []
    volumes_from: list[str] = []
    working_dir: str = ""
    post_start: list[Hook] = []
    pre_stop: list[Hook] = []

    @property
    def replicas(self) -> int:
        """How many containers there are to be."""
        if self.scale is not None:
            return self.scale
        if self.deploy is not None and self.deploy.replicas is not None:
            return self.deploy.replicas
        return 1

    @property
    def stop_seconds(self) -> int | None:
        """How long a container may take to end, in whole seconds; None for the engine's own patience."""
        return parse_duration(self.stop_grace_period) // 10**9 if self.stop_grace_period else None

    @property
    def built_from(self) -> list[str]:
        """The services whose images the build of this one reads."""
        contexts = self.build.additional_contexts.values() if self.build else ()
        return [each.removeprefix("service:") for each in contexts if each.startswith("service:")]


class Pool(Part, frozen=True, kw_only=True):
    """A range of addresses of a network."""

    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    aux_addresses: dict[str, str] = {}


class Ipam(Part, frozen=True, kw_only=True):
    """Where a network has its addresses from."""

    driver: str = ""
    config: list[Pool] = []


class Network(Part, frozen=True, kw_only=True):
    """A network; an external one is there already and stays."""

    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] = {}
    ipam: Ipam
    external: bool = False
    internal: bool = False
    attachable: bool = False
    labels: dict[str, str] = {}
    enable_ipv4: bool | None = None
    enable_ipv6: bool | None = None


class Volume(Part, frozen=True, kw_only=True):
    """A named volume; an external one is there already and stays."""

    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] = {}
    external: bool = False
    labels: dict[str, str] = {}


class FileObject(Part, frozen=True, kw_only=True):
    """A config or a secret: its content is a file, an environment variable or stands in the project itself."""

    name: str = ""
    file: str = ""
    environment: str = ""
    content: str = ""
    external: bool = False
    labels: dict[str, str] = {}
    driver: str = ""
    driver_opts: dict[str, str] = {}
    template_driver: str = ""


class Model(Part, frozen=True, kw_only=True):
    """A language model."""

    name: str = ""
    model: str = ""
    context_size: int = 0
    runtime_flags: list[str] = []


class Project(Struct, frozen=True, kw_only=True):
    """An application. The second half is what Compose never prints.

    `extensions` holds the x-… keys by the dotted path of the object they stand in ("" is the top: "services.web").
    `disabled` are the services that no active profile asks for. `environment` is what variables were replaced from.
    """

    name: str
    services: dict[str, Service] = {}
    networks: dict[str, Network] = {}
    volumes: dict[str, Volume] = {}
    secrets: dict[str, FileObject] = {}
    configs: dict[str, FileObject] = {}
    models: dict[str, Model] = {}

    working_dir: str = ""
    files: list[str] = []
    environment: dict[str, str] = {}
    profiles: list[str] = []
    disabled: dict[str, Service] = {}
    extensions: dict[str, dict[str, object]] = {}

    @property
    def every_service(self) -> dict[str, Service]:
        """Those of all profiles, and those that were not chosen."""
        return {**self.disabled, **self.services}

    def platform_of(self, service: Service) -> str:
        """What a service's image runs on: its own word, or DOCKER_DEFAULT_PLATFORM of its environment; "" is any."""
        return service.platform or self.environment.get("DOCKER_DEFAULT_PLATFORM", "")

    def document(self) -> dict[str, object]:
        """The project as Compose's JSON has it."""
        # What is said by label files stands in the labels already.
        services = {key: replace(each, label_file=[]) for key, each in self.services.items()}
        shown: dict[str, object] = {"name": self.name, "services": to_builtins(services)}
        # Compose leaves the models out of its JSON, not out of its YAML.
        for section in ("networks", "volumes", "secrets", "configs"):
            if content := getattr(self, section):
                shown[section] = to_builtins(content)
        return shown | self.extensions.get("", {})
