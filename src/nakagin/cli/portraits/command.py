"""A create request -> the words of `run` that make it."""

from __future__ import annotations

import shlex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Document = dict[str, Any]

# HostConfig key -> flag, for what is said by one word, a number, a switch or a list.
_WORDS = {
    "NetworkMode": "network", "IpcMode": "ipc", "PidMode": "pid", "UTSMode": "uts", "UsernsMode": "userns",
    "CgroupnsMode": "cgroupns", "CgroupParent": "cgroup-parent", "CpusetCpus": "cpuset-cpus",
    "CpusetMems": "cpuset-mems", "VolumeDriver": "volume-driver", "Runtime": "runtime", "Isolation": "isolation",
    "CpuShares": "cpu-shares", "CpuPeriod": "cpu-period", "CpuQuota": "cpu-quota", "Memory": "memory",
    "MemoryReservation": "memory-reservation", "MemorySwap": "memory-swap", "MemorySwappiness": "memory-swappiness",
    "PidsLimit": "pids-limit", "ShmSize": "shm-size", "OomScoreAdj": "oom-score-adj", "BlkioWeight": "blkio-weight",
}  # fmt: skip
_SWITCHES = {
    "Privileged": "privileged", "ReadonlyRootfs": "read-only", "Init": "init", "AutoRemove": "rm",
    "PublishAllPorts": "publish-all", "OomKillDisable": "oom-kill-disable",
}  # fmt: skip
_LISTS = {
    "Binds": "volume", "CapAdd": "cap-add", "CapDrop": "cap-drop", "Dns": "dns", "DnsOptions": "dns-option",
    "DnsSearch": "dns-search", "ExtraHosts": "add-host", "GroupAdd": "group-add", "Links": "link",
    "SecurityOpt": "security-opt", "DeviceCgroupRules": "device-cgroup-rule",
}  # fmt: skip
_PAIRS = {"Sysctls": "sysctl", "StorageOpt": "storage-opt", "Annotations": "annotation"}


def words(name: str, body: Document) -> tuple[list[str], list[str]]:
    """(the arguments of `run`, what of the request they cannot say)."""
    host = dict(body["HostConfig"])
    found = ["--detach", f"--name={name}"]
    found += _config(body)
    for key, flag in _WORDS.items():
        if key in host:
            found.append(f"--{flag}={host.pop(key)}")
    found += [f"--{flag}" for key, flag in _SWITCHES.items() if host.pop(key, False)]
    for key, flag in _LISTS.items():
        found += [f"--{flag}={each}" for each in host.pop(key, ())]
    for key, flag in _PAIRS.items():
        found += [f"--{flag}={word}={value}" for word, value in host.pop(key, {}).items()]
    for key, say in _SPECIAL.items():
        if key in host:
            found += say(host.pop(key))
    found += _endpoints(body, host)
    entrypoint = body.get("Entrypoint") or []
    if "Entrypoint" in body:
        found.append(f"--entrypoint={entrypoint[0] if entrypoint else ''}")
    return [*found, body["Image"], *entrypoint[1:], *(body.get("Cmd") or [])], sorted(host)


def command_line(name: str, body: Document) -> str:
    """The whole command, one flag a line, and a comment for what it cannot say."""
    said, unsaid = words(name, body)
    at = next(number for number, word in enumerate(said) if not word.startswith("--"))
    lines = ["nakagin run", *(f"  {shlex.quote(word)}" for word in said[:at]), f"  {shlex.join(said[at:])}"]
    comments = [f"# not to be said here: {key}" for key in unsaid]
    return "\n".join([*comments, " \\\n".join(lines)])


def _config(body: Document) -> list[str]:
    found = []
    for key, flag in (
        ("Hostname", "hostname"), ("Domainname", "domainname"), ("User", "user"), ("WorkingDir", "workdir"),
        ("StopSignal", "stop-signal"), ("StopTimeout", "stop-timeout"),
    ):  # fmt: skip
        if key in body:
            found.append(f"--{flag}={body[key]}")
    found += ["--tty"] if body.get("Tty") else []
    found += ["--interactive"] if body.get("OpenStdin") else []
    found += [f"--env={each}" for each in body.get("Env", ())]
    found += [f"--label={key}={value}" for key, value in body.get("Labels", {}).items()]
    bound = body["HostConfig"].get("PortBindings", {})
    found += [f"--expose={port}" for port in body.get("ExposedPorts", {}) if port not in bound]
    found += [f"--volume={path}" for path in body.get("Volumes", {})]
    return found + _health(body.get("Healthcheck"))


