"""From the normalized tree to the `Project`: typed values, active profiles, env files, and whether it all fits."""

from __future__ import annotations

import os

from msgspec.structs import replace

from nakagin.compose.consistency import check_consistency
from nakagin.compose.decode import decode
from nakagin.compose.envfile import read
from nakagin.compose.environment import Sources
from nakagin.compose.interpolate import Lookup
from nakagin.compose.model import FileObject, Model, Network, Project, Service, Volume
from nakagin.compose.tree import Mapping, Sequence, Value, dotted, plain, section, wrong
from nakagin.errors import NotFound


def settle(root: Mapping, name: str, sources: Sources, consistency: bool, environment: bool) -> Project:
    """Raises Invalid with the place of what does not fit, a missing env file among it."""

    def all_of(group: str) -> list[tuple[str, Value]]:
        return sorted(section(root, group).items())

    services = {
        key: _one_scale(decode(root, value, Service, ("services", key))) for key, value in all_of("services")
    }
    project = Project(
        name=name,
        services={key: each for key, each in services.items() if is_active(each, sources.profiles)},
        networks={key: decode(root, value, Network, ("networks", key)) for key, value in all_of("networks")},
        volumes={key: decode(root, value, Volume, ("volumes", key)) for key, value in all_of("volumes")},
        secrets={key: decode(root, value, FileObject, ("secrets", key)) for key, value in all_of("secrets")},
        configs={key: decode(root, value, FileObject, ("configs", key)) for key, value in all_of("configs")},
        models={key: decode(root, value, Model, ("models", key)) for key, value in all_of("models")},
        working_dir=sources.folder,
        files=list(sources.files),
        environment=dict(sources.environment),
        profiles=list(sources.profiles),
        disabled={key: each for key, each in services.items() if not is_active(each, sources.profiles)},
        extensions=_extensions(root),
    )
    if consistency:
        check_consistency(project, root)
    if environment:
        project = _with_env_files(project, root, sources.lookup)
    return project


def _one_scale(service: Service) -> Service:
    """`scale` is written below deploy too, where there is one."""
    if service.scale is None or service.deploy is None or service.deploy.replicas is not None:
        return service
    return replace(service, deploy=replace(service.deploy, replicas=service.scale))


def is_active(service: Service, profiles: list[str]) -> bool:
    """Whether a service belongs to the project under these profiles."""
    return not service.profiles or "*" in profiles or not set(service.profiles).isdisjoint(profiles)


def _with_env_files(project: Project, root: Mapping, lookup: Lookup) -> Project:
    """What env_file and label_file say, in the services' environments and labels."""
    services = {}
    for key, each in project.services.items():
        try:
            services[key] = _read_files(each, lookup)
        except NotFound as error:
            gone = "label_file" if any(path in error.message for path in each.label_file) else "env_file"
            raise wrong(
                root,
                ("services", key, gone),
                error.message,
                "write {path: …, required: false} if it may be missing",
            ) from None
    return replace(project, services=services)


def _read_files(service: Service, lookup: Lookup) -> Service:
    if not service.env_file and not service.label_file:
        return service
    variables: dict[str, str] = {}

    def known(name: str) -> str | None:
        for found in (lookup(name), service.environment.get(name), variables.get(name)):
            if found is not None:
                return found
        return None

    for file in service.env_file:
        if not file.required and not os.path.exists(file.path):
            continue
        variables.update(read(file.path, known, raw=file.format == "raw"))
    labels: dict[str, str] = {}
    for path in service.label_file:
        labels.update(read(path, lookup))
    return replace(
        service,
        environment=dict(sorted({**variables, **service.environment}.items())),
        labels=dict(sorted({**labels, **service.labels}.items())),
        env_file=[],
    )


def _extensions(root: Mapping) -> dict[str, dict[str, object]]:
    """The x-… keys of every map, by the path of the map."""
    found: dict[str, dict[str, object]] = {}

    def walk(node: Value, path: tuple[str | int, ...]) -> None:
        if isinstance(node, Mapping):
            for key, value in node.items():
                if key.startswith("x-"):
                    found.setdefault(dotted(path), {})[key] = plain(value)
                else:
                    walk(value, (*path, key))
        elif isinstance(node, Sequence):
            for index, value in enumerate(node):
                walk(value, (*path, index))

    walk(root, ())
    return found
