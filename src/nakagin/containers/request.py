"""A create request merged with its image and checked: everything that can be refused is refused here. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import msgspec

from nakagin.containers import cdi, logdrivers, namespaces, policy, resources, security
from nakagin.containers.timetable import schedule_of
from nakagin.errors import Invalid, NotFound
from nakagin.spec import docker
from nakagin.storage.options import container_size

if TYPE_CHECKING:
    from nakagin.containers.surroundings import Surroundings
    from nakagin.images.model import Image
    from nakagin.network.model import Protocol

#: Ours: published ports of the container that begin with a PROXY protocol header, whoever the client is.
PROXY_PROTOCOL = "nakagin.proxy-protocol"

_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?/(tcp|udp|sctp)")
_HOSTNAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,252}[a-zA-Z0-9])?")
_MILLISECOND = 1_000_000


def merge_with_image(body: docker.ContainerCreate, image: Image | None) -> docker.ContainerConfig:
    """The container's configuration: what the request leaves open comes from the image, as in Docker."""
    config = body.config
    if image is None:
        return config
    cmd, entrypoint = config.cmd, config.entrypoint
    # A request with an entrypoint of its own does not inherit the image's command.
    if not entrypoint:
        cmd = cmd or tuple(image.cmd) or None
        entrypoint = tuple(image.entrypoint) or None if entrypoint is None else None
    elif entrypoint == ("",):
        entrypoint = None
    return msgspec.structs.replace(
        config,
        cmd=cmd,
        entrypoint=entrypoint,
        env=_merge_env(image.env, config.env),
        user=config.user or image.user,
        working_dir=_clean(config.working_dir or image.workdir),
        labels={**image.labels, **config.labels},
        volumes={**{path: {} for path in image.volumes}, **config.volumes},
        exposed_ports={**{port: {} for port in image.exposed_ports}, **config.exposed_ports},
        stop_signal=config.stop_signal or image.stop_signal,
        stop_timeout=config.stop_timeout if config.stop_timeout is not None else image.stop_timeout,
        healthcheck=_merge_health(config.healthcheck, image),
    )


def _clean(folder: str) -> str:
    """Docker's form of a working directory: without "." and ".." (a relative one is refused later)."""
    return posixpath.normpath(folder) if folder.startswith("/") else folder


def merge_config(over: docker.ContainerConfig, under: docker.ContainerConfig) -> docker.ContainerConfig:
    """`over` where it says something, else `under`; variables and maps of both."""
    fields: dict[str, object] = {}
    for name in docker.ContainerConfig.__struct_fields__:
        mine, theirs = getattr(over, name), getattr(under, name)
        if name == "env":
            fields[name] = _merge_env(theirs, mine)
        elif isinstance(mine, dict):
            fields[name] = {**theirs, **mine}
        else:
            fields[name] = mine or theirs
    return docker.ContainerConfig(**fields)  # type: ignore[arg-type]


