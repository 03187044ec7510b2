"""The documents of the OCI runtime specification 1.3 as TypedDicts: config.json, state and features.

Keys are spelled as in the JSON. Code on the start path handles plain dicts and imports these names
only under TYPE_CHECKING. Source: the JSON schemas of github.com/opencontainers/runtime-spec.
"""

from __future__ import annotations

from typing import TypedDict

# --- process ---------------------------------------------------------------------------------------


class ConsoleSize(TypedDict):
    """The terminal's size in characters."""

    height: int
    width: int


class User(TypedDict, total=False):
    """Who the process is. `username` is Windows only; `umask` is a number, not an octal text."""

    uid: int
    gid: int
    umask: int
    additionalGids: list[int]
    username: str


class Capabilities(TypedDict, total=False):
    """The five sets of capabilities(7), by name ("CAP_CHOWN")."""

    bounding: list[str]
    permitted: list[str]
    effective: list[str]
    inheritable: list[str]
    ambient: list[str]


class Rlimit(TypedDict):
    """One limit of getrlimit(2): `type` is "RLIMIT_NOFILE" and so on."""

    type: str
    soft: int
    hard: int


IOPriority = TypedDict("IOPriority", {"class": str, "priority": int}, total=False)
IOPriority.__doc__ = "ioprio_set(2): `class` is IOPRIO_CLASS_RT, IOPRIO_CLASS_BE or IOPRIO_CLASS_IDLE."


class Scheduler(TypedDict, total=False):
    """sched_setattr(2); runtime, deadline and period in nanoseconds, for SCHED_DEADLINE only."""

    policy: str
    nice: int
    priority: int
    flags: list[str]
    runtime: int
    deadline: int
    period: int


class CPUAffinity(TypedDict, total=False):
    """CPU lists ("0-3,7") of an exec'd process before and after it moved into the container's cgroup."""

    initial: str
    final: str


class Process(TypedDict, total=False):
    """The user's program and what it may do."""

    args: list[str]
    commandLine: str
    consoleSize: ConsoleSize
    cwd: str
    env: list[str]
    terminal: bool
    user: User
    capabilities: Capabilities
    apparmorProfile: str
    selinuxLabel: str
    oomScoreAdj: int
    ioPriority: IOPriority
    noNewPrivileges: bool
    scheduler: Scheduler
    rlimits: list[Rlimit]
    execCPUAffinity: CPUAffinity


# --- root and mounts -------------------------------------------------------------------------------


class IDMapping(TypedDict):
    """`size` ids from `containerID` on inside are the ids from `hostID` on outside."""

    containerID: int
    hostID: int
    size: int


class Root(TypedDict, total=False):
    """The root filesystem; a relative `path` is relative to the bundle."""

    path: str
    readonly: bool


class Mount(TypedDict, total=False):
    """One mount, done in the listed order; `options` as of mount(8), and "tmpcopyup", "idmap", "rro"."""

    destination: str
    source: str
    type: str
    options: list[str]
    uidMappings: list[IDMapping]
    gidMappings: list[IDMapping]


# --- hooks -----------------------------------------------------------------------------------------


class Hook(TypedDict, total=False):
    """A program that gets the state as JSON on its standard input; `timeout` in seconds."""

    path: str
    args: list[str]
    env: list[str]
    timeout: int


class Hooks(TypedDict, total=False):
    """Hooks by the moment at which they run."""

    prestart: list[Hook]
    createRuntime: list[Hook]
    createContainer: list[Hook]
    startContainer: list[Hook]
    poststart: list[Hook]
    poststop: list[Hook]


# --- resources (cgroups) ---------------------------------------------------------------------------


class DeviceRule(TypedDict, total=False):
    """Access to device nodes: type "a", "b" or "c"; a missing number means all; access from "rwm"."""

    allow: bool
    type: str
    major: int
    minor: int
    access: str


class Memory(TypedDict, total=False):
    """Bytes; -1 is no limit. `swap` is memory and swap together, as cgroup v1 has it."""

    limit: int
    reservation: int
    swap: int
    kernel: int
    kernelTCP: int
    swappiness: int
    disableOOMKiller: bool
    useHierarchy: bool
    checkBeforeUpdate: bool


class CPU(TypedDict, total=False):
    """Times in microseconds; `shares` as cgroup v1 has them (1024 is the default weight)."""

    shares: int
    quota: int
    burst: int
    period: int
    realtimeRuntime: int
    realtimePeriod: int
    cpus: str
    mems: str
    idle: int


class Pids(TypedDict):
    """The greatest number of tasks; 0 or less is no limit."""

    limit: int


class WeightDevice(TypedDict, total=False):
    """The share of one block device."""

    major: int
    minor: int
    weight: int
    leafWeight: int


class ThrottleDevice(TypedDict, total=False):
    """Bytes or operations per second on one block device."""

    major: int
    minor: int
    rate: int


class BlockIO(TypedDict, total=False):
    """Shares (10-1000) and throttles of block devices."""

    weight: int
    leafWeight: int
    weightDevice: list[WeightDevice]
    throttleReadBpsDevice: list[ThrottleDevice]
    throttleWriteBpsDevice: list[ThrottleDevice]
    throttleReadIOPSDevice: list[ThrottleDevice]
    throttleWriteIOPSDevice: list[ThrottleDevice]


class HugepageLimit(TypedDict):
    """`limit` bytes of huge pages of `pageSize` ("2MB")."""

    pageSize: str
    limit: int


class InterfacePriority(TypedDict):
    """The priority of traffic on one interface (net_prio)."""

    name: str
    priority: int


