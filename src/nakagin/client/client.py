"""The door of the SDK: one engine, its nouns and its system-wide verbs."""

from __future__ import annotations

import os

from nakagin.client.endpoint import Endpoint, complete, resolve
from nakagin.client.session import Session, document, filter_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Self, Unpack

    from nakagin.client.containers import Containers
    from nakagin.client.images import Images
    from nakagin.client.lease import Lease
    from nakagin.client.manifests import Manifests
    from nakagin.client.networks import Networks
    from nakagin.client.sandbox import Outcome, SandboxOptions
    from nakagin.client.session import Document, Filters, Response
    from nakagin.client.volumes import Volumes


class Client:
    """An engine. `with Client.from_env() as engine: engine.containers.run("busybox", ["true"])`.

    `timeout` (seconds) bounds each wait for bytes of an ordinary request; what waits by nature (logs, events,
    wait, attach) has none. Not for use by several threads at once: give each its own Client.
    """

    def __init__(
        self, endpoint: Endpoint | str, *, timeout: float | None = 60.0, version: str | None = None
    ) -> None:
        if isinstance(endpoint, str):
            endpoint = Endpoint(complete(endpoint))
        self.session = Session(endpoint, timeout=timeout, version=version)

    @classmethod
    def from_env(
        cls,
        *,
        host: str | None = None,
        context: str | None = None,
        timeout: float | None = 60.0,
        environment: Mapping[str, str] | None = None,
    ) -> Client:
        """The engine that NAKAGIN_HOST, DOCKER_HOST or DOCKER_CONTEXT name (with its TLS variables), else ours."""
        variables = os.environ if environment is None else environment
        endpoint = resolve(variables, host=host, context=context)
        return cls(endpoint, timeout=timeout, version=variables.get("DOCKER_API_VERSION") or None)

    @property
    def containers(self) -> Containers:
        """The engine's containers."""
        from nakagin.client.containers import Containers

        return Containers(self.session)

    @property
    def images(self) -> Images:
        """The engine's images."""
        from nakagin.client.images import Images

        return Images(self.session)

    @property
    def volumes(self) -> Volumes:
        """The engine's named volumes."""
        from nakagin.client.volumes import Volumes

        return Volumes(self.session)

    @property
    def manifests(self) -> Manifests:
        """Manifest lists in the making."""
        from nakagin.client.manifests import Manifests

        return Manifests(self.session)

    @property
    def networks(self) -> Networks:
        """The engine's networks."""
        from nakagin.client.networks import Networks

        return Networks(self.session)

    def ping(self) -> str:
        """The engine's API version; Unavailable where none answers."""
        with self.session.request("GET", "/_ping", versioned=False) as answer:
            answer.read()
            return answer.headers.get("api-version", "")

    def version(self) -> Document:
        """What the engine is (GET /version)."""
        return document(self.session.request("GET", "/version"))

    def info(self) -> Document:
        """The engine's state and its machine's (GET /info)."""
        return document(self.session.request("GET", "/info"))

    def resources(self) -> Document:
        """What the engine's machine has, and has free, of all that containers use up (Nakagin only)."""
        return document(self.session.request("GET", "/nakagin/system/resources", versioned=False))

    def disk_usage(self) -> Document:
        """Space used by images, containers and volumes (GET /system/df)."""
        return document(self.session.request("GET", "/system/df", timeout=None))

    def prune_build_cache(
        self, filters: Filters | None = None, *, all: bool = False, keep: int | None = None
    ) -> Document:
        """Remove what no build uses: {"CachesDeleted": [...], "SpaceReclaimed": bytes}. `keep`: so many bytes stay."""
        query = {
            "filters": filter_query(filters),
            "all": all or None,
            "reserved-space": keep,
            "keep-storage": keep,
        }
        return document(self.session.request("POST", "/build/prune", query, timeout=None))

    def fsck(self, *, dry_run: bool = False) -> Iterator[Document]:
        """Check what is stored, and mend it unless `dry_run` (Nakagin only): Problem, Kind, Name, Images, Outcome."""
        query = {"dryRun": dry_run or None}
        path = "/nakagin/system/fsck"
        with self.session.request("POST", path, query, timeout=None, versioned=False) as answer:
            yield from answer.documents()

    def events(
        self,
        *,
        since: str | float | None = None,
        until: str | float | None = None,
        filters: Filters | None = None,
    ) -> Iterator[Document]:
        """The engine's events as they happen; `since` and `until` are seconds or Docker's texts."""
        yield from self.events_stream(since=since, until=until, filters=filters).documents()

    def events_stream(
        self,
        *,
        since: str | float | None = None,
        until: str | float | None = None,
        filters: Filters | None = None,
    ) -> Response:
        """The same as an answer: the engine listens already when this returns."""
        query = {"since": since, "until": until, "filters": filter_query(filters)}
        return self.session.request("GET", "/events", query, timeout=None)

    def lease(self) -> Lease:
        """`with engine.lease():` what is made in the block is removed after it, or when this process dies."""
        from nakagin.client.lease import Lease

        return Lease(self.session)

    def sandbox(self, image: str, command: Sequence[str], **options: Unpack[SandboxOptions]) -> Outcome:
        """Run what is not trusted: no network, read-only root, no rights, bounded; see `nakagin.client.sandbox`."""
        from nakagin.client import sandbox

        return sandbox.run(self, image, command, **options)

    def close(self) -> None:
        """Close the idle connections."""
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
