"""A project cut down to some of its services, and to what they use."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from nakagin.compose.model import Project
from nakagin.errors import Invalid, NotFound, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.client import Client


def without_unused(project: Project) -> Project:
    """Without the networks, volumes, secrets and configs that no active service uses."""
    services = project.services.values()
    networks = {name for each in services for name in each.networks}
    volumes = {mount.source for each in services for mount in each.volumes if mount.type == "volume"}
    secrets = {reference.source for each in services for reference in each.secrets}
    secrets |= {reference.source for each in services if each.build for reference in each.build.secrets}
    configs = {reference.source for each in services for reference in each.configs}
    models = {name for each in services for name in each.models}
    return replace(
        project,
        networks={key: each for key, each in project.networks.items() if key in networks},
        volumes={key: each for key, each in project.volumes.items() if key in volumes},
        secrets={key: each for key, each in project.secrets.items() if key in secrets},
        configs={key: each for key, each in project.configs.items() if key in configs},
        models={key: each for key, each in project.models.items() if key in models},
    )


def for_services(project: Project, names: Sequence[str], *, dependencies: bool = True) -> Project:
    """Only these services and, with `dependencies`, what they depend on; all of them where none is named.

    A service that no profile enables is enabled by being named. Raises NotFound.
    """
    if not names:
        return project
    every = project.every_service
    chosen: dict[str, None] = {}

    def choose(name: str, *, required: bool = True) -> None:
        if name not in every:
            if required:
                raise NotFound(f"no such service: {name}", hint=nearest(name, tuple(every)))
            return
        if name in chosen:
            return
        chosen[name] = None
        if dependencies:
            for other, dependency in every[name].depends_on.items():
                choose(other, required=dependency.required)

    for name in names:
        choose(name)
    services = {name: each for name, each in sorted(every.items()) if name in chosen}
    if not dependencies:
        services = {
            name: replace(
                each, depends_on={key: value for key, value in each.depends_on.items() if key in chosen}
            )
            for name, each in services.items()
        }
    left = {name: each for name, each in every.items() if name not in chosen}
    return replace(project, services=services, disabled=left)


def with_image_digests(client: Client, project: Project) -> Project:
    """With each image pinned to the digest that its registry has for it now."""
    from nakagin.spec.reference import Reference

    services = {}
    for name, service in project.services.items():
        pinned = service.image
        if pinned and "@" not in pinned:
            reference = Reference.parse(pinned).tagged()
            pinned = f"{reference}@{client.images.distribution(pinned)['Descriptor']['digest']}"
        services[name] = replace(service, image=pinned)
    return replace(project, services=services)


def build_order(project: Project, names: Sequence[str]) -> list[str]:
    """These services and those that they are built from, which come first. Raises NotFound, Invalid for a circle."""
    done: dict[str, None] = {}

    def visit(name: str, way: tuple[str, ...]) -> None:
        if name in done:
            return
        if name in way:
            circle = " -> ".join([*way[way.index(name) :], name])
            raise Invalid(f"these services are built from each other: {circle}")
        if name not in project.every_service:
            raise NotFound(f"service {way[-1]!r} is built from {name!r}, which is no service")
        for other in project.every_service[name].built_from:
            visit(other, (*way, name))
        done[name] = None

    for name in names:
        visit(name, ())
    return list(done)
