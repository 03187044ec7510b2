"""Every request comes through here: limits, identity, permission, handler; and every error becomes an answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import web

from nakagin.errors import Damaged, Denied, Exhausted, NakaginError, NotFound, Unavailable
from nakagin.registry.server import deletion, discovery, pull, push, refusals, routes
from nakagin.registry.server.access import Access, action_of, scope_of
from nakagin.registry.server.call import GONE, JSON, Call, done, whole
from nakagin.registry.server.issuing import issue
from nakagin.registry.server.metrics import Metrics
from nakagin.registry.server.pace import Pace
from nakagin.registry.server.refusals import Refusal
from nakagin.registry.server.registry import Registry
from nakagin.registry.server.routes import Target, target_of
from nakagin.spec.exposition import TEXT

if TYPE_CHECKING:
    from nakagin.registry.server.through import Through

log = logging.getLogger("nakagin.registry")
access_log = logging.getLogger("nakagin.registry.access")

Handler = Callable[[Call], Awaitable[web.StreamResponse]]

_HANDLERS: dict[str, dict[str, Handler]] = {
    routes.BASE: {"GET": discovery.base},
    routes.CATALOG: {"GET": discovery.catalog},
    routes.TAGS: {"GET": discovery.tags},
    routes.REFERRERS: {"GET": discovery.referrers},
    routes.MANIFEST: {"GET": pull.manifest, "PUT": push.put_manifest, "DELETE": deletion.manifest},
    routes.BLOB: {"GET": pull.blob, "DELETE": deletion.blob},
    routes.UPLOADS: {"POST": push.begin},
    routes.UPLOAD: {"GET": push.status, "PATCH": push.chunk, "PUT": push.finish, "DELETE": push.cancel},
}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_CLIENT_GONE = 499

#: What the rooms below raise → the door's own words.
_TABLE: tuple[tuple[type[NakaginError], Callable[[str], Refusal]], ...] = (
    (Exhausted, refusals.no_space),
    (Unavailable, refusals.unavailable),
    (Denied, refusals.denied),
    (NotFound, lambda message: Refusal(404, "MANIFEST_UNKNOWN", message)),
    (Damaged, lambda message: Refusal(500, "UNKNOWN", message)),
)


class Door:
    """Takes requests to handlers."""

    def __init__(
        self,
        registry: Registry,
        access: Access,
        metrics: Metrics,
        pool: ThreadPoolExecutor,
        through: Through | None = None,
    ) -> None:
        self._registry = registry
        self._access = access
        self._metrics = metrics
        self._pool = pool
        self._through = through
        settings = registry.settings
        self._read_only = settings.read_only or through is not None
        self._may_delete = settings.delete
        self._idle = asyncio.Event()
        self._idle.set()
        self._pace = Pace(settings.requests_per_minute) if settings.requests_per_minute else None

    async def drained(self, seconds: float) -> None:
        """Wait until no request is under way, but not longer."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        began = time.monotonic()
        kind, user, status = "none", "-", _CLIENT_GONE
        self._metrics.under_way += 1
        self._idle.clear()
        try:
            try:
                target = target_of(request.path)
                kind = target.kind
                answer, user = await self._admitted(request, target)
            except Refusal as refusal:
                answer = _refused(refusal)
            status = answer.status
            if request.method != "HEAD":
                self._metrics.sent += answer.content_length or 0
            return answer
        finally:
            self._metrics.under_way -= 1
            if not self._metrics.under_way:
                self._idle.set()
            self._note(request, kind, user, status, time.monotonic() - began)

    async def _admitted(self, request: web.BaseRequest, target: Target) -> tuple[web.StreamResponse, str]:
        """The answer, and who got it."""
        if self._pace is not None and (wait := self._pace.wait(request.remote or "")):
            raise refusals.too_many_requests(wait)
        if target.kind == routes.TOKEN:
            return await issue(self._access, request), "-"
        origin = f"{request.scheme}://{request.host}"
        if self._through is not None:
            target = self._through.localized(target, request.query.get("ns", ""))
        action = action_of(request.method, target.kind)
        scope = scope_of(action, target.name) if target.name else ""
        identity = await self._access.identify(request.headers.get("Authorization", ""), origin, scope)
        user = identity.user or "-"
        if target.name:
            self._access.require(identity, action, target.name, origin)
        else:
            self._access.require_user(identity, origin)
        if target.kind == routes.METRICS:
            return self._counted(), user
        handler = self._handler(request.method, target.kind)
        call = Call(self._registry, request, target, identity, self._pool, self._through)
        return await self._answer(call, handler), user

    def _handler(self, method: str, kind: str) -> Handler:
        handlers = _HANDLERS[kind]
        handler = handlers.get("GET" if method == "HEAD" else method)
        allowed = {"Allow": ", ".join(sorted({*handlers, *(["HEAD"] if "GET" in handlers else [])}))}
        if handler is None:
            raise refusals.unsupported(f"{method[:20]} is not possible here", headers=allowed)
        if self._read_only and (method not in ("GET", "HEAD") or kind == routes.UPLOAD):
            raise refusals.unsupported("this registry is read-only")
        if method == "DELETE" and kind != routes.UPLOAD and not self._may_delete:
            raise refusals.unsupported("deletion is disabled in this registry")
        return handler

    async def _answer(self, call: Call, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(call)
        except (Refusal, asyncio.CancelledError):
            raise
        except GONE as error:
            log.debug("%s %s: the client has gone: %s", call.request.method, call.request.path, error)
            return _cut(call.request)
        except Exception as error:
            refusal = _refusal_of(error)
            if refusal.status == 500:
                log.error("%s %s", call.request.method, call.request.path, exc_info=error)
            if not call.started:
                raise refusal from error
            # Half an answer is out: cut it, so that nobody takes it for the whole.
            return _cut(call.request)

    def _counted(self) -> web.Response:
        if not self._registry.settings.metrics:
            raise refusals.unsupported("metrics are not switched on", status=404)
        text = self._metrics.text(self._registry.uploads.count())
        return whole(text.encode(), {"Content-Type": TEXT})

    def _note(self, request: web.BaseRequest, kind: str, user: str, status: int, seconds: float) -> None:
        method = request.method if request.method in _METHODS else "other"
        self._metrics.request(method, kind, status, seconds)
        self._metrics.received += request.content.total_bytes
        if self._registry.settings.access_log:
            access_log.info(
                '%s %s "%s %s" %d %.4f "%s"', request.remote or "-", user, request.method[:20],
                request.raw_path, status, seconds, request.headers.get("User-Agent", "-").replace('"', "'"),
            )  # fmt: skip


def _cut(request: web.BaseRequest) -> web.Response:
    """End the connection; the answer is for the log only."""
    if request.transport is not None:
        request.transport.abort()
    return done(_CLIENT_GONE)


def _refusal_of(error: Exception) -> Refusal:
    for kind, refusal in _TABLE:
        if isinstance(error, kind):
            return refusal(str(error))
    return refusals.internal()


def _refused(refusal: Refusal) -> web.StreamResponse:
    return whole(refusal.body(), {"Content-Type": JSON, **refusal.headers}, refusal.status)
