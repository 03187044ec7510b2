"""`use_api_socket: true`: the engine's socket and the user's credentials, inside of a service. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from nakagin.compose.model import FileObject, Project, Service
from nakagin.compose.parts import FileReference, Mount
from nakagin.errors import Unsupported

_SOCKET = "/var/run/docker.sock"
#: Where a client in the container looks for its configuration; the name of the config is Compose's own.
_FOLDER = "/run/secrets/docker"
_CONFIG = "#apisocket"


def wants_socket(project: Project) -> bool:
    """Whether a service asks for it."""
    return any(each.use_api_socket for each in project.services.values())


def with_socket(project: Project, socket: str | None, credentials: str) -> Project:
    """The project whose services have what they ask for; `socket` is the engine's path, `credentials` a config.json.

    Raises Unsupported for an engine that has no socket here.
    """
    if socket is None:
        raise Unsupported(
            "use_api_socket needs an engine behind a unix socket", hint="set DOCKER_HOST=unix://…"
        )
    services = {
        name: _service(each, socket) if each.use_api_socket else each
        for name, each in project.services.items()
    }
    config = FileObject(name=f"{project.name}_{_CONFIG}", content=credentials)
    return replace(project, services=services, configs={**project.configs, _CONFIG: config})


def _service(service: Service, socket: str) -> Service:
    mounted = [*service.volumes, Mount(type="bind", source=socket, target=_SOCKET)]
    if "DOCKER_CONFIG" in service.environment:  # it knows by itself
        return replace(service, volumes=mounted)
    environment: Mapping[str, str | None] = {**service.environment, "DOCKER_CONFIG": _FOLDER}
    return replace(
        service,
        volumes=mounted,
        configs=[*service.configs, FileReference(source=_CONFIG, target=f"{_FOLDER}/config.json")],
        environment=dict(sorted(environment.items())),
    )
