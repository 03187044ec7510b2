"""What only the client of a build has: folders, secrets, agents, and places for what comes out.

A build asks for each when it needs it, and for nothing that it does not need. Who only sent a tar (plain
`POST /build`) has that and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nakagin.errors import Invalid, NotFound
from nakagin.registry.credentials import ANONYMOUS
from nakagin.spec.domain import DEFAULT_DOMAIN

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from nakagin.build.context import Context
    from nakagin.build.depots.model import Depot
    from nakagin.registry.credentials import Credentials
    from nakagin.storage.compression import Readable


class Supplies(Protocol):
    """The client, as a build sees it."""

    async def context(self, name: str) -> Context:
        """A folder of the client: "" is the build's own, others are named contexts. The caller closes it."""

    def archive(self, kind: str, name: str) -> AbstractAsyncContextManager[Readable]:
        """A tar that the client has: an OCI layout, a cache. Read it in a worker thread."""

    def depot(self, attributes: Mapping[str, str]) -> Depot | None:
        """A folder of the client as a depot of caches (type=local); None where it comes and goes as an archive."""

    async def secret(self, id: str) -> bytes | None:
        """A secret's bytes; None where the client has none of this name."""

    async def credentials(self, domain: str) -> Credentials:
        """Who we are to a registry."""

    def has_agent(self, id: str) -> bool:
        """Whether the client lets us speak to an ssh agent of this name."""

    async def talk(self, kind: str, name: str, connection: socket.socket) -> None:
        """Join a connection with the client until one of them ends; closes it. "ssh": its agent of that name;
        "shell": its terminal, for the container of that ID."""

    async def deliver(self, kind: str, name: str, pieces: Iterator[bytes]) -> None:
        """Send the client an archive."""


class OnlyContext:
    """A client that sent its context and can not be asked."""

    def __init__(self, context: Context | None, credentials: Mapping[str, Credentials]) -> None:
        """`credentials` are by registry, as Docker's clients name them."""
        self._context = context
        self._credentials = credentials

    async def context(self, name: str) -> Context:
        if name or self._context is None:
            raise Invalid(
                f"the client has sent no folder {name}".rstrip(),
                hint="build with `nakagin build`, or send a tar",
            )
        return self._context

    def archive(self, kind: str, name: str) -> AbstractAsyncContextManager[Readable]:
        raise NotFound(f"the client has sent no {kind} {name}", hint="build with `nakagin build`")

    def depot(self, attributes: Mapping[str, str]) -> Depot | None:
        return None

    async def secret(self, id: str) -> bytes | None:
        return None

    async def credentials(self, domain: str) -> Credentials:
        names = [domain, f"https://{domain}", f"https://{domain}/v1/"]
        if domain == DEFAULT_DOMAIN:
            names += ["https://index.docker.io/v1/", "index.docker.io"]
        return next((self._credentials[name] for name in names if name in self._credentials), ANONYMOUS)

    def has_agent(self, id: str) -> bool:
        return False

    async def talk(self, kind: str, name: str, connection: socket.socket) -> None:
        connection.close()

    async def deliver(self, kind: str, name: str, pieces: Iterator[bytes]) -> None:
        raise Invalid(f"the client takes no {kind}", hint="build with `nakagin build`")
