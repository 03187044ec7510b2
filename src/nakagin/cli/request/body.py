"""Flags of `run` and `create` → the body of POST /containers/create, field by field as docker's CLI 28 sends it.

Pure but for the files that flags name. `tests/cli/test_request_body.py` compares it with the real docker.
"""

from __future__ import annotations

import os

from nakagin.cli.request import mounts, ports
from nakagin.cli.request.addresses import check_mac
from nakagin.cli.request.devices import devices
from nakagin.cli.request.endpoints import endpoints
from nakagin.cli.request.environment import environment, labels, mapping
from nakagin.cli.request.secrets import parse_secret
from nakagin.cli.request.security import capabilities, security_options
from nakagin.client.requests import nakagin_extension
from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from nakagin.cli.flags import Options

    Document = dict[str, Any]


def create_body(options: Options, image: str, command: list[str], inherited: Mapping[str, str]) -> Document:
    """The whole request; Invalid names the flag that is wrong or the two that conflict."""
    _check(options)
    bindings = ports.published(options.many("publish"))
    binds, anonymous = mounts.volumes(options.many("volume"))
    network_mode, endpoint_configs = endpoints(options)
    host = {
        **_host(options, network_mode),
        **_resources(options),
        "Binds": binds or None,
        "PortBindings": bindings,
        "Mounts": options.values("mount"),
        "Tmpfs": mounts.tmpfs(options.many("tmpfs")),
    }
    body = _config(options, image, command, inherited)
    body["Volumes"] = anonymous
    body["ExposedPorts"] = ports.exposed(options.many("expose"), bindings)
    _leave_out_empty(body, "ExposedPorts")
    _leave_out_empty(host, "Mounts", "Tmpfs", "StorageOpt", "Sysctls", "Annotations", "Runtime")
    body["HostConfig"] = host
    body["NetworkingConfig"] = {"EndpointsConfig": endpoint_configs}
    if extension := nakagin_extension(
        _rootfs(options.text("rootfs")),
        options.text("tz"),
        [parse_secret(each) for each in options.many("secret")],
    ):
        body["Nakagin"] = extension
    return body


def _leave_out_empty(document: Document, *keys: str) -> None:
    for key in keys:
        if not document[key]:
            del document[key]