class NetworkClass(TypedDict, total=False):
    """net_cls and net_prio of cgroup v1."""

    classID: int
    priorities: list[InterfacePriority]


class Rdma(TypedDict, total=False):
    """Limits of one RDMA device."""

    hcaHandles: int
    hcaObjects: int


class Resources(TypedDict, total=False):
    """What the container may use at most; `unified` are raw cgroup v2 files and win over the rest."""

    unified: dict[str, str]
    devices: list[DeviceRule]
    memory: Memory
    cpu: CPU
    pids: Pids
    blockIO: BlockIO
    hugepageLimits: list[HugepageLimit]
    network: NetworkClass
    rdma: dict[str, Rdma]


# --- seccomp ---------------------------------------------------------------------------------------


class SeccompArg(TypedDict, total=False):
    """A condition on one argument of a system call; `op` is SCMP_CMP_EQ and so on."""

    index: int
    value: int
    valueTwo: int
    op: str


class SeccompRule(TypedDict, total=False):
    """`action` for the calls named, when all `args` hold."""

    names: list[str]
    action: str
    errnoRet: int
    args: list[SeccompArg]


class Seccomp(TypedDict, total=False):
    """A filter of system calls; the listener's socket gets the fd for SCMP_ACT_NOTIFY."""

    defaultAction: str
    defaultErrnoRet: int
    flags: list[str]
    listenerPath: str
    listenerMetadata: str
    architectures: list[str]
    syscalls: list[SeccompRule]


# --- linux -----------------------------------------------------------------------------------------


class Namespace(TypedDict, total=False):
    """A namespace to make, or with `path` to join: mount pid network uts ipc user cgroup time."""

    type: str
    path: str


class Device(TypedDict, total=False):
    """A device node to make: type "c", "b", "u" or "p"; fileMode is a number, not an octal text."""

    type: str
    path: str
    fileMode: int
    major: int
    minor: int
    uid: int
    gid: int


class NetDevice(TypedDict, total=False):
    """The name inside of an interface that is moved from the host into the container."""

    name: str


class IntelRdt(TypedDict, total=False):
    """A resctrl group (cache and memory bandwidth)."""

    closID: str
    schemata: list[str]
    l3CacheSchema: str
    memBwSchema: str
    enableMonitoring: bool


class MemoryPolicy(TypedDict, total=False):
    """set_mempolicy(2): mode MPOL_BIND and so on, nodes "0-1"."""

    mode: str
    nodes: str
    flags: list[str]


class Personality(TypedDict, total=False):
    """personality(2): LINUX or LINUX32."""

    domain: str
    flags: list[str]


class TimeOffset(TypedDict, total=False):
    """An offset of one clock of time_namespaces(7)."""

    secs: int
    nanosecs: int


class TimeOffsets(TypedDict, total=False):
    """Offsets of the clocks that a time namespace can shift."""

    boottime: TimeOffset
    monotonic: TimeOffset


class Linux(TypedDict, total=False):
    """All that is particular to Linux."""

    devices: list[Device]
    netDevices: dict[str, NetDevice]
    uidMappings: list[IDMapping]
    gidMappings: list[IDMapping]
    namespaces: list[Namespace]
    resources: Resources
    cgroupsPath: str
    rootfsPropagation: str
    seccomp: Seccomp
    sysctl: dict[str, str]
    maskedPaths: list[str]
    readonlyPaths: list[str]
    mountLabel: str
    intelRdt: IntelRdt
    memoryPolicy: MemoryPolicy
    personality: Personality
    timeOffsets: TimeOffsets


class Config(TypedDict, total=False):
    """config.json."""

    ociVersion: str
    hostname: str
    domainname: str
    root: Root
    process: Process
    mounts: list[Mount]
    hooks: Hooks
    annotations: dict[str, str]
    linux: Linux


# --- what a runtime says ---------------------------------------------------------------------------


class State(TypedDict, total=False):
    """The state of a container: status creating, created, running, paused (ours and runc's) or stopped."""

    ociVersion: str
    id: str
    status: str
    pid: int
    bundle: str
    annotations: dict[str, str]


class ContainerProcessState(TypedDict, total=False):
    """What a seccomp listener is told; `fds` names the descriptors that come with it."""

    ociVersion: str
    fds: list[str]
    pid: int
    metadata: str
    state: State


class CgroupFeatures(TypedDict, total=False):
    """Which cgroup versions and drivers a runtime can use."""

    v1: bool
    v2: bool
    systemd: bool
    systemdUser: bool
    rdma: bool


class SeccompFeatures(TypedDict, total=False):
    """Which parts of seccomp a runtime knows, and which flags this kernel takes."""

    enabled: bool
    actions: list[str]
    operators: list[str]
    archs: list[str]
    knownFlags: list[str]
    supportedFlags: list[str]


class Switch(TypedDict, total=False):
    """A feature that is there or is not."""

    enabled: bool


class MountExtensions(TypedDict, total=False):
    """Abilities of mounts beyond mount(8)'s options."""

    idmap: Switch


class LinuxFeatures(TypedDict, total=False):
    """The Linux half of the features document."""

    namespaces: list[str]
    capabilities: list[str]
    cgroup: CgroupFeatures
    seccomp: SeccompFeatures
    apparmor: Switch
    selinux: Switch
    intelRdt: Switch
    mountExtensions: MountExtensions
    netDevices: Switch


class Features(TypedDict, total=False):
    """What a runtime can do; printed by `nakagin-runtime features`."""

    ociVersionMin: str
    ociVersionMax: str
    hooks: list[str]
    mountOptions: list[str]
    annotations: dict[str, str]
    potentiallyUnsafeConfigAnnotations: list[str]
    linux: LinuxFeatures
