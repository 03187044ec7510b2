"""A service as the request that makes its container (POST /containers/create). Pure.

`Known` has what only the engine knows: ids of other services' containers, what the replaced container mounted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from nakagin.compose.endpoints import endpoints, links, network_mode
from nakagin.compose.hashes import service_hash
from nakagin.compose.labelling import network_labels, service_labels
from nakagin.compose.labels import SLUG, container_name, image_name
from nakagin.compose.limits import resources
from nakagin.compose.model import Network, Project, Service
from nakagin.compose.mounts import mounts
from nakagin.compose.plan import OneOff
from nakagin.compose.sharing import with_ids
from nakagin.spec.duration import parse_duration

Document = dict[str, Any]


class Known(Struct, frozen=True):
    """`container_of` a service's first container; `inherited`: target → name of an anonymous volume to keep."""

    container_of: Callable[[str], str]
    image: str = ""
    inherited: Mapping[str, str] = {}


def container_body(
    project: Project,
    name: str,
    service: Service,
    number: int,
    known: Known,
    oneoff: OneOff | None = None,
) -> Document:
    """The whole request body."""
    aliases = oneoff is None or oneoff.aliases
    container = container_name(project, name, service, number)
    attached = endpoints(project, service, container, name if aliases else "", known.container_of)
    shared = with_ids(service, known.container_of)
    labels = service_labels(
        project, name, service, number, settings_hash=service_hash(shared), image=known.image,
        oneoff=oneoff is not None,
    )  # fmt: skip
    if oneoff:
        labels[SLUG] = oneoff.slug
    added, dropped = capabilities(service.cap_add, service.cap_drop)
    binds, listed = mounts(project, service, known.inherited)
    mode = network_mode(project, shared)
    host: Document = {
        "Annotations": service.annotations or None,
        "AutoRemove": True if oneoff and oneoff.auto_remove else None,
        "Binds": binds,
        "Mounts": listed or None,
        "CapAdd": added or None,
        "CapDrop": dropped or None,
        "NetworkMode": mode,
        "Init": service.init,
        "ReadonlyRootfs": service.read_only,
        "RestartPolicy": _restart(service),
        "ShmSize": int(service.shm_size or 0),
        "Sysctls": service.sysctls or None,
        "PortBindings": _bindings(service),
        "VolumesFrom": [_volumes_from(each, known) for each in service.volumes_from] or None,
        "Dns": service.dns or None,
        "DnsSearch": service.dns_search or None,
        "DnsOptions": service.dns_opt or None,
        "ExtraHosts": [each.replace("=", ":", 1) for each in service.extra_hosts],
        "SecurityOpt": _security(service) or None,
        "StorageOpt": service.storage_opt or None,
        "UsernsMode": service.userns_mode,
        "UTSMode": service.uts,
        "Privileged": service.privileged,
        "CgroupnsMode": service.cgroup,
        "Tmpfs": dict(_tmpfs(each) for each in service.tmpfs) or None,
        "Isolation": service.isolation,
        "Runtime": service.runtime,
        "LogConfig": _logging(service),
        "GroupAdd": service.group_add or None,
        "OomScoreAdj": service.oom_score_adj,
        "Links": links(project, service, known.container_of) or None,
        "IpcMode": shared.ipc,
        "PidMode": shared.pid,
        **resources(service),
    }
    if any(each.replace("=", ":") == "systempaths:unconfined" for each in service.security_opt):
        host |= {"MaskedPaths": [], "ReadonlyPaths": []}
    body: Document = {
        "Hostname": service.hostname,
        "Domainname": service.domainname,
        "User": service.user,
        "ExposedPorts": {key: {} for key in _exposed(service)} or None,
        "Tty": service.tty,
        "OpenStdin": service.stdin_open,
        "StdinOnce": bool(oneoff and oneoff.stdin and service.stdin_open),
        "AttachStdin": bool(oneoff and oneoff.stdin),
        "AttachStdout": True,
        "AttachStderr": True,
        "Cmd": service.command,
        "Entrypoint": service.entrypoint,
        "Image": image_name(project, name, service),
        "WorkingDir": service.working_dir,
        "Env": [key if value is None else f"{key}={value}" for key, value in service.environment.items()],
        "Labels": labels,
        "StopSignal": service.stop_signal,
        "StopTimeout": service.stop_seconds,
        "Healthcheck": _healthcheck(service),
        "HostConfig": {key: value for key, value in host.items() if value is not None},
        "NetworkingConfig": {"EndpointsConfig": attached},
    }
    return {key: value for key, value in body.items() if value is not None}


