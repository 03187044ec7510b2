"""The labels and names by which Compose knows its own, and we its. Light: what only looks needs no more."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.compose.model import Project, Service

#: The release of Docker Compose whose labels, names and hashes these are.
FOLLOWED = "2.40.3"

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
CONFIG_HASH = "com.docker.compose.config-hash"
ONEOFF = "com.docker.compose.oneoff"
WORKING_DIR = "com.docker.compose.project.working_dir"
CONFIG_FILES = "com.docker.compose.project.config_files"
ENVIRONMENT_FILE = "com.docker.compose.project.environment_file"
DEPENDENCIES = "com.docker.compose.depends_on"
IMAGE = "com.docker.compose.image"
REPLACE = "com.docker.compose.replace"
VERSION = "com.docker.compose.version"
NETWORK = "com.docker.compose.network"
VOLUME = "com.docker.compose.volume"
SLUG = "com.docker.compose.slug"
#: Ours alone: SHA-256 over the configs and secrets that were copied in, where there are any.
CONTENTS = "io.nakagin.compose.contents-hash"


def container_name(project: Project, name: str, service: Service, number: int) -> str:
    """What the container is called."""
    return service.container_name or f"{project.name}-{name}-{number}"


def image_name(project: Project, name: str, service: Service) -> str:
    """The image of a service; one that is built has a name of its own unless the file gives one."""
    return service.image or f"{project.name}-{name}"


def image_key(project: Project, name: str, service: Service) -> tuple[str, str]:
    """Which image a service needs: its name, and the platform that is asked for ("" is any)."""
    return image_name(project, name, service), project.platform_of(service)
