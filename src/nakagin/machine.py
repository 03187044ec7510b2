"""Facts of this machine, read once at start, and the documents of `info` and `version` made from them."""

from __future__ import annotations

import os
import platform
import resource
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import nakagin
from nakagin.containers import cdi
from nakagin.containers.resources import HostLimits, parse_list
from nakagin.kernel import identity, labels
from nakagin.monitor.logfile import timestamp

if TYPE_CHECKING:
    from nakagin.cgroups.layout import Layout
    from nakagin.settings import Settings

API_VERSION = "1.56"
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
    has_apparmor: bool


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
        has_apparmor=labels.has_apparmor(),
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
    folders = settings.cdi_spec_dirs or cdi.FOLDERS
    devices, complaints = cdi.read(folders)
    pools = [{"Base": pool.base, "Size": pool.size} for pool in settings.default_address_pools]
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
            "Volume": ["local"], "Network": ["bridge", "host", "ipvlan", "macvlan", "null"], "Authorization": None,
            "Log": ["journald", "json-file", "local", "syslog"],
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
        "SystemTime": timestamp(time.time_ns()),
        "LoggingDriver": settings.log_driver,
        "CgroupDriver": _cgroup_driver(settings, cgroups),
        "CgroupVersion": "1" if version_one else "2",
        "NEventsListener": listeners,
        "KernelVersion": machine.system.release,
        "OperatingSystem": machine.distribution,
        "OSVersion": machine.distribution_version,
        "OSType": "linux",
        "Architecture": machine.system.machine,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": _registries(settings),
        "NCPU": len(machine.limits.cpus),
        "MemTotal": machine.limits.memory,
        "GenericResources": None,
        "DockerRootDir": settings.data_root,
        "HttpProxy": _without_secrets(settings.proxies.get("http-proxy", "")),
        "HttpsProxy": _without_secrets(settings.proxies.get("https-proxy", "")),
        "NoProxy": settings.proxies.get("no-proxy", ""),
        "Name": machine.system.nodename,
        "Labels": list(settings.labels),
        "ExperimentalBuild": settings.experimental,
        "ServerVersion": nakagin.__version__,
        "Runtimes": _runtimes(settings),
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
        "SecurityOptions": _security_options(machine, settings, cgroups),
        **({"DefaultAddressPools": pools} if pools else {}),
        "FirewallBackend": {"Driver": "nftables" if settings.iptables else "none"},
        "CDISpecDirs": list(folders),
        "DiscoveredDevices": [{"Source": "cdi", "ID": name} for name in sorted(devices)],
        "Warnings": [*_warnings(machine, cgroups), *(f"WARNING: {each}" for each in complaints)],
    }  # fmt: skip


def _cgroup_driver(settings: Settings, cgroups: Layout) -> str:
    if cgroups.mode == "none":
        return "none"
    return "systemd" if settings.systemd_cgroups else "cgroupfs"


def _runtimes(settings: Settings) -> dict[str, Any]:
    """The runtime inside under its own name and Docker's, and those of the administrator."""
    found: dict[str, Any] = {name: {"path": "nakagin-runtime"} for name in ("nakagin", "runc")}
    for name, each in settings.runtimes.items():
        found[name] = {"path": each.program}
        if each.runtime_args:
            found[name]["runtimeArgs"] = list(each.runtime_args)
    return found


def _security_options(machine: Machine, settings: Settings, cgroups: Layout) -> list[str]:
    options = ["name=apparmor"] if machine.has_apparmor else []
    options.append(f"name=seccomp,profile={settings.seccomp_profile or 'builtin'}")
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


def _registries(settings: Settings) -> dict[str, Any]:
    """What the flags say of registries (RegistryServiceConfig)."""
    mirrors = list(settings.registry_mirrors)
    networks = [word for word in settings.insecure_registries if "/" in word]
    hub = {"Name": "docker.io", "Mirrors": mirrors, "Secure": True, "Official": True}
    others = {
        word: {"Name": word, "Mirrors": [], "Secure": False, "Official": False}
        for word in settings.insecure_registries
        if "/" not in word
    }
    return {
        "IndexConfigs": {"docker.io": hub, **others},
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8", *networks],
        "Mirrors": mirrors or None,
    }


def _without_secrets(proxy: str) -> str:
    """A proxy's URL without the name and password in it."""
    scheme, separator, rest = proxy.rpartition("://")
    return f"{scheme}{separator}xxxxx:xxxxx@{rest.rpartition('@')[2]}" if "@" in rest else proxy


def resources(machine: Machine, settings: Settings) -> dict[str, Any]:
    """What there is, and what is in use, of all that containers use up.

    {"CPUs": count, "Busy": seconds of all processors since boot, "Load": processes that wanted one (the last minute's
    average), "Memory" | "Disk": {"Total", "Free"} in bytes, "Processes" | "Files" | "Inotify": {"Total", "Free"}
    counts, "Bandwidth": bits per second of the fastest link, 0 where no link knows its own, "OOMKills": processes that
    the kernel killed for memory since boot}.
    """
    memory = {name: int(text.split()[0]) * 1024 for name, text in _table("/proc/meminfo", ":")}
    disk = os.statvfs(settings.data_root)
    used, _, most = _words("/proc/sys/fs/file-nr")
    processes = len([name for name in os.listdir("/proc") if name.isdigit()])
    threads = int(_words("/proc/loadavg")[3].partition("/")[2])
    total = min(int(_words("/proc/sys/kernel/pid_max")[0]), int(_words("/proc/sys/kernel/threads-max")[0]))
    watchers = int(_words("/proc/sys/fs/inotify/max_user_instances")[0])
    return {
        "CPUs": len(machine.limits.cpus),
        "Busy": _busy(),
        "Load": float(_words("/proc/loadavg")[0]),
        "Memory": {"Total": memory["MemTotal"], "Free": memory.get("MemAvailable", memory["MemFree"])},
        "Disk": {"Total": disk.f_blocks * disk.f_frsize, "Free": disk.f_bavail * disk.f_frsize},
        "Processes": {"Total": total, "Free": total - max(processes, threads)},
        "Files": {"Total": int(most), "Free": int(most) - int(used)},
        "Inotify": {"Total": watchers, "Free": watchers},
        "Bandwidth": max((_speed(name) for name in os.listdir("/sys/class/net") if name != "lo"), default=0),
        "OOMKills": int(dict(_table("/proc/vmstat", " ")).get("oom_kill", 0)),
    }


def _busy() -> float:
    """Seconds that the processors worked, all together (proc_stat(5))."""
    fields = [int(word) for word in _words("/proc/stat")[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, _steal = fields
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _words(path: str) -> list[str]:
    with open(path, encoding="ascii") as file:
        return file.readline().split()


def _table(path: str, separator: str) -> list[tuple[str, str]]:
    with open(path, encoding="ascii") as file:
        return [(name, text) for name, _, text in (line.partition(separator) for line in file)]


def _speed(interface: str) -> int:
    """Bits per second of a device of the machine itself; bridges and pairs of ours do not count."""
    if not os.path.exists(f"/sys/class/net/{interface}/device"):
        return 0
    try:
        return max(int(_words(f"/sys/class/net/{interface}/speed")[0]), 0) * 10**6
    except (OSError, ValueError, IndexError):
        return 0
