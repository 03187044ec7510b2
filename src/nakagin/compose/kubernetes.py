"""A project as manifests for Kubernetes. Pure: what a cluster has no word for becomes a warning.

A service is a Deployment (a Job or CronJob with x-nakagin-job), and a Service of its own name, by which the others find
it; published ports are a second Service of type LoadBalancer. Volumes become claims, configs and secrets their like.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from msgspec import structs

from nakagin.compose.labels import PROJECT, SERVICE, image_name
from nakagin.compose.model import FileObject, Project, Service
from nakagin.compose.own import job, readiness
from nakagin.compose.parts import UpdateConfig
from nakagin.compose.pods import name_of, pod
from nakagin.errors import Invalid

Document = dict[str, Any]
#: What a claim asks for: Compose's volumes have no size.
CLAIM = "1Gi"
_QUALIFIED = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
#: Keys of services that are in the manifests, or mean nothing there.
_KNOWN = {
    "annotations", "attach", "build", "cap_add", "cap_drop", "command", "configs", "container_name", "cpus",
    "depends_on", "deploy", "develop", "dns", "dns_search", "entrypoint", "env_file", "environment",
    "expose", "extra_hosts", "group_add", "healthcheck", "hostname", "image", "ipc", "label_file", "labels",
    "logging", "mem_limit", "mem_reservation", "network_mode", "networks", "pid", "platform", "ports",
    "post_start", "pre_stop", "privileged", "profiles", "pull_policy", "read_only", "restart", "scale",
    "secrets", "stdin_open", "stop_grace_period", "stop_signal", "sysctls", "tmpfs", "tty", "user",
    "volumes", "working_dir",
}  # fmt: skip


def manifests(project: Project) -> tuple[dict[str, Document], list[str]]:
    """(name of a file → its document, warnings). Raises what reading a config or secret raises."""
    warnings: list[str] = []
    files: dict[str, Document] = {"namespace.yaml": _object("v1", "Namespace", project, None)}
    for kind, found in (("configmap", project.configs), ("secret", project.secrets)):
        for key, each in found.items():
            if each.external:
                warnings.append(f"{kind} {name_of(key)} is external: make it in the cluster")
            else:
                files[f"{name_of(key)}-{kind}.yaml"] = _held(project, key, kind, content_of(project, each))
    for key, volume in project.volumes.items():
        if volume.external:
            warnings.append(f"claim {name_of(key)} is external: make it in the cluster")
        else:
            files[f"{name_of(key)}-persistentvolumeclaim.yaml"] = _claim(project, key)
    for key in project.networks if len(project.networks) > 1 else ():
        files[f"{name_of(key)}-networkpolicy.yaml"] = _policy(project, key)
    for name, service in project.services.items():
        if service.provider is not None:
            warnings.append(f"service {name} is provided by a program, and is not in the manifests")
            continue
        files |= _of_service(project, name, service, warnings)
    kustomization: Document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": name_of(project.name),
        "resources": sorted(files),
    }  # fmt: skip
    return {**files, "kustomization.yaml": kustomization}, warnings


def _object(version: str, kind: str, project: Project, name: str | None, **parts: object) -> Document:
    labels = {PROJECT: project.name} if name is None else {PROJECT: project.name, SERVICE: name}
    metadata: Document = {"name": name_of(name or project.name), "labels": labels}
    if kind != "Namespace":
        metadata["namespace"] = name_of(project.name)
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


def _resource(version: str, kind: str, project: Project, key: str, **parts: object) -> Document:
    made = _object(version, kind, project, None, **parts)
    made["metadata"] |= {"name": name_of(key), "namespace": name_of(project.name)}
    return made


def _held(project: Project, key: str, kind: str, data: bytes) -> Document:
    """A config or secret, under the one key that its mounts name."""
    if kind == "secret":
        encoded = base64.b64encode(data).decode()
        return _resource("v1", "Secret", project, key, type="Opaque", data={name_of(key): encoded})
    try:
        return _resource("v1", "ConfigMap", project, key, data={name_of(key): data.decode()})
    except UnicodeDecodeError:
        encoded = base64.b64encode(data).decode()
        return _resource("v1", "ConfigMap", project, key, binaryData={name_of(key): encoded})


def content_of(project: Project, found: FileObject) -> bytes:
    """What a config or secret holds. Raises Invalid where its file cannot be read."""
    if not found.file:
        return (found.content or project.environment.get(found.environment, "")).encode()
    try:
        with open(found.file, "rb") as file:
            return file.read()
    except OSError as error:
        raise Invalid(
            f"{found.file}: {error.strerror}", hint="it is the content of a config or secret"
        ) from None


def _claim(project: Project, key: str) -> Document:
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": CLAIM}}}
    return _resource("v1", "PersistentVolumeClaim", project, key, spec=asked)


def _policy(project: Project, key: str) -> Document:
    """Who is on a network is reached by those on it; pods say by a label which they are on."""
    chosen = {"podSelector": {"matchLabels": {_network_label(key): "true"}}}
    return _resource(
        "networking.k8s.io/v1", "NetworkPolicy", project, key,
        spec={**chosen, "policyTypes": ["Ingress"], "ingress": [{"from": [chosen]}]},
    )  # fmt: skip


def _network_label(key: str) -> str:
    return f"com.docker.compose.network.{name_of(key)}"


def _of_service(project: Project, name: str, service: Service, warnings: list[str]) -> dict[str, Document]:
    for field in structs.fields(service):
        value = getattr(service, field.name)
        if field.name not in _KNOWN and value and value != field.default:
            warnings.append(f"service {name}: {field.encode_name} has no counterpart and is left out")
    if service.depends_on:
        warnings.append(f"service {name}: everything is started at once, depends_on orders nothing")
    if service.build is not None:
        warnings.append(
            f"service {name}: push {image_name(project, name, service)} to where the cluster finds it"
        )
    selector = {PROJECT: project.name, SERVICE: name}
    labels = {**selector, **{_network_label(key): "true" for key in service.networks}}
    marks = {**service.labels, **service.annotations}
    for key in [each for each in marks if not _QUALIFIED.fullmatch(each)]:
        warnings.append(f"service {name}: {key!r} is no name for an annotation, and is left out")
        del marks[key]
    template = {
        "metadata": {
            "labels": labels,
            **({"annotations": marks} if marks else {}),
        },
        "spec": pod(project, name, service, readiness(project, name), warnings),
    }
    files = {
        f"{name_of(name)}-{kind.lower()}.yaml": made
        for kind, made in _workload(project, name, service, template)
    }
    # Without ports the name leads to the pods themselves, so that all their ports are reached.
    ports = _ports(service)
    listening = {
        "selector": selector,
        **({"ports": list(ports.values())} if ports else {"clusterIP": "None"}),
    }
    if job(project, name) is None:
        files[f"{name_of(name)}-service.yaml"] = _object("v1", "Service", project, name, spec=listening)
    if published := _published(service):
        made = _object(
            "v1",
            "Service",
            project,
            name,
            spec={"type": "LoadBalancer", "selector": selector, "ports": published},
        )
        made["metadata"]["name"] = f"{name_of(name)[:53]}-published"
        files[f"{name_of(name)}-published-service.yaml"] = made
    return files


def _workload(
    project: Project, name: str, service: Service, template: Document
) -> list[tuple[str, Document]]:
    timed = job(project, name)
    if timed is None:
        selector = {"matchLabels": {PROJECT: project.name, SERVICE: name}}
        spec: Document = {"replicas": service.replicas, "selector": selector, "strategy": _strategy(service)}
        return [
            (
                "Deployment",
                _object("apps/v1", "Deployment", project, name, spec={**spec, "template": template}),
            )
        ]
    template["spec"]["restartPolicy"] = "OnFailure"
    if not timed.schedule:
        return [("Job", _object("batch/v1", "Job", project, name, spec={"template": template}))]
    spec = {
        "schedule": timed.schedule,
        "concurrencyPolicy": "Forbid",
        "jobTemplate": {"spec": {"template": template}},
    }
    if timed.zone:
        spec["timeZone"] = timed.zone
    return [("CronJob", _object("batch/v1", "CronJob", project, name, spec=spec))]


def _strategy(service: Service) -> Document:
    update: UpdateConfig | None = service.deploy.update_config if service.deploy else None
    if update is None:
        return {"type": "Recreate"}
    together = update.parallelism or (service.replicas or 1 if update.parallelism == 0 else 1)
    first = update.order == "start-first"
    rolling = {"maxSurge": together if first else 0, "maxUnavailable": 0 if first else together}
    return {"type": "RollingUpdate", "rollingUpdate": rolling}


def _ports(service: Service) -> dict[tuple[int, str], Document]:
    """Where others reach the service: what it exposes and what it publishes, by the ports inside."""
    found: dict[tuple[int, str], Document] = {}
    exposed = [each.partition("/")[::2] for each in service.expose]
    published = [(str(each.target), each.protocol) for each in service.ports]
    for text, protocol in [*published, *exposed]:
        first, _, last = text.partition("-")
        for number in range(int(first), int(last or first) + 1):
            kind = (protocol or "tcp").lower()
            found[number, kind] = _port(number, number, kind)
    return found


def _published(service: Service) -> list[Document]:
    return [
        _port(int(each.published), each.target, each.protocol or "tcp")
        for each in service.ports
        if each.published.isdecimal()
    ]


def _port(port: int, target: int, protocol: str) -> Document:
    return {"name": f"{protocol}-{port}", "port": port, "targetPort": target, "protocol": protocol.upper()}
