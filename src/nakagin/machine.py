"""Facts of this machine, read once at start, and the documents of `info` and `version` made from them."""

from __future__ import annotations

import os
import platform
import resource
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import nakagin
from nakagin.containers.resources import HostLimits, parse_list
from nakagin.kernel import identity

if TYPE_CHECKING:
    from nakagin.cgroups.layout import Layout
    from nakagin.settings import Settings

API_VERSION = "1.50"
OLDEST_API_VERSION = "1.24"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Machine(NamedTuple):
    """What does not change while the engine runs. `capabilities` are those that this process may hand on."""

    system: os.uname_result
    distribution: str
    distribution_version: str
    limits: HostLimits
    capabilities: frozenset[str]
    known_capabilities: frozenset[str]
    most_files: int


def look() -> Machine:
    """Read them."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    held = identity.own_capabilities().permitted & identity.bounding_mask()
    return Machine(
        system=os.uname(),
        distribution=release.get("PRETTY_NAME", "Linux"),
        distribution_version=release.get("VERSION_ID", ""),
        limits=HostLimits(
            _list("cpu"), _list("node"), os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        ),
        capabilities=frozenset(identity.capability_names(held)),
        known_capabilities=frozenset(identity.capability_names(identity.all_capabilities())),
        most_files=_most_files(bool(held & identity.capability_mask(["CAP_SYS_RESOURCE"])[0])),
    )


def _most_files(may_raise: bool) -> int:
    """The highest nofile limit that a container can get: the kernel's, or our own without CAP_SYS_RESOURCE."""
    if not may_raise:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with open("/proc/sys/fs/nr_open", encoding="ascii") as file:
        return int(file.read())


def _list(what: str) -> frozenset[int]:
    try:
        with open(f"/sys/devices/system/{what}/online", encoding="ascii") as file:
            return frozenset(parse_list(file.read().strip()))
    except (OSError, ValueError):
        return frozenset(range(os.cpu_count() or 1)) if what == "cpu" else frozenset({0})


def version(machine: Machine) -> dict[str, Any]:
    """The document of GET /version."""
    architecture = _ARCHITECTURES.get(machine.system.machine, machine.system.machine)
    common = {
        "Version": nakagin.__version__,
        "ApiVersion": API_VERSION,
        "MinAPIVersion": OLDEST_API_VERSION,
        "GitCommit": "",
        "GoVersion": f"python{platform.python_version()}",
        "Os": "linux",
        "Arch": architecture,
        "KernelVersion": machine.system.release,
        "BuildTime": "",
    }
    details = {name: value for name, value in common.items() if name != "Version"} | {"Experimental": "false"}
    return {
        "Platform": {"Name": "Nakagin"},
        "Components": [{"Name": "Engine", "Version": nakagin.__version__, "Details": details}],
        **common,
    }


def info(
    machine: Machine,
    settings: Settings,
    cgroups: Layout,
    *,
    id: str,
    containers: dict[str, int],
    images: int,
    listeners: int,
) -> dict[str, Any]:
    """The document of GET /info."""
    memory = "memory" in cgroups.controllers
    cpu = "cpu" in cgroups.controllers
    version_one = cgroups.mode in {"v1", "hybrid"}
    paused, running = containers.get("paused", 0), containers.get("running", 0)
    return {
        "ID": id,
        "Containers": sum(containers.values()),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": sum(containers.values()) - running - paused,
        "Images": images,
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", _filesystem(settings.data_root)], ["Supports d_type", "true"]],
        "Plugins": {
            "Volume": ["local"], "Network": ["bridge", "host", "null"], "Authorization": None,
            "Log": ["json-file", "local"],
        },
        "MemoryLimit": memory,
        "SwapLimit": memory,
        "CpuCfsPeriod": cpu,
        "CpuCfsQuota": cpu,
        "CPUShares": cpu,
        "CPUSet": "cpuset" in cgroups.controllers,
        "PidsLimit": "pids" in cgroups.controllers,
        "IPv4Forwarding": _reads("/proc/sys/net/ipv4/ip_forward", "1"),
        "Debug": settings.debug,
        "NFd": len(os.listdir("/proc/self/fd")),
        "OomKillDisable": memory and version_one,
        "NGoroutines": 0,
        "SystemTime": time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime()),
        "LoggingDriver": settings.log_driver,
        "CgroupDriver": "none" if cgroups.mode == "none" else "cgroupfs",
        "CgroupVersion": "1" if version_one else "2",
        "NEventsListener": listeners,
        "KernelVersion": machine.system.release,
        "OperatingSystem": machine.distribution,
        "OSVersion": machine.distribution_version,
        "OSType": "linux",
        "Architecture": machine.system.machine,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "IndexConfigs": {}, "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"], "Mirrors": None,
        },
        "NCPU": len(machine.limits.cpus),
        "MemTotal": machine.limits.memory,
        "GenericResources": None,
        "DockerRootDir": settings.data_root,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": machine.system.nodename,
        "Labels": list(settings.labels),
        "ExperimentalBuild": settings.experimental,
        "ServerVersion": nakagin.__version__,
        "Runtimes": {"nakagin": {"path": "nakagin-runtime"}, "runc": {"path": "nakagin-runtime"}},
        "DefaultRuntime": settings.default_runtime,
        "Swarm": {
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False, "Error": "",
            "RemoteManagers": None,
        },
        "LiveRestoreEnabled": settings.live_restore,
        "Isolation": "",
        "InitBinary": "docker-init",
        "ContainerdCommit": {"ID": ""},
        "RuncCommit": {"ID": nakagin.__version__},
        "InitCommit": {"ID": ""},
        "SecurityOptions": _security_options(settings, cgroups),
        "CDISpecDirs": [],
        "Warnings": _warnings(machine, cgroups),
    }  # fmt: skip


def _security_options(settings: Settings, cgroups: Layout) -> list[str]:
    options = [f"name=seccomp,profile={settings.seccomp_profile or 'builtin'}"]
    if cgroups.mode == "v2":
        options.append("name=cgroupns")
    if settings.no_new_privileges:
        options.append("name=no-new-privileges")
    return options


def _warnings(machine: Machine, cgroups: Layout) -> list[str]:
    warnings = []
    if cgroups.mode == "none":
        return ["WARNING: No cgroups within reach: containers are not limited"]
    for controller, words in (("memory", "memory limit"), ("cpu", "cpu cfs quota"), ("pids", "pids limit")):
        if controller not in cgroups.controllers:
            warnings.append(f"WARNING: No {words} support")
    if "CAP_SYS_RESOURCE" not in machine.capabilities:
        warnings.append("WARNING: No CAP_SYS_RESOURCE: limits above the engine's own are clamped")
    return warnings


def _reads(path: str, wanted: str) -> bool:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip() == wanted
    except OSError:
        return False


def _filesystem(path: str) -> str:
    """The type of the filesystem that `path` lies on, by the longest mount point above it (proc_pid_mountinfo(5))."""
    real, best, found = os.path.realpath(path), "", "unknown"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split()
            point = fields[4]
            if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
                best, found = point, fields[fields.index("-") + 1]
    return found
