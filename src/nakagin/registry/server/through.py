"""Pull-through: what is not here is fetched from an upstream registry, once for all who ask, and kept.

A tag is asked for again when it is no longer fresh; where the upstream does not answer, what is here is given.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from aiohttp import web

from nakagin.errors import Denied, Invalid, NakaginError, NotFound, Unavailable
from nakagin.registry.client import Registry as Client
from nakagin.registry.credentials import ANONYMOUS, Credentials
from nakagin.registry.endpoints import Endpoint, Files, split_url
from nakagin.registry.proxies import Proxies
from nakagin.registry.server.call import Call, done, streamed
from nakagin.registry.server.fetching import Fetch
from nakagin.registry.server.manifests import read
from nakagin.registry.server.metrics import Metrics
from nakagin.registry.server.names import is_name, is_tag
from nakagin.registry.server.pull import blob_headers, range_of
from nakagin.registry.server.refusals import blob_unknown, manifest_unknown, range_unsatisfiable
from nakagin.registry.server.registry import Registry
from nakagin.registry.server.routes import Target
from nakagin.registry.server.settings import Upstream, seconds_of
from nakagin.registry.tokens import Authorizer
from nakagin.registry.transport import Patience, Transport
from nakagin.registry.wire import Wire
from nakagin.spec.digest import is_digest

log = logging.getLogger("nakagin.registry")
#: Somebody waits for the answer: not as patient as a pull of our own.
_PATIENCE = Patience(attempts=2, pause=0.2, longest_wait=5.0)
_MOST_FRESH = 100_000


class _Source(NamedTuple):
    name: str
    client: Client
    fresh: float


class Through:
    """The upstream registries of one registry. Make it inside a running loop, close it at the end."""

    def __init__(
        self,
        registry: Registry,
        upstreams: tuple[Upstream, ...],
        pool: ThreadPoolExecutor,
        metrics: Metrics,
        proxies: Proxies,
    ) -> None:
        self._registry = registry
        self._pool = pool
        self._metrics = metrics
        self._wire = Wire(proxies)
        self._sources = [
            _Source(name_of(each), self._client(each), seconds_of(each.fresh)) for each in upstreams
        ]
        self._fresh: dict[tuple[str, str], float] = {}
        self._flights: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._fetches: dict[tuple[str, str], Fetch] = {}

    def _client(self, upstream: Upstream) -> Client:
        scheme, address, prefix = split_url(upstream.url)
        files = Files((upstream.ca,) if upstream.ca else ())
        endpoint = Endpoint(name_of(upstream), address, (scheme or "https",), prefix, files=files)
        authorizer = Authorizer(self._wire, endpoint, _credentials(upstream))
        return Client(Transport(self._wire, endpoint, authorizer, patience=_PATIENCE))

    async def close(self) -> None:
        """End what is under way, and all connections."""
        for task in list(self._flights.values()):
            task.cancel()
        await asyncio.gather(*self._flights.values(), return_exceptions=True)
        await self._wire.close()

    def localized(self, target: Target, ns: str) -> Target:
        """The target as it is called here: what is not the first upstream's has its name before it."""
        source = self._source(ns)
        if not target.name or source is self._sources[0]:
            return target
        name = f"{source.name.replace(':', '-').lower()}/{target.name}"
        if not is_name(name):
            raise manifest_unknown(name, target.reference)
        return target._replace(name=name)

    def _source(self, ns: str) -> _Source:
        return next((each for each in self._sources if ns and each.name == ns), self._sources[0])

    def _remote(self, call: Call) -> tuple[_Source, str]:
        """Whom to ask, and what the repository is called there."""
        source = self._source(call.text("ns"))
        prefix = f"{source.name.replace(':', '-').lower()}/"
        return source, call.name if source is self._sources[0] else call.name.removeprefix(prefix)

    # --- Manifests

    async def ensure_manifest(self, call: Call, reference: str) -> None:
        """See that the manifest is here and, if it is asked for by a tag, not outdated. Refusal MANIFEST_UNKNOWN."""
        if is_digest(reference):
            if call.repository.media_type(reference) is not None:
                return
        elif not is_tag(reference) or self._is_fresh(call.name, reference):
            return
        source, remote = self._remote(call)
        key = (call.name, reference)
        await self._once(key, lambda: self._fetch_manifest(call, source, remote, reference))

    def _is_fresh(self, name: str, tag: str) -> bool:
        return self._fresh.get((name, tag), 0.0) > time.monotonic()

    async def _fetch_manifest(self, call: Call, source: _Source, remote: str, reference: str) -> None:
        repository = call.repository
        here = repository.tag(reference) if is_tag(reference) else None
        try:
            if here is None or (await source.client.head_manifest(remote, reference)).digest != here:
                content = await source.client.get_manifest(remote, reference)
                reading = read(content.data, content.descriptor.media_type)
                digest = content.descriptor.digest
                tags = [] if is_digest(reference) else [reference]
                async with self._registry.lock(call.name):
                    await call.threaded(
                        self._registry.put_manifest,
                        repository,
                        digest,
                        content.data,
                        reading,
                        tags,
                        sparse=True,
                    )
                self._metrics.upstream["manifest fetched"] += 1
            else:
                self._metrics.upstream["manifest fresh"] += 1
        except NotFound:
            self._metrics.upstream["unknown"] += 1
            if here is not None:
                repository.delete_tag(reference)
            raise manifest_unknown(call.name, reference) from None
        except (Unavailable, Denied) as error:
            self._metrics.upstream["failed"] += 1
            if here is None:
                raise
            log.warning("%s:%s is given as it was: %s", call.name, reference, error)
        if not is_digest(reference):
            if len(self._fresh) > _MOST_FRESH:
                self._fresh.clear()
            self._fresh[call.name, reference] = time.monotonic() + source.fresh

    async def _once(self, key: tuple[str, str], deed: Callable[[], Awaitable[None]]) -> None:
        """Do it, or wait for whoever is doing it already. A client that goes away stops nothing."""
        task = self._flights.get(key)
        if task is None:
            task = asyncio.ensure_future(_awaited(deed))
            self._flights[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        await asyncio.shield(task)

    def _landed(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        self._flights.pop(key, None)
        if not task.cancelled():
            task.exception()  # it was told to those who waited

    async def tags(self, call: Call) -> list[str] | None:
        """The upstream's tags; None where it does not answer."""
        source, remote = self._remote(call)
        try:
            return list(await source.client.tags(remote))
        except NakaginError as error:
            log.info("the tags of %s are not known upstream: %s", call.name, error)
            return None

    # --- Blobs

    async def blob(self, call: Call, digest: str) -> web.StreamResponse:
        """GET and HEAD of a blob that is not here: passed on while it is fetched. Refusal BLOB_UNKNOWN."""
        source, remote = self._remote(call)
        if call.head_only:
            size = await source.client.blob_size(remote, digest)
            if size is None:
                raise blob_unknown(digest)
            headers = blob_headers(digest) | ({"Content-Length": str(size)} if size >= 0 else {})
            return done(200, headers)
        fetch = await self._joined(call, source, remote, digest)
        return await self._pass_on(call, fetch, digest)

    async def _joined(self, call: Call, source: _Source, remote: str, digest: str) -> Fetch:
        """The fetch of the blob, under way or new, of which the size is known by now."""
        key = (call.name, digest)
        fetch = self._fetches.get(key)
        if fetch is None:
            fetch = Fetch(self._registry, source.client, remote, call.repository, digest)
            self._fetches[key] = fetch
            task = asyncio.ensure_future(fetch.run(self._pool))
            self._flights[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
            task.add_done_callback(lambda _: self._fetches.pop(key, None))
            self._metrics.upstream["blob fetched"] += 1
        task = self._flights[key]
        await fetch.begun.wait()
        if fetch.size < 0 or (task.done() and not fetch.finished):
            try:
                await asyncio.shield(task)  # a failure, or a blob whose size only its end will tell
            except NotFound:
                raise blob_unknown(digest) from None
            fetch.size = self._registry.blobs.size(digest)
        return fetch

    async def _pass_on(self, call: Call, fetch: Fetch, digest: str) -> web.StreamResponse:
        headers = blob_headers(digest)
        first, count, status = 0, fetch.size, 200
        if (wanted := range_of(call.request.headers, fetch.size, digest)) is not None:
            (first, count), status = wanted, 206
            if count <= 0:
                raise range_unsatisfiable(fetch.size)
            headers["Content-Range"] = f"bytes {first}-{first + count - 1}/{fetch.size}"
        pieces = fetch.pieces(first, count)
        answer = streamed(status, headers, count)
        call.started = True
        await answer.prepare(call.request)
        async for piece in pieces:
            await answer.write(piece)
        await answer.write_eof()
        return answer


async def _awaited(deed: Callable[[], Awaitable[None]]) -> None:
    await deed()


def name_of(upstream: Upstream) -> str:
    """What clients call an upstream by `?ns=`."""
    return upstream.name or split_url(upstream.url)[1]


def _credentials(upstream: Upstream) -> Credentials:
    if not upstream.username:
        return ANONYMOUS
    try:
        with open(upstream.password_file, encoding="utf-8") as file:
            return Credentials(username=upstream.username, password=file.read().rstrip("\n"))
    except OSError as error:
        raise Invalid(f"cannot read the password: {error.strerror}", where=upstream.password_file) from None