def _health(check: Document | None) -> list[str]:
    if not check:
        return []
    test = check.get("Test") or []
    if test[:1] == ["NONE"]:
        return ["--no-healthcheck"]
    found = [f"--health-cmd={test[1] if test[0] == 'CMD-SHELL' else shlex.join(test[1:])}"] if test else []
    for key, flag in (
        ("Interval", "interval"), ("Timeout", "timeout"), ("StartPeriod", "start-period"),
        ("StartInterval", "start-interval"),
    ):  # fmt: skip
        if check.get(key):
            found.append(f"--health-{flag}={check[key]}ns")
    return [*found, f"--health-retries={check['Retries']}"] if check.get("Retries") else found


def _published(bindings: Document) -> list[str]:
    found = []
    for port, several in bindings.items():
        for each in several or [{}]:
            address, number = each.get("HostIp", ""), each.get("HostPort", "")
            address = f"[{address}]" if ":" in address else address
            place = f"{address}:{number}:" if address else f"{number}:" if number else ""
            found.append(f"--publish={place}{port}")
    return found


def _mount(mounts: list[Document]) -> list[str]:
    found = []
    for each in mounts:
        fields = [f"type={each['Type']}"]
        fields += [f"source={each['Source']}"] if each.get("Source") else []
        fields += [f"target={each['Target']}"] + (["readonly"] if each.get("ReadOnly") else [])
        for kind, names in _MOUNT_OPTIONS.items():
            options = each.get(kind) or {}
            fields += [f"{flag}={_plain(options[key])}" for key, flag in names.items() if options.get(key)]
        volume = each.get("VolumeOptions") or {}
        fields += [f"volume-label={key}={value}" for key, value in (volume.get("Labels") or {}).items()]
        driver = volume.get("DriverConfig") or {}
        fields += [f"volume-driver={driver['Name']}"] if driver.get("Name") else []
        fields += [f"volume-opt={key}={value}" for key, value in (driver.get("Options") or {}).items()]
        if mode := (each.get("TmpfsOptions") or {}).get("Mode"):
            fields.append(f"tmpfs-mode={mode:o}")
        found.append("--mount=" + ",".join(f'"{field}"' if "," in field else field for field in fields))
    return found


_MOUNT_OPTIONS = {
    "BindOptions": {"Propagation": "bind-propagation", "NonRecursive": "bind-nonrecursive"},
    "VolumeOptions": {"NoCopy": "volume-nocopy", "Subpath": "volume-subpath"},
    "TmpfsOptions": {"SizeBytes": "tmpfs-size"},
    "ImageOptions": {"Subpath": "image-subpath"},
}


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _restart(policy: Document) -> list[str]:
    count = policy.get("MaximumRetryCount")
    return [f"--restart={policy['Name']}{f':{count}' if count else ''}"]


def _log(config: Document) -> list[str]:
    options = (config.get("Config") or {}).items()
    return [f"--log-driver={config['Type']}", *(f"--log-opt={key}={value}" for key, value in options)]


def _endpoints(body: Document, host: Document) -> list[str]:
    """The network that the mode does not name, and what is said of the first one."""
    found = []
    mode = body["HostConfig"].get("NetworkMode", "")
    for name, wanted in body.get("NetworkingConfig", {}).get("EndpointsConfig", {}).items():
        address = wanted.get("IPAMConfig") or {}
        fields = [f"alias={each}" for each in wanted.get("Aliases", ())]
        fields += [f"ip={address['IPv4Address']}"] if address.get("IPv4Address") else []
        fields += [f"ip6={address['IPv6Address']}"] if address.get("IPv6Address") else []
        if name == mode and not fields:
            continue
        if name == mode:
            host.pop("NetworkMode", None)
            found += [f"--network-alias={each}" for each in wanted.get("Aliases", ())]
            found += [f"--ip={address['IPv4Address']}"] if address.get("IPv4Address") else []
            found += [f"--ip6={address['IPv6Address']}"] if address.get("IPv6Address") else []
        else:
            found.append("--network=" + ",".join([f"name={name}", *fields]))
    return found


_SPECIAL: dict[str, Callable[[Any], list[str]]] = {
    "PortBindings": _published,
    "Mounts": _mount,
    "RestartPolicy": _restart,
    "LogConfig": _log,
    "NanoCpus": lambda count: [f"--cpus={count / 1e9:g}"],
    "Tmpfs": lambda found: [f"--tmpfs={path}{f':{words}' if words else ''}" for path, words in found.items()],
    "Ulimits": lambda found: [f"--ulimit={each['Name']}={each['Soft']}:{each['Hard']}" for each in found],
    "Devices": lambda found: [
        f"--device={each['PathOnHost']}:{each['PathInContainer']}:{each['CgroupPermissions']}"
        for each in found
    ],
}
