"""The flags of `run` and `create` (and the limits that `update` shares with them), as tables."""

from __future__ import annotations

from nakagin.cli.flags import Flag
from nakagin.cli.request import addresses, devices, endpoints, mounts
from nakagin.cli.request.environment import check_variable

_SYSCTLS = frozenset(
    [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ]
)


def _attach(text: str) -> str:
    stream = text.lower()
    if stream not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return stream


def _sysctl(text: str) -> str:
    name = text.partition("=")[0]
    if "=" not in text or not (name in _SYSCTLS or name.startswith(("net.", "fs.mqueue."))):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return text


LIMITS = (
    Flag("blkio-weight", "", "uint16", "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
    Flag("cpu-period", "", "int", "Limit CPU CFS (Completely Fair Scheduler) period"),
    Flag("cpu-quota", "", "int", "Limit CPU CFS (Completely Fair Scheduler) quota"),
    Flag("cpu-rt-period", "", "int", "Limit CPU real-time period in microseconds"),
    Flag("cpu-rt-runtime", "", "int", "Limit CPU real-time runtime in microseconds"),
    Flag("cpu-shares", "c", "int", "CPU shares (relative weight)"),
    Flag("cpus", "", "decimal", "Number of CPUs"),
    Flag("cpuset-cpus", "", "string", "CPUs in which to allow execution (0-3, 0,1)"),
    Flag("cpuset-mems", "", "string", "MEMs in which to allow execution (0-3, 0,1)"),
    Flag(
        "kernel-memory", "", "bytes", "Kernel memory limit (no kernel since 5.4 has it; ignored)", hidden=True
    ),
    Flag("memory", "m", "bytes", "Memory limit"),
    Flag("memory-reservation", "", "bytes", "Memory soft limit"),
    Flag("memory-swap", "", "swap", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap"),
    Flag("pids-limit", "", "int", "Tune container pids limit (set -1 for unlimited)"),
)

_EXECUTION = (
    Flag("annotation", "", "map", "Add an annotation to the container (passed through to the OCI runtime)"),
    Flag("attach", "a", "list", "Attach to STDIN, STDOUT or STDERR", check=_attach),
    Flag("cidfile", "", "string", "Write the container ID to the file"),
    Flag("entrypoint", "", "string", "Overwrite the default ENTRYPOINT of the image"),
    Flag("env", "e", "list", "Set environment variables", check=check_variable),
    Flag("env-file", "", "list", "Read in a file of environment variables"),
    Flag("group-add", "", "list", "Add additional groups to join"),
    Flag("hostname", "h", "string", "Container host name"),
    Flag("domainname", "", "string", "Container NIS domain name"),
    Flag("init", "", "bool", "Run an init inside the container that forwards signals and reaps processes"),
    Flag("interactive", "i", "bool", "Keep STDIN open even if not attached"),
    Flag("label", "l", "list", "Set meta data on a container"),
    Flag("label-file", "", "list", "Read in a line delimited file of labels"),
    Flag("name", "", "string", "Assign a name to the container"),
    Flag("platform", "", "string", "Set platform if server is multi-platform capable"),
    Flag("quiet", "q", "bool", "Suppress the pull output"),
    Flag("read-only", "", "bool", "Mount the container's root filesystem as read only"),
    Flag(
        "restart",
        "",
        "string",
        "Restart policy to apply when a container exits, or is unhealthy (on-unhealthy[:n])",
        "no",
    ),
    Flag("rm", "", "bool", "Remove the container and its anonymous volumes when it exits"),
    Flag("rootfs", "", "string", "Run on a folder of this machine instead of an image: DIR or DIR:overlay"),
    Flag("runtime", "", "string", "Runtime to use for this container"),
    Flag("stop-signal", "", "string", "Signal to stop the container"),
    Flag("stop-timeout", "", "int", "Timeout (in seconds) to stop a container"),
    Flag("tty", "t", "bool", "Allocate a pseudo-TTY"),
    Flag(
        "secret",
        "",
        "list",
        "A secret in /run/secrets: id=NAME,src=FILE|env=VAR[,target=PATH|type=env][,mode=0400]",
    ),
    Flag("tz", "", "string", "Time zone inside the container: local, or a name such as Europe/Vienna"),
    Flag("user", "u", "string", "Username or UID (format: <name|uid>[:<group|gid>])"),
    Flag("workdir", "w", "string", "Working directory inside the container"),
    Flag("disable-content-trust", "", "bool", "Skip image verification", True),
)

_ISOLATION = (
    Flag("cap-add", "", "list", "Add Linux capabilities"),
    Flag("cap-drop", "", "list", "Drop Linux capabilities"),
    Flag("cgroup-parent", "", "string", "Parent cgroup for the container"),
    Flag(
        "cgroupns", "", "string", "Cgroup namespace to use (host|private); empty: as the engine is configured"
    ),
    Flag("ipc", "", "string", "IPC mode to use"),
    Flag("isolation", "", "string", "Container isolation technology"),
    Flag("pid", "", "string", "PID namespace to use"),
    Flag("privileged", "", "bool", "Give extended privileges to this container"),
    Flag("security-opt", "", "list", "Security options"),
    Flag("sysctl", "", "map", "Sysctl options", check=_sysctl),
    Flag("use-api-socket", "", "bool", "Bind mount the engine's API socket and the registries' credentials"),
    Flag("userns", "", "string", "User namespace to use"),
    Flag("uts", "", "string", "UTS namespace to use"),
)

_NETWORK = (
    Flag("add-host", "", "list", "Add a custom host-to-IP mapping (host:ip)", check=addresses.extra_host),
    Flag("dns", "", "list", "Set custom DNS servers", check=addresses.check_ip),
    Flag("dns-opt", "", "list", "", same_as="dns-option"),
    Flag("dns-option", "", "list", "Set DNS options"),
    Flag("dns-search", "", "list", "Set custom DNS search domains", check=addresses.dns_search),
    Flag("expose", "", "list", "Expose a port or a range of ports"),
    Flag("ip", "", "string", "IPv4 address (e.g., 172.30.100.104)"),
    Flag("ip6", "", "string", "IPv6 address (e.g., 2001:db8::33)"),
    Flag("link", "", "list", "Add link to another container", check=addresses.link),
    Flag("link-local-ip", "", "list", "Container IPv4/IPv6 link-local addresses"),
    Flag("mac-address", "", "string", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    Flag("net", "", "network", "", same_as="network", check=endpoints.network),
    Flag("net-alias", "", "list", "", same_as="network-alias"),
    Flag("network", "", "network", "Connect a container to a network", check=endpoints.network),
    Flag("network-alias", "", "list", "Add network-scoped alias for the container"),
    Flag("publish", "p", "list", "Publish a container's port(s) to the host"),
    Flag("publish-all", "P", "bool", "Publish all exposed ports to random ports"),
)

_STORAGE = (
    Flag("log-driver", "", "string", "Logging driver for the container"),
    Flag("log-opt", "", "list", "Log driver options"),
    Flag("mount", "", "mount", "Attach a filesystem mount to the container", check=mounts.mount),
    Flag("storage-opt", "", "list", "Storage driver options for the container"),
    Flag("tmpfs", "", "list", "Mount a tmpfs directory"),
    Flag("volume", "v", "list", "Bind mount a volume"),
    Flag("volume-driver", "", "string", "Volume driver for the container"),
    Flag("volumes-from", "", "list", "Mount volumes from the specified container(s)"),
)

_HEALTH = (
    Flag("health-cmd", "", "string", "Command to run to check health"),
    Flag("health-interval", "", "duration", "Time between running the check (ms|s|m|h) (default 0s)"),
    Flag("health-retries", "", "int", "Consecutive failures needed to report unhealthy"),
    Flag("health-start-interval", "", "duration", "Time between checks during the start period (ms|s|m|h)"),
    Flag(
        "health-start-period",
        "",
        "duration",
        "Time for the container to start before failures count (ms|s|m|h)",
    ),
    Flag("health-timeout", "", "duration", "Maximum time to allow one check to run (ms|s|m|h)"),
    Flag("no-healthcheck", "", "bool", "Disable any container-specified HEALTHCHECK"),
)

_DEVICES = (
    Flag(
        "blkio-weight-device",
        "",
        "list",
        "Block IO weight (relative device weight)",
        check=devices.weight_device,
    ),
    Flag("device", "", "list", "Add a host device to the container"),
    Flag(
        "device-cgroup-rule",
        "",
        "list",
        "Add a rule to the cgroup allowed devices list",
        check=devices.cgroup_rule,
    ),
    Flag(
        "device-read-bps",
        "",
        "list",
        "Limit read rate (bytes per second) from a device",
        check=devices.rate_bytes,
    ),
    Flag(
        "device-read-iops",
        "",
        "list",
        "Limit read rate (IO per second) from a device",
        check=devices.rate_operations,
    ),
    Flag(
        "device-write-bps",
        "",
        "list",
        "Limit write rate (bytes per second) to a device",
        check=devices.rate_bytes,
    ),
    Flag(
        "device-write-iops",
        "",
        "list",
        "Limit write rate (IO per second) to a device",
        check=devices.rate_operations,
    ),
    Flag(
        "gpus",
        "",
        "gpu-request",
        "GPU devices to add to the container ('all' to pass all GPUs)",
        check=devices.gpus,
    ),
    Flag("memory-swappiness", "", "int", "Tune container memory swappiness (0 to 100)", -1),
    Flag("oom-kill-disable", "", "bool", "Disable OOM Killer"),
    Flag("oom-score-adj", "", "int", "Tune host's OOM preferences (-1000 to 1000)"),
    Flag("shm-size", "", "bytes", "Size of /dev/shm"),
    Flag("ulimit", "", "ulimit", "Ulimit options", check=devices.ulimit),
    Flag("cpu-count", "", "int", "CPU count (Windows only)", hidden=True),
    Flag("cpu-percent", "", "int", "CPU percent (Windows only)", hidden=True),
    Flag(
        "io-maxbandwidth",
        "",
        "bytes",
        "Maximum IO bandwidth limit for the system drive (Windows only)",
        hidden=True,
    ),
    Flag("io-maxiops", "", "uint", "Maximum IOps limit for the system drive (Windows only)", hidden=True),
)

CREATE_FLAGS = (
    *_EXECUTION, *LIMITS, *_ISOLATION, *_NETWORK, *_STORAGE, *_HEALTH, *_DEVICES,
    Flag("pull", "", "string", 'Pull image before creating ("always", "missing", "never")', "missing"),
)  # fmt: skip

RUN_FLAGS = (
    *CREATE_FLAGS,
    Flag("detach", "d", "bool", "Run container in background and print container ID"),
    Flag("detach-keys", "", "string", "Override the key sequence for detaching a container"),
    Flag("sig-proxy", "", "bool", "Proxy received signals to the process", True),
)
