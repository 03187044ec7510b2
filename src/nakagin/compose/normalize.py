"""The last stages on a tree: defaults, what services imply (networks, dependencies), names of resources."""

from __future__ import annotations

import posixpath

from nakagin.compose.interpolate import Lookup
from nakagin.compose.tree import Mapping, Sequence, Value, section, services

_NAMESPACES = ("network_mode", "ipc", "pid", "uts", "cgroup")


def set_defaults(root: Mapping) -> None:
    """What the specification says about things that were only half said."""
    for _, service in services(root):
        if isinstance(build := service.get("build"), Mapping):
            build.setdefault("context", ".")
        for port in _maps(service.get("ports")):
            port.setdefault("protocol", "tcp")
            port.setdefault("mode", "ingress")
        for secret in _maps(service.get("secrets")):
            secret.setdefault("target", f"/run/secrets/{secret.get('source')}")


def resolve_environment(root: Mapping, lookup: Lookup) -> None:
    """Give variables without a value the one of the surroundings, if they have it."""
    for _, service in services(root):
        _fill(section(service, "environment"), lookup)


def _fill(variables: Mapping, lookup: Lookup) -> None:
    for key, value in variables.items():
        if value is None:
            variables[key] = lookup(key)


def normalize(root: Mapping, name: str, lookup: Lookup) -> None:
    """Add what the services imply, name everything for the engine, drop build arguments that have no value."""
    uses_default = False
    for _, service in services(root):
        if (
            service.get("provider") is None
            and not service.get("network_mode")
            and not service.get("networks")
        ):
            service["networks"] = Mapping([("default", None)])
        if "default" in section(service, "networks"):
            uses_default = True
        if service.get("pull_policy") == "if_not_present":
            service["pull_policy"] = "missing"
        build = section(service, "build")
        if build and not build.get("dockerfile") and not build.get("dockerfile_inline"):
            build["dockerfile"] = "Dockerfile"
        arguments = section(build, "args")
        _fill(arguments, lookup)
        for key in [key for key, value in arguments.items() if value is None]:
            del arguments[key]
        for mount in _maps(service.get("volumes")):
            if isinstance(target := mount.get("target"), str) and target:
                mount["target"] = posixpath.normpath(target).replace("//", "/", 1)
        _imply(service)
    if uses_default:
        networks = root.setdefault("networks", Mapping())
        if isinstance(networks, Mapping):
            networks.setdefault("default", None)
    for group in ("networks", "volumes", "configs", "secrets"):
        _name(section(root, group), name)


def _name(resources: Mapping, project: str) -> None:
    for key, resource in resources.items():
        named = resource if isinstance(resource, Mapping) else Mapping()
        if not named.get("name"):
            external = named.get("external")
            named["name"] = key if external and str(external).lower() != "false" else f"{project}_{key}"
        resources[key] = named


def _imply(service: Mapping) -> None:
    """Links, shared namespaces and volumes_from are dependencies."""
    found = service.get("depends_on")
    known = found if isinstance(found, Mapping) else Mapping()
    for link in _texts(service.get("links")):
        _depend(known, link.partition(":")[0], restart=True)
    for key in _NAMESPACES:
        reference = service.get(key)
        if isinstance(reference, str) and reference.startswith("service:"):
            _depend(known, reference.removeprefix("service:"), restart=True)
    for source in _texts(service.get("volumes_from")):
        if not source.startswith("container:"):
            _depend(known, source.partition(":")[0], restart=False)
    if known:
        service["depends_on"] = known


def _depend(known: Mapping, name: str, *, restart: bool) -> None:
    if name not in known:
        known[name] = Mapping([("condition", "service_started"), ("restart", restart), ("required", True)])


def _maps(value: Value) -> list[Mapping]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, Sequence) else []


def _texts(value: Value) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, Sequence) else []
