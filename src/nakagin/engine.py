"""The composition root: from settings to rooms that know each other; start, recovery and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nakagin.containers.lifecycle import Containers
    from nakagin.events import EventBus
    from nakagin.images.library import Images
    from nakagin.network.networks import Networks
    from nakagin.volumes import Volumes


class Engine:
    """One engine: `containers`, `images`, `networks`, `volumes` and `events` are its facades."""

    containers: Containers
    images: Images
    networks: Networks
    volumes: Volumes
    events: EventBus

    async def start(self) -> None:
        """Open the records, start the zygote, recover what a crash left."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Let go of everything; containers run on."""
        raise NotImplementedError

    async def info(self) -> dict[str, Any]:
        """The document of GET /info."""
        raise NotImplementedError

    def version(self) -> dict[str, Any]:
        """The document of GET /version."""
        raise NotImplementedError

    async def disk_usage(self) -> dict[str, Any]:
        """The document of GET /system/df."""
        raise NotImplementedError
