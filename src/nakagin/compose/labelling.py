"""All labels of a thing that is made: the user's and Compose's."""

from __future__ import annotations

from nakagin.compose.hashes import network_hash, volume_hash
from nakagin.compose.labels import (
    CONFIG_FILES,
    CONFIG_HASH,
    DEPENDENCIES,
    FOLLOWED,
    IMAGE,
    NETWORK,
    NUMBER,
    ONEOFF,
    PROJECT,
    SERVICE,
    VERSION,
    VOLUME,
    WORKING_DIR,
)
from nakagin.compose.model import Network, Project, Service, Volume


def service_labels(
    project: Project,
    name: str,
    service: Service,
    number: int,
    *,
    settings_hash: str,
    image: str = "",
    oneoff: bool = False,
) -> dict[str, str]:
    """All labels of a container: the user's and Compose's; `settings_hash` is the service's, `image` its image's id."""
    order = [
        f"{key}:{each.condition}:{str(each.restart).lower()}"
        for key, each in sorted(service.depends_on.items())
    ]
    made = {
        **service.labels,
        PROJECT: project.name,
        SERVICE: name,
        VERSION: FOLLOWED,
        ONEOFF: str(oneoff),
        CONFIG_HASH: settings_hash,
        WORKING_DIR: project.working_dir,
        CONFIG_FILES: ",".join(project.files),
        DEPENDENCIES: ",".join(order),
    }
    if number:  # one-off containers have none
        made[NUMBER] = str(number)
    if image:
        made[IMAGE] = image
    return dict(sorted(made.items()))


def network_labels(project: Project, key: str, network: Network) -> dict[str, str]:
    """All labels of a network."""
    ours = {NETWORK: key, PROJECT: project.name, VERSION: FOLLOWED, CONFIG_HASH: network_hash(network)}
    return {**network.labels, **ours}


def volume_labels(project: Project, key: str, volume: Volume) -> dict[str, str]:
    """All labels of a volume."""
    ours = {VOLUME: key, PROJECT: project.name, VERSION: FOLLOWED, CONFIG_HASH: volume_hash(volume)}
    return {**volume.labels, **ours}
