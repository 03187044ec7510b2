"""All registries, as one engine reaches them: which endpoints, with which connections, tokens and certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Denied
from nakagin.registry.client import Registry
from nakagin.registry.credentials import ANONYMOUS
from nakagin.registry.elsewhere import Elsewhere
from nakagin.registry.endpoints import DOCKER_HUB
from nakagin.registry.proxies import Proxies
from nakagin.registry.search import HUB_INDEX
from nakagin.registry.tokens import Authorizer
from nakagin.registry.transport import PATIENCE, Patience, Transport
from nakagin.registry.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.registry.credentials import Credentials
    from nakagin.registry.endpoints import Endpoint
    from nakagin.registry.policy import PolicySource

_MOST_KEPT = 64


class Registries:
    """Makes clients and keeps what makes the next request cheap: connections, schemes that work, tokens.

    Use it from one event loop; `close` at the end.
    """

    def __init__(
        self, source: PolicySource, proxies: Proxies | None = None, patience: Patience = PATIENCE
    ) -> None:
        self.source = source
        self.wire = Wire(proxies or Proxies())
        self._patience = patience
        self._kept: dict[tuple[Endpoint, Credentials], Registry] = {}

    def sources(self, domain: str, credentials: Credentials = ANONYMOUS) -> Sequence[Registry]:
        """Where to pull from, in order: mirrors (anonymously), then the registry itself. Raises Denied, Invalid."""
        endpoints = self.source.current().endpoints(domain)
        return [self._registry(each, ANONYMOUS if each.mirror else credentials) for each in endpoints]

    def registry(self, domain: str, credentials: Credentials = ANONYMOUS) -> Registry:
        """The registry itself, to push to. Raises Denied, Invalid."""
        (endpoint,) = self.source.current().endpoints(domain, push=True)
        return self._registry(endpoint, credentials)

    def elsewhere(self, urls: Sequence[str]) -> Sequence[Elsewhere]:
        """The places outside of registries that these URLs name; those that are no web addresses are left out."""
        return [Elsewhere(self.wire, url) for url in urls if url.startswith(("https://", "http://"))]

    def index(self, domain: str, credentials: Credentials = ANONYMOUS) -> Registry:
        """Where to search: Docker Hub has another machine for that."""
        (endpoint,) = self.source.current().endpoints(domain, push=True)
        if endpoint.address == DOCKER_HUB:
            endpoint = msgspec.structs.replace(endpoint, address=HUB_INDEX)
        return self._registry(endpoint, credentials)

    def _registry(self, endpoint: Endpoint, credentials: Credentials) -> Registry:
        endpoint = self.source.certified(endpoint)
        key = (endpoint, credentials)
        found = self._kept.pop(key, None) or Registry(self._transport(endpoint, credentials))
        self._kept[key] = found
        while len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return found

    def _transport(self, endpoint: Endpoint, credentials: Credentials) -> Transport:
        authorizer = Authorizer(self.wire, endpoint, credentials)
        lax = self.source.current().is_insecure
        return Transport(self.wire, endpoint, authorizer, patience=self._patience, is_insecure=lax)

    async def log_in(self, domain: str, credentials: Credentials) -> str:
        """Check credentials at a registry; the identity token it gave instead of the password, or "".

        Raises Denied where they are wrong.
        """
        (endpoint,) = self.source.current().endpoints(domain, push=True)
        transport = self._transport(self.source.certified(endpoint), credentials)
        challenges = await transport.challenges()
        bearer = next((each for each in challenges if each.scheme == "bearer"), None)
        if bearer is not None:
            await transport.authorizer.log_in(bearer)
            return transport.authorizer.identity_token
        if challenges and credentials.anonymous:
            raise Denied(f"{endpoint}: no basic auth credentials")
        await Registry(transport).ping()
        return ""

    async def close(self) -> None:
        """Close all connections."""
        self._kept.clear()
        await self.wire.close()
