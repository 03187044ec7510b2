"""The Docker Engine API over aiohttp's low-level server: version, route, handler, and the door for errors."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from nakagin.api import (
    absent,
    archives,
    asking,
    bootstrap,
    build,
    buildcache,
    containers,
    execs,
    fsck,
    handover,
    images,
    leases,
    manifests,
    networks,
    output,
    push,
    reach,
    registries,
    system,
    transfer,
    versions,
    volumes,
)
from nakagin.api.answers import Answer, failure
from nakagin.api.buildkit import doors
from nakagin.api.call import BODY_LIMIT, Call
from nakagin.api.porch import Porch, PorchServer
from nakagin.api.routes import Table
from nakagin.api.translate import message_of, status_of
from nakagin.errors import NakaginError

if TYPE_CHECKING:
    from nakagin.api.metrics import Metrics
    from nakagin.api.scope import Scope
    from nakagin.engine import Engine

log = logging.getLogger("nakagin.api")

#: Bytes of a body that may wait for a slow reader: archives come in large pieces.
BODY_AHEAD = 1 << 20
#: Seconds that a closing engine waits for requests under way before it cuts them.
SHUTDOWN_TIMEOUT = 2.0

_DOERS = (
    absent, archives, bootstrap, buildcache, containers, execs, fsck, handover, images, leases, manifests, networks,
    output, reach, registries, transfer, volumes,
)  # fmt: skip
_READERS = (
    archives, asking, build, containers, doors, execs, handover, images, leases, manifests, networks, output, push,
    reach, registries, system, transfer, volumes,
)  # fmt: skip


def make_runner(engine: Engine, scope: Scope | None = None, metrics: Metrics | None = None) -> web.BaseRunner:
    """The server for `engine`, ready for `setup()` and sites; `scope` says what its clients may do (None: everything).

    What it answers is counted by `metrics`, where given. Needs a running event loop.
    """
    door = Door(engine, scope, metrics)
    server = PorchServer(
        door.handle,
        request_factory=door.request,
        handler_cancellation=True,
        access_log=None,
        read_bufsize=BODY_AHEAD,
    )
    return _Runner(server, door)


class _Runner(web.ServerRunner):
    """Ends streams when the engine closes; other requests have a moment to finish."""

    __slots__ = ("_door",)

    def __init__(self, server: web.Server, door: Door) -> None:
        super().__init__(server, shutdown_timeout=SHUTDOWN_TIMEOUT)
        self._door = door

    async def shutdown(self) -> None:
        self._door.end_streams()


class Door:
    """Takes requests to handlers and turns what they raise into answers."""

    def __init__(self, engine: Engine, scope: Scope | None = None, metrics: Metrics | None = None) -> None:
        self._engine = engine
        self._scope = scope
        self._metrics = metrics
        self._table = Table(deeds=[noun.DEEDS for noun in _DOERS], reads=[noun.READS for noun in _READERS])
        self._streams: set[asyncio.Task[object]] = set()

    def end_streams(self) -> None:
        """Cancel everything that would go on until its client goes."""
        for task in self._streams:
            task.cancel()

    def request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        """A request without an application around it."""
        porch = protocol.transport.get_protocol() if protocol.transport is not None else None
        if isinstance(porch, Porch):
            porch.begun(payload)
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=BODY_LIMIT)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; never raises but for a client that has gone."""
        begun = time.perf_counter()
        try:
            response = await self._answer(request)
            if self._metrics is not None:
                self._metrics.answered(self._key(request), response.status, time.perf_counter() - begun)
            return response
        finally:
            protocol = request.transport.get_protocol() if request.transport is not None else None
            if isinstance(protocol, Porch):
                protocol.answered()

    def _key(self, request: web.BaseRequest) -> str:
        """Which route it took; what clients made up is not counted by its name."""
        with contextlib.suppress(NakaginError):
            if (found := self._table.find(request.method, versions.split(request.path)[1])) is not None:
                return found[0].key
        return "unknown"

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        call: Call | None = None
        try:
            if request.method == "OPTIONS":  # of any path, as dockerd answers it
                return Answer(200)
            version, path = versions.split(request.path)
            found = self._table.find(request.method, path)
            if found is None:
                return failure(404, "page not found")
            route, name = found
            call = Call(self._engine, request, name, version)
            if self._scope is not None:
                call.scope = self._scope
                await self._scope.admit(call, request.method, path)
            if not route.follows_client:
                return await call.unbroken(route.handler(call))
            task = asyncio.current_task()
            assert task is not None
            self._streams.add(task)
            try:
                return await route.handler(call)
            finally:
                self._streams.discard(task)
        except web.HTTPException as error:
            return failure(error.status, error.reason)
        except ConnectionError:
            raise
        except Exception as error:
            refusal = _refusal(request, error)
            if call is None or not call.begun:
                return refusal
            # Half an answer is out: cut it, so that nobody takes it for the whole.
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the answer was cut short") from error


def _refusal(request: web.BaseRequest, error: Exception) -> Answer:
    status = status_of(error)
    message = message_of(error)
    if status is None or (status == 500 and not isinstance(error, NakaginError)):
        log.error("%s %s: %s", request.method, request.path, message, exc_info=error)
    else:
        log.debug("%s %s: %s %s", request.method, request.path, status, message)
    return Answer(304) if status == 304 else failure(status or 500, message)
