"""Whether the parts of a project fit together: everything named exists, nothing is said in two ways, no circles."""

from __future__ import annotations

from collections.abc import Iterator

from nakagin.compose import own
from nakagin.compose.model import Project, Service
from nakagin.compose.parts import Deploy, Resource
from nakagin.compose.shapes import Problem
from nakagin.compose.tree import Mapping, Path, section, wrong
from nakagin.errors import nearest


def check_consistency(project: Project, root: Mapping) -> None:
    """Raise Invalid for the first thing that does not fit."""
    for problem in _problems(project, root):
        raise wrong(root, problem.path, problem.message, problem.hint)


def _problems(project: Project, root: Mapping) -> Iterator[Problem]:
    yield from _resources(root)
    for name, service in project.services.items():
        path: Path = ("services", name)
        yield from _service(service, path)
        yield from _references(project, service, path)
        yield from _limits(service, path)
    yield from _circles(project)
    yield from own.problems(project)


def _resources(root: Mapping) -> Iterator[Problem]:
    for group in ("networks", "volumes"):
        for name, each in section(root, group).items():
            if isinstance(each, Mapping) and _is_true(each.get("external")):
                for key in each:
                    if (
                        key not in ("name", "external")
                        and not key.startswith("x-")
                        and each[key] not in (None, Mapping())
                    ):
                        yield Problem(
                            (group, name, key),
                            f"conflicting parameters: it is external, so its {key} cannot be set here",
                        )
    for group, sources in (
        ("configs", ("file", "environment", "content")),
        ("secrets", ("file", "environment")),
    ):
        for name, each in section(root, group).items():
            if not isinstance(each, Mapping):
                continue
            given = [key for key in sources if each.get(key) not in (None, "")]
            words = "|".join(sources)
            if len(given) > 1:
                yield Problem((group, name), f"{words} attributes are mutually exclusive")
            if _is_true(each.get("external")):
                if given:
                    yield Problem(
                        (group, name, given[0]), f"it is external, so its {given[0]} cannot be set here"
                    )
            elif not given and "driver" not in each:
                yield Problem((group, name), f"one of {words} must be set")


def _is_true(value: object) -> bool:
    return value is True or str(value).lower() in ("true", "yes", "on", "y")


def _service(service: Service, path: Path) -> Iterator[Problem]:
    if not service.image and service.build is None and service.provider is None:
        yield Problem(path, "the service has neither an image nor a build context specified")
    if service.build is not None and service.build.dockerfile and service.build.dockerfile_inline:
        yield Problem((*path, "build"), "declares mutually exclusive dockerfile and dockerfile_inline")
    if service.network_mode and service.networks:
        yield Problem((*path, "network_mode"), "declares mutually exclusive network_mode and networks")
    if service.container_name and service.replicas > 1:
        yield Problem(
            (*path, "container_name"),
            f"a name of its own allows one container, not {service.replicas}",
            "leave container_name out, or scale to 1",
        )
    yield from _targets(service, path)
    requests = [((*path, "gpus", index), request) for index, request in enumerate(service.gpus)]
    if service.deploy:
        place = (*path, "deploy", "resources", "reservations", "devices")
        requests += [((*place, index), each) for index, each in enumerate(_reserved(service.deploy).devices)]
    for where, request in requests:
        if request.count and request.device_ids:
            yield Problem(where, '"count" and "device_ids" attributes are exclusive')


def _targets(service: Service, path: Path) -> Iterator[Problem]:
    for index, port in enumerate(service.ports):
        if port.host_ip and not _is_address(port.host_ip):
            yield Problem((*path, "ports", index, "host_ip"), f"invalid ip address: {port.host_ip}")
    targets = [
        ("volumes", [each.target for each in service.volumes]),
        ("devices", [each.target for each in service.devices]),
    ]
    for key, things in targets:
        for index, target in enumerate(things):
            if not target:
                yield Problem((*path, key, index), "missing a mount target")
    for index, trigger in enumerate(service.develop.watch if service.develop else ()):
        if trigger.action.startswith("sync") and not trigger.target:
            yield Problem((*path, "develop", "watch", index), f"{trigger.action} needs a target")