def _merge_env(image: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    names = {text.partition("=")[0] for text in own}
    return (*(text for text in image if text.partition("=")[0] not in names), *own)


def _merge_health(own: docker.Healthcheck | None, image: Image) -> docker.Healthcheck | None:
    """Field by field: what the request leaves at zero comes from the image."""
    inherited = image.healthcheck
    if inherited is None:
        return own
    base = docker.Healthcheck(
        test=tuple(inherited.get("Test") or ()), interval=inherited.get("Interval", 0),
        timeout=inherited.get("Timeout", 0), start_period=inherited.get("StartPeriod", 0),
        start_interval=inherited.get("StartInterval", 0), retries=inherited.get("Retries", 0),
    )  # fmt: skip
    if own is None:
        return base
    if own.test:
        return own if own.test == ("NONE",) else _filled(own, base)
    return _filled(own, base)


def _filled(own: docker.Healthcheck, base: docker.Healthcheck) -> docker.Healthcheck:
    fields = docker.Healthcheck.__struct_fields__
    return docker.Healthcheck(**{name: getattr(own, name) or getattr(base, name) for name in fields})


def settle_host_config(host: docker.HostConfig, around: Surroundings) -> docker.HostConfig:
    """The request's host half with Docker's defaults written in, as `inspect` shows it."""
    changes: dict[str, object] = {}
    if host.memory > 0 and host.memory_swap == 0:
        changes["memory_swap"] = host.memory * 2
    if host.kernel_memory or host.kernel_memory_tcp:
        changes |= {"kernel_memory": 0, "kernel_memory_tcp": 0}
    if host.oom_kill_disable is None and around.cgroups.mode in {"v1", "hybrid"}:  # v2 has no such switch
        changes["oom_kill_disable"] = False
    if not host.shm_size:
        changes["shm_size"] = around.host.shm_size
    if not host.ipc_mode:
        changes["ipc_mode"] = around.host.ipc_mode
    if not host.cgroupns_mode:
        changes["cgroupns_mode"] = around.host.cgroup_namespace
    if not host.network_mode or host.network_mode == "default":
        changes["network_mode"] = "bridge"
    if not host.restart_policy.name:
        changes["restart_policy"] = docker.RestartPolicy(name="no")
    if not host.runtime:
        changes["runtime"] = around.default_runtime
    if host.log_config.type in {"", around.logs.driver}:
        changes["log_config"] = docker.LogConfig(
            type=around.logs.driver, config={**dict(around.logs.options), **host.log_config.config}
        )
    if host.masked_paths is None:
        changes["masked_paths"] = tuple(security.masked_paths(host))
    if host.readonly_paths is None:
        changes["readonly_paths"] = tuple(security.readonly_paths(host))
    return msgspec.structs.replace(host, **changes) if changes else host


def check(config: docker.ContainerConfig, host: docker.HostConfig, around: Surroundings) -> list[str]:
    """Warnings; raises Invalid (with Docker's words), or NotFound for what cannot be."""
    _check_config(config)
    policy.check(host.restart_policy, auto_remove=host.auto_remove)
    namespaces.check(config, host)
    warnings = resources.check(host, around.limits)
    if host.device_requests:
        cdi.names(host.device_requests, cdi.read(around.cdi_folders)[0])
    options = security.parse_options(host.security_opt)
    warnings += security.unapplied(options, has_apparmor=around.host.has_apparmor)
    security.capability_names((*host.cap_add, *host.cap_drop), around.host.known_capabilities)
    if not -1000 <= host.oom_score_adj <= 1000:
        raise Invalid(f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]")
    if around.host.cgroup_prefix and host.cgroup_parent and not host.cgroup_parent.endswith(".slice"):
        raise Invalid('cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"')
    if host.shm_size < 0:
        raise Invalid("SHM size can not be less than 0")
    around.foreign_runtime(host.runtime)
    logdrivers.check(host.log_config)
    warnings += logdrivers.unheard(host.log_config)
    _check_ports(config, host)
    for text in host.extra_hosts:
        _check_extra_host(text)
    for name in host.sysctls:
        _check_sysctl(name, host)
    container_size(host.storage_opt, 0)
    if host.init and not around.host.init_path:
        raise NotFound(
            "no tiny init on this machine for --init", hint="install the package tini, or give --init-path"
        )
    return warnings + _network_warnings(config, host)


def _check_config(config: docker.ContainerConfig) -> None:
    if not config.entrypoint and not config.cmd:
        raise Invalid("no command specified", hint="name a command; the image has none of its own")
    if config.working_dir and not config.working_dir.startswith("/"):
        raise Invalid(
            f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute path"
        )
    for text in config.env:
        if not text or text.startswith("="):
            raise Invalid(f"invalid environment variable: {text}")
    for name in filter(None, (config.hostname, config.domainname)):
        if not _HOSTNAME.fullmatch(name) or len(name) > 64:
            raise Invalid(f"invalid hostname format: {name}")
    if config.stop_signal:
        policy.signal_number(config.stop_signal)
    if config.healthcheck:
        _check_health(config.healthcheck)


def _check_health(health: docker.Healthcheck) -> None:
    durations = (
        ("Interval", health.interval), ("Timeout", health.timeout), ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    )  # fmt: skip
    for name, value in durations:
        if value and value < _MILLISECOND:
            raise Invalid(f"{name} in Healthcheck cannot be less than 1ms")
    if health.retries < 0:
        raise Invalid("Retries in Healthcheck cannot be negative")
    if health.test and health.test[0] not in {"NONE", "CMD", "CMD-SHELL"}:
        raise Invalid(f"Unknown healthcheck type '{health.test[0]}' (expected 'CMD')")


def _check_ports(config: docker.ContainerConfig, host: docker.HostConfig) -> None:
    for spec in config.exposed_ports:
        parse_port(spec)
    check_bindings(host.port_bindings)
    announced_ports(config.labels)
    schedule_of(config.labels)


def announced_ports(labels: Mapping[str, str]) -> frozenset[int]:
    """The TCP ports that the label PROXY_PROTOCOL names ("80,8000-8010/tcp"). Raises Invalid."""
    found: set[int] = set()
    for spec in filter(None, (each.strip() for each in labels.get(PROXY_PROTOCOL, "").split(","))):
        first, last, protocol = parse_port(spec)
        if protocol != "tcp":
            raise Invalid(
                f"label {PROXY_PROTOCOL}: {spec} cannot have PROXY protocol", hint="only TCP has it"
            )
        found.update(range(first, last + 1))
    return frozenset(found)


def check_bindings(bindings: Mapping[str, Sequence[docker.PortBinding]]) -> None:
    """Raise Invalid for ports that cannot be."""
    for spec, several in bindings.items():
        parse_port(spec)
        for binding in several:
            _check_host_port(spec, binding.host_port)


def parse_port(spec: str) -> tuple[int, int, Protocol]:
    """(first, last, protocol) of "80", "80/tcp", "8000-8010/udp"; Invalid otherwise."""
    match = _PORT.fullmatch(spec if "/" in spec else f"{spec}/tcp")
    if not match:
        raise Invalid(f'invalid port specification: "{spec}"')
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last <= 65535:
        raise Invalid(f'invalid port specification: "{spec}"')
    return first, last, cast("Protocol", match[3])


def _check_host_port(spec: str, text: str) -> None:
    numbers = text.split("-") if text else []
    if len(numbers) > 2 or any(not number.isdecimal() or int(number) > 65535 for number in numbers):
        raise Invalid(f'invalid port specification: "{text}" for {spec}')


def _check_extra_host(text: str) -> None:
    name, separator, address = text.partition("=") if "=" in text else text.partition(":")
    if not separator or not name or not address:
        raise Invalid(
            f'bad format for add-host: "{text}"', hint="HOST:ADDRESS, the address may be host-gateway"
        )


_SYSCTLS_IPC = frozenset(
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


def _check_sysctl(name: str, host: docker.HostConfig) -> None:
    mode = namespaces.network_mode(host.network_mode).mode
    if name.startswith("net."):
        if mode == "host":
            raise Invalid(f'sysctl "{name}" not allowed in host network namespace')
        return
    if name in _SYSCTLS_IPC or name.startswith("fs.mqueue."):
        if host.ipc_mode == "host":
            raise Invalid(f'sysctl "{name}" not allowed in host ipc namespace')
        return
    if name in {"kernel.domainname", "kernel.hostname"}:
        return
    raise Invalid(
        f'sysctl "{name}" is not in a separate kernel namespace', hint="only namespaced sysctls can be set"
    )


def _network_warnings(config: docker.ContainerConfig, host: docker.HostConfig) -> list[str]:
    if host.network_mode == "host" and (host.port_bindings or host.publish_all_ports):
        return ["Published ports are discarded when using host network mode"]
    if config.mac_address and host.network_mode in {"host", "none"}:
        return ["The MAC address is discarded in this network mode"]
    return []
