"""What a service is as the one container of a Kubernetes pod. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from nakagin.compose.labels import image_name
from nakagin.compose.model import Project, Service
from nakagin.compose.mounts import files_of
from nakagin.compose.own import Readiness
from nakagin.compose.parts import HealthCheck, Hook, Resource
from nakagin.spec.duration import parse_duration

Document = dict[str, Any]
_PULLS = {"always": "Always", "never": "Never"}


def name_of(text: str) -> str:
    """A name that Kubernetes takes (RFC 1123): lower case, digits and hyphens, at most 63."""
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:63].rstrip("-")


def pod(
    project: Project, name: str, service: Service, ready: Readiness | None, warnings: list[str]
) -> Document:
    """The specification of the pod; `warnings` gets what a pod cannot be told."""
    volumes, mounts = _volumes(project, service)
    container: Document = {
        "name": name_of(name),
        "image": image_name(project, name, service),
        "imagePullPolicy": _PULLS.get(service.pull_policy, "IfNotPresent"),
        "command": _literal(service.entrypoint),
        "args": _literal(service.command),
        "workingDir": service.working_dir,
        "env": [
            {"name": key, "value": value.replace("$(", "$$(")}
            for key, value in service.environment.items()
            if value is not None
        ],
        "ports": [
            {"containerPort": each.target, "protocol": (each.protocol or "tcp").upper()}
            for each in service.ports
        ],
        "resources": _resources(service),
        "readinessProbe": _probe(service.healthcheck, ready),
        "lifecycle": {
            key: {"exec": {"command": _hooks(hooks)}}
            for key, hooks in (("postStart", service.post_start), ("preStop", service.pre_stop))
            if hooks
        },
        "securityContext": _security(name, service, warnings),
        "stdin": service.stdin_open,
        "tty": service.tty,
        "volumeMounts": mounts,
    }
    spec: Document = {
        "containers": [_kept(container)],
        "volumes": volumes,
        "hostname": service.hostname,
        "hostNetwork": service.network_mode == "host",
        "hostPID": service.pid == "host",
        "hostIPC": service.ipc == "host",
        "hostAliases": _aliases(service.extra_hosts),
        "dnsConfig": _kept({"nameservers": service.dns, "searches": service.dns_search}),
        "securityContext": _kept(
            {
                "sysctls": [{"name": key, "value": value} for key, value in service.sysctls.items()],
                "supplementalGroups": [int(each) for each in service.group_add if each.isdecimal()],
            }
        ),
        "terminationGracePeriodSeconds": service.stop_seconds,
    }
    if service.network_mode not in ("", "host", "bridge"):
        warnings.append(
            f"service {name}: network_mode {service.network_mode} has no counterpart and is left out"
        )
    return _kept(spec)


def _kept(document: Document) -> Document:
    """Without what says nothing."""
    return {key: value for key, value in document.items() if value or (value == 0 and value is not False)}


def _literal(words: Sequence[str] | None) -> list[str]:
    """Kubernetes reads $(NAME) in words as a variable."""
    return [each.replace("$(", "$$(") for each in words or ()]


def _resources(service: Service) -> Document:
    parts = service.deploy.resources if service.deploy else None
    limits = (parts.limits if parts else None) or Resource()
    reserved = (parts.reservations if parts else None) or Resource()
    found = {
        "limits": {"cpu": service.cpus or limits.cpus, "memory": service.mem_limit or limits.memory},
        "requests": {"cpu": reserved.cpus, "memory": service.mem_reservation or reserved.memory},
    }
    return _kept(
        {key: {name: str(value) for name, value in each.items() if value} for key, each in found.items()}
    )


def _probe(check: HealthCheck | None, ready: Readiness | None) -> Document:
    """When it gets requests: as x-nakagin-ready says, else as its health check does."""
    if ready is not None and not ready.log:
        how = (
            {"httpGet": {"path": ready.path, "port": ready.http}}
            if ready.http
            else {"tcpSocket": {"port": ready.tcp}}
        )
        return {**how, "periodSeconds": _seconds(ready.interval)}
    if check is None or check.disable or check.test[:1] in ([], ["NONE"]):
        return {}
    kind, *words = check.test
    command = ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words
    times = {
        "initialDelaySeconds": check.start_period,
        "periodSeconds": check.interval,
        "timeoutSeconds": check.timeout,
    }
    found = {key: _seconds(parse_duration(text)) for key, text in times.items() if text}
    return {
        "exec": {"command": command},
        **found,
        **({"failureThreshold": check.retries} if check.retries else {}),
    }


def _seconds(nanoseconds: int) -> int:
    return max(1, round(nanoseconds / 1e9))


def _hooks(hooks: Sequence[Hook]) -> list[str]:
    if len(hooks) == 1:
        return list(hooks[0].command or ())
    return ["/bin/sh", "-c", " && ".join(shlex.join(each.command or ()) for each in hooks)]


def _security(name: str, service: Service, warnings: list[str]) -> Document:
    user, _, group = service.user.partition(":")
    if not all(each.isdecimal() for each in (user, group) if each):
        warnings.append(f"service {name}: user {service.user} is no number, and Kubernetes knows no names")
        user = group = ""
    capabilities = {"add": _bare(service.cap_add), "drop": _bare(service.cap_drop)}
    return _kept(
        {
            "privileged": service.privileged,
            "readOnlyRootFilesystem": service.read_only,
            "runAsUser": int(user) if user else None,
            "runAsGroup": int(group) if group else None,
            "capabilities": _kept(capabilities),
        }
    )


def _bare(capabilities: Sequence[str]) -> list[str]:
    return [each.upper().removeprefix("CAP_") for each in capabilities]


def _aliases(extra: Sequence[str]) -> list[Document]:
    found: dict[str, list[str]] = {}
    for each in extra:
        host, _, address = each.partition("=")
        found.setdefault(address, []).append(host)
    return [
        {"ip": address, "hostnames": names} for address, names in found.items() if address != "host-gateway"
    ]


def _volumes(project: Project, service: Service) -> tuple[list[Document], list[Document]]:
    """(the pod's volumes, where its container mounts them)."""
    volumes: dict[str, Document] = {}
    mounts: list[Document] = []
    for number, mount in enumerate(service.volumes):
        name, source = f"mount-{number}", mount.source
        match mount.type:
            case "bind":
                volume: Document = {"hostPath": {"path": source}}
            case "volume" if source:
                name, volume = (
                    f"volume-{name_of(source)}",
                    {"persistentVolumeClaim": {"claimName": name_of(source)}},
                )
            case "tmpfs":
                size = {"sizeLimit": mount.tmpfs.size} if mount.tmpfs and mount.tmpfs.size else {}
                volume = {"emptyDir": {"medium": "Memory", **size}}
            case "image":
                volume = {"image": {"reference": source}}
            case _:
                volume = {"emptyDir": {}}
        volumes[name] = volume
        part = (mount.volume.subpath if mount.volume else "") or (mount.image.subpath if mount.image else "")
        mounts.append(
            _kept({"name": name, "mountPath": mount.target, "readOnly": mount.read_only, "subPath": part})
        )
    for number, text in enumerate(service.tmpfs):
        volumes[f"tmpfs-{number}"] = {"emptyDir": {"medium": "Memory"}}
        mounts.append({"name": f"tmpfs-{number}", "mountPath": text.partition(":")[0]})
    secrets = {each.source for each in service.secrets}
    for reference, _ in files_of(project, service):
        key = name_of(reference.source)
        mode = {"defaultMode": int(reference.mode, 8)} if reference.mode else {}
        if reference.source in secrets and reference.source not in {each.source for each in service.configs}:
            volumes[f"secret-{key}"] = {"secret": {"secretName": key, **mode}}
            mounts.append(_file(f"secret-{key}", reference.target, key))
        else:
            volumes[f"config-{key}"] = {"configMap": {"name": key, **mode}}
            mounts.append(_file(f"config-{key}", reference.target, key))
    return [{"name": name[:63], **volume} for name, volume in volumes.items()], mounts


def _file(name: str, target: str, key: str) -> Document:
    return {"name": name[:63], "mountPath": target, "subPath": key, "readOnly": True}