def _is_address(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _reserved(deploy: Deploy) -> Resource:
    return deploy.resources.reservations or Resource()


def _references(project: Project, service: Service, path: Path) -> Iterator[Problem]:
    mounts = [(index, each.source) for index, each in enumerate(service.volumes) if each.type == "volume"]
    build = service.build.secrets if service.build else []
    used: list[tuple[str, dict[str, object], list[tuple[tuple[str | int, ...], str]]]] = [
        ("network", {**project.networks}, [(("networks", name), name) for name in service.networks]),
        ("volume", {**project.volumes}, [(("volumes", index), name) for index, name in mounts if name]),
        (
            "secret",
            {**project.secrets},
            [(("secrets", i), each.source) for i, each in enumerate(service.secrets)],
        ),
        (
            "build secret",
            {**project.secrets},
            [(("build", "secrets", i), each.source) for i, each in enumerate(build)],
        ),
        (
            "config",
            {**project.configs},
            [(("configs", i), each.source) for i, each in enumerate(service.configs)],
        ),
        ("model", {**project.models}, [(("models", name), name) for name in service.models]),
    ]
    for kind, known, found in used:
        for where, name in found:
            if name not in known:
                near = nearest(name, tuple(known))
                yield Problem((*path, *where), f"refers to undefined {kind} {name}", near)
    yield from _dependencies(project, service, path)


def _dependencies(project: Project, service: Service, path: Path) -> Iterator[Problem]:
    for name, dependency in service.depends_on.items():
        if name in project.disabled and dependency.required:
            profiles = ", ".join(project.disabled[name].profiles)
            yield Problem(
                (*path, "depends_on", name),
                f"service {name!r} is required by {path[1]!r} but is disabled",
                f"it can be enabled by profiles: {profiles}",
            )
        elif name not in project.services and name not in project.disabled:
            yield Problem(
                (*path, "depends_on", name),
                f"service {path[1]!r} depends on undefined service {name!r}",
                nearest(name, tuple(project.services)),
            )


def _limits(service: Service, path: Path) -> Iterator[Problem]:
    """The same limit in the old place and below deploy.resources must be the same."""
    if service.deploy is None:
        return
    limits, reserved = service.deploy.resources.limits or Resource(), _reserved(service.deploy)
    pairs: tuple[tuple[str, object, str, object], ...] = (
        ("scale", service.scale, "deploy.replicas", service.deploy.replicas),
        ("cpus", service.cpus, "deploy.resources.limits.cpus", limits.cpus),
        ("mem_limit", service.mem_limit, "deploy.resources.limits.memory", limits.memory),
        ("mem_reservation", service.mem_reservation, "deploy.resources.reservations.memory", reserved.memory),
        ("pids_limit", service.pids_limit, "deploy.resources.limits.pids", limits.pids),
    )
    for old, before, new, after in pairs:
        nothing = (None, 0, "") if old != "scale" else (None,)
        if before not in nothing and after not in nothing and before != after:
            yield Problem(
                (*path, old), f"can't set distinct values on {old!r} and {new!r}", "leave one of them out"
            )


def _circles(project: Project) -> Iterator[Problem]:
    done: set[str] = set()
    way: list[str] = []

    def visit(name: str) -> Iterator[Problem]:
        if name in way:
            circle = [*way[way.index(name) :], name]
            yield Problem(
                ("services", way[-1], "depends_on", name), f"dependency cycle detected: {' -> '.join(circle)}"
            )
            return
        if name in done or name not in project.services:
            return
        way.append(name)
        for other in project.services[name].depends_on:
            yield from visit(other)
        way.pop()
        done.add(name)

    for name in project.services:
        yield from visit(name)