def network_body(project: Project, key: str, network: Network) -> Document:
    """The request that makes a network (POST /networks/create)."""
    pools = [
        {
            "Subnet": each.subnet,
            "IPRange": each.ip_range,
            "Gateway": each.gateway,
            "AuxiliaryAddresses": each.aux_addresses or None,
        }
        for each in network.ipam.config
    ]
    return {
        "Name": network.name,
        "Driver": network.driver or "bridge",
        "Options": network.driver_opts or None,
        "IPAM": {"Driver": network.ipam.driver, "Config": pools} if pools or network.ipam.driver else None,
        "Internal": network.internal,
        "Attachable": network.attachable,
        "EnableIPv4": network.enable_ipv4,
        "EnableIPv6": network.enable_ipv6,
        "Labels": network_labels(project, key, network),
    }


def capabilities(add: list[str], drop: list[str]) -> tuple[list[str], list[str]]:
    """Both lists in Docker's spelling; ALL swallows the others of its list, and what is added is not dropped."""

    def spelled(names: list[str]) -> list[str]:
        made = {
            name.upper() if name.upper() in ("ALL", "RESET") else f"CAP_{name.upper().removeprefix('CAP_')}"
            for name in names
        }
        return ["ALL"] if "ALL" in made else sorted(made)

    added = spelled(add)
    return added, [name for name in spelled(drop) if name not in added]


def _volumes_from(text: str, known: Known) -> str:
    if text.startswith("container:"):
        return text.removeprefix("container:")
    name, colon, rest = text.partition(":")
    return known.container_of(name) + colon + rest


def _restart(service: Service) -> Document:
    policy = service.deploy.restart_policy if service.deploy else None
    if service.restart:
        name, _, most = service.restart.partition(":")
        return {"Name": name, "MaximumRetryCount": int(most or 0)}
    if policy is None:
        return {"Name": "no", "MaximumRetryCount": 0} if service.restart == "" else {}
    name = {"none": "no", "no": "no", "any": "always", "": "always"}.get(policy.condition, policy.condition)
    return {"Name": name, "MaximumRetryCount": policy.max_attempts or 0}


def _bindings(service: Service) -> Document:
    made: Document = {}
    for port in service.ports:
        key = f"{port.target}/{port.protocol or 'tcp'}"
        made.setdefault(key, []).append({"HostIp": port.host_ip, "HostPort": port.published})
    return made


def _exposed(service: Service) -> list[str]:
    found = {f"{port.target}/{port.protocol or 'tcp'}": None for port in service.ports}
    found |= dict.fromkeys(service.expose)
    return list(found)


def _security(service: Service) -> list[str]:
    return [each for each in service.security_opt if each.replace("=", ":", 1) != "systempaths:unconfined"]


def _tmpfs(text: str) -> tuple[str, str]:
    path, _, options = text.partition(":")
    return path, options


def _logging(service: Service) -> Document:
    if service.logging is None:
        return {"Type": "", "Config": {}}
    return {"Type": service.logging.driver, "Config": service.logging.options}


def _healthcheck(service: Service) -> Document | None:
    check = service.healthcheck
    if check is None:
        return None
    if check.disable:
        return {"Test": ["NONE"]}
    made: Document = {"Test": check.test or None, "Retries": check.retries or 0}
    for key, value in (
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ):
        made[key] = parse_duration(value) if value else 0
    return made
