"""Made by tools/async-client from client/client.py; do not edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.client import client as sync
from nakagin.client.aio.running import Facade, SharedSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from typing import Unpack

    from nakagin.client.aio.containers import Containers
    from nakagin.client.aio.images import Images
    from nakagin.client.aio.lease import Lease
    from nakagin.client.aio.networks import Networks
    from nakagin.client.aio.volumes import Volumes
    from nakagin.client.endpoint import Endpoint
    from nakagin.client.sandbox import Outcome, SandboxOptions
    from nakagin.client.session import Document, Filters, Response


class AsyncClient(Facade[sync.Client]):
    """An engine. `with Client.from_env() as engine: engine.containers.run("busybox", ["true"])`.

    `timeout` (seconds) bounds each wait for bytes of an ordinary request; what waits by nature (logs, events,
    wait, attach) has none. Not for use by several threads at once: give each its own Client.
    """

    def __init__(
        self, endpoint: Endpoint | str, *, timeout: float | None = 60.0, version: str | None = None
    ) -> None:
        self._adopt(sync.Client(endpoint, timeout=timeout, version=version))

    def _adopt(self, made: sync.Client) -> None:
        made.session = SharedSession.of(made.session)
        super().__init__(made, made.session)

    @classmethod
    def from_env(
        cls,
        *,
        host: str | None = None,
        context: str | None = None,
        timeout: float | None = 60.0,
        environment: Mapping[str, str] | None = None,
    ) -> AsyncClient:
        """The engine that NAKAGIN_HOST, DOCKER_HOST or DOCKER_CONTEXT name (with its TLS variables), else ours."""
        found = cls.__new__(cls)
        found._adopt(
            sync.Client.from_env(host=host, context=context, timeout=timeout, environment=environment)
        )
        return found

    async def close(self) -> None:
        """Close the idle connections."""
        self._sync.close()

    @property
    def containers(self) -> Containers:
        """The engine's containers."""
        found: Containers = self._faced(self._sync.containers)
        return found

    @property
    def images(self) -> Images:
        """The engine's images."""
        found: Images = self._faced(self._sync.images)
        return found

    @property
    def volumes(self) -> Volumes:
        """The engine's named volumes."""
        found: Volumes = self._faced(self._sync.volumes)
        return found

    @property
    def networks(self) -> Networks:
        """The engine's networks."""
        found: Networks = self._faced(self._sync.networks)
        return found

    async def ping(self) -> str:
        """The engine's API version; Unavailable where none answers."""
        found: str = await self._call(self._sync.ping)
        return found

    async def version(self) -> Document:
        """What the engine is (GET /version)."""
        found: Document = await self._call(self._sync.version)
        return found

    async def info(self) -> Document:
        """The engine's state and its machine's (GET /info)."""
        found: Document = await self._call(self._sync.info)
        return found

    async def resources(self) -> Document:
        """What the engine's machine has, and has free, of all that containers use up (Nakagin only)."""
        found: Document = await self._call(self._sync.resources)
        return found

    async def disk_usage(self) -> Document:
        """Space used by images, containers and volumes (GET /system/df)."""
        found: Document = await self._call(self._sync.disk_usage)
        return found

    async def prune_build_cache(
        self, filters: Filters | None = None, *, all: bool = False, keep: int | None = None
    ) -> Document:
        """Remove what no build uses: {"CachesDeleted": [...], "SpaceReclaimed": bytes}. `keep`: so many bytes stay."""
        found: Document = await self._call(self._sync.prune_build_cache, filters, all=all, keep=keep)
        return found

    def fsck(self, *, dry_run: bool = False) -> AsyncIterator[Document]:
        """Check what is stored, and mend it unless `dry_run` (Nakagin only): Problem, Kind, Name, Images, Outcome."""
        return self._iterate(self._sync.fsck, dry_run=dry_run)

    def events(
        self,
        *,
        since: str | float | None = None,
        until: str | float | None = None,
        filters: Filters | None = None,
    ) -> AsyncIterator[Document]:
        """The engine's events as they happen; `since` and `until` are seconds or Docker's texts."""
        return self._iterate(self._sync.events, since=since, until=until, filters=filters)

    async def events_stream(
        self,
        *,
        since: str | float | None = None,
        until: str | float | None = None,
        filters: Filters | None = None,
    ) -> Response:
        """The same as an answer: the engine listens already when this returns."""
        found: Response = await self._call(
            self._sync.events_stream, since=since, until=until, filters=filters
        )
        return found

    def lease(self) -> Lease:
        """`with engine.lease():` what is made in the block is removed after it, or when this process dies."""
        found: Lease = self._faced(self._sync.lease())
        return found

    async def sandbox(self, image: str, command: Sequence[str], **options: Unpack[SandboxOptions]) -> Outcome:
        """Run what is not trusted: no network, read-only root, no rights, bounded; see `nakagin.client.sandbox`."""
        found: Outcome = await self._call(self._sync.sandbox, image, command, **options)
        return found