def _check(options: Options) -> None:
    """What one flag alone cannot tell."""
    swappiness = options.number("memory-swappiness")
    if not -1 <= swappiness <= 100:
        raise Invalid(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")
    if options.text("mac-address"):
        try:
            check_mac(options.text("mac-address"))
        except ValueError as error:
            raise Invalid(str(error)) from None
    for flag in ("pid", "uts", "userns", "cgroupns"):
        if not _namespace_mode(flag, options.text(flag)):
            raise Invalid(f"--{flag}: invalid {_MODE_NAMES[flag]} mode")
    if options.on("rm") and options.text("restart") not in ("", "no"):
        raise Invalid("conflicting options: cannot specify both --restart and --rm")


_MODE_NAMES = {"pid": "PID", "uts": "UTS", "userns": "USER", "cgroupns": "CGROUP"}


def _namespace_mode(flag: str, mode: str) -> bool:
    if flag == "cgroupns":
        return mode in ("", "host", "private")
    if flag == "pid" and mode.startswith("container:"):
        return mode != "container:"
    return mode in ("", "host")


def _config(options: Options, image: str, command: list[str], inherited: Mapping[str, str]) -> Document:
    streams = options.many("attach")
    stdin = options.on("interactive") or "stdin" in streams
    entrypoint = [options.text("entrypoint")] if options.given("entrypoint") else None
    body: Document = {
        "Hostname": options.text("hostname"),
        "Domainname": options.text("domainname"),
        "User": options.text("user"),
        "AttachStdin": stdin,
        "AttachStdout": not streams or "stdout" in streams,
        "AttachStderr": not streams or "stderr" in streams,
        "Tty": options.on("tty"),
        "OpenStdin": options.on("interactive"),
        "StdinOnce": options.on("interactive") and stdin,
        "Env": environment(options.many("env-file"), options.many("env"), inherited) or None,
        "Cmd": command or None,
        "Image": image,
        "WorkingDir": options.text("workdir"),
        "Entrypoint": entrypoint,
        "OnBuild": None,
        "Labels": labels(options.many("label-file"), options.many("label")),
    }
    if health := _health(options):
        body["Healthcheck"] = health
    if options.given("stop-signal"):
        body["StopSignal"] = options.text("stop-signal")
    if options.given("stop-timeout"):
        body["StopTimeout"] = options.number("stop-timeout")
    return body


def _health(options: Options) -> Document | None:
    durations = ("health-interval", "health-timeout", "health-start-period", "health-start-interval")
    numbers = {flag: options.number(flag) for flag in (*durations, "health-retries")}
    command = options.text("health-cmd")
    if options.on("no-healthcheck"):
        if command or any(numbers.values()):
            raise Invalid("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    for flag, number in numbers.items():
        if number < 0:
            raise Invalid(f"--{flag} cannot be negative")
    if not command and not any(numbers.values()):
        return None
    keys = {
        "Interval": "health-interval",
        "Timeout": "health-timeout",
        "StartPeriod": "health-start-period",
        "StartInterval": "health-start-interval",
        "Retries": "health-retries",
    }
    check: Document = {"Test": ["CMD-SHELL", command]} if command else {}
    check.update({key: numbers[flag] for key, flag in keys.items() if numbers[flag]})
    return check


def _host(options: Options, network_mode: str) -> Document:
    security, unconfined_paths = security_options(options.many("security-opt"))
    added, dropped = capabilities(options.many("cap-add"), options.many("cap-drop"))
    driver, log_options = options.text("log-driver"), mapping(options.many("log-opt"))
    if driver == "none" and log_options:
        raise Invalid("invalid logging opts for driver none")
    host: Document = {
        "ContainerIDFile": options.text("cidfile"),
        "LogConfig": {"Type": driver, "Config": log_options},
        "NetworkMode": network_mode,
        "RestartPolicy": restart_policy(options.text("restart")),
        "AutoRemove": options.on("rm"),
        "VolumeDriver": options.text("volume-driver"),
        "VolumesFrom": options.many("volumes-from") or None,
        "ConsoleSize": [0, 0],
        "Annotations": mapping(options.many("annotation")),
        "CapAdd": added,
        "CapDrop": dropped,
        "CgroupnsMode": options.text("cgroupns"),
        "Dns": options.many("dns"),
        "DnsOptions": options.many("dns-option"),
        "DnsSearch": options.many("dns-search"),
        "ExtraHosts": options.many("add-host") or None,
        "GroupAdd": options.many("group-add") or None,
        "IpcMode": options.text("ipc"),
        "Cgroup": "",
        "Links": options.many("link") or None,
        "OomScoreAdj": options.number("oom-score-adj"),
        "PidMode": options.text("pid"),
        "Privileged": options.on("privileged"),
        "PublishAllPorts": options.on("publish-all"),
        "ReadonlyRootfs": options.on("read-only"),
        "SecurityOpt": security or None,
        "StorageOpt": _storage_options(options.many("storage-opt")),
        "UTSMode": options.text("uts"),
        "UsernsMode": options.text("userns"),
        "ShmSize": options.number("shm-size"),
        "Sysctls": mapping(options.many("sysctl")),
        "Runtime": options.text("runtime"),
        "Isolation": options.text("isolation"),
        "MaskedPaths": [] if unconfined_paths else None,
        "ReadonlyPaths": [] if unconfined_paths else None,
    }
    if options.given("init"):
        host["Init"] = options.on("init")
    return host


def _resources(options: Options) -> Document:
    found, qualified = devices(options.many("device"))
    requests = options.values("gpus")
    if qualified:
        cdi = {"Driver": "cdi", "Count": 0, "DeviceIDs": qualified, "Capabilities": None, "Options": None}
        requests.append(cdi)
    return {
        **limits(options),
        "CgroupParent": options.text("cgroup-parent"),
        "BlkioWeightDevice": options.values("blkio-weight-device"),
        "BlkioDeviceReadBps": options.values("device-read-bps"),
        "BlkioDeviceWriteBps": options.values("device-write-bps"),
        "BlkioDeviceReadIOps": options.values("device-read-iops"),
        "BlkioDeviceWriteIOps": options.values("device-write-iops"),
        "Devices": found,
        "DeviceCgroupRules": options.many("device-cgroup-rule") or None,
        "DeviceRequests": requests or None,
        "MemorySwappiness": options.number("memory-swappiness"),
        "OomKillDisable": options.on("oom-kill-disable"),
        "Ulimits": sorted(options.values("ulimit"), key=lambda limit: str(limit["Name"])),
        "CpuCount": options.number("cpu-count"),
        "CpuPercent": options.number("cpu-percent"),
        "IOMaximumIOps": options.number("io-maxiops"),
        "IOMaximumBandwidth": options.number("io-maxbandwidth"),
    }


def limits(options: Options) -> Document:
    """The limits that `run` and `update` share."""
    return {
        "CpuShares": options.number("cpu-shares"),
        "Memory": options.number("memory"),
        "NanoCpus": options.number("cpus"),
        "BlkioWeight": options.number("blkio-weight"),
        "CpuPeriod": options.number("cpu-period"),
        "CpuQuota": options.number("cpu-quota"),
        "CpuRealtimePeriod": options.number("cpu-rt-period"),
        "CpuRealtimeRuntime": options.number("cpu-rt-runtime"),
        "CpusetCpus": options.text("cpuset-cpus"),
        "CpusetMems": options.text("cpuset-mems"),
        "MemoryReservation": options.number("memory-reservation"),
        "MemorySwap": options.number("memory-swap"),
        "PidsLimit": options.number("pids-limit"),
    }


def restart_policy(text: str) -> Document:
    """ "on-failure:3" → {"Name": ..., "MaximumRetryCount": 3}."""
    name, colon, count = text.partition(":")
    if colon and not name:
        raise Invalid("invalid restart policy format: no policy provided before colon")
    if colon and not count.removeprefix("-").isdigit():
        raise Invalid("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def _storage_options(given: list[str]) -> dict[str, str]:
    if any("=" not in each for each in given):
        raise Invalid("invalid storage option")
    return mapping(given)


def _rootfs(text: str) -> str:
    """DIR[:overlay] with DIR made absolute, for the engine works in another folder."""
    folder, colon, mode = text.rpartition(":")
    if not colon or mode != "overlay":
        folder, colon, mode = text, "", ""
    return os.path.abspath(folder) + colon + mode if folder else ""
