"""moby.buildkit.v1.Control and the bridge for frontends, as buildx and Compose use them.

Control.Solve(ref) ─────────── waits ───────────────────────────────────► exporters' answer
Control.Status(ref) ══ vertexes, logs ══►
LLBBridge.Ping, .Solve(dockerfile.v0) ── the build, its outputs ──► result
LLBBridge.Return(result) ── lets Control.Solve answer
"""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING

import msgspec

from nakagin.api.buildkit.attributes import CALLS, request_of
from nakagin.api.buildkit.http2 import UNIMPLEMENTED, UNKNOWN, RemoteError
from nakagin.api.buildkit.protobuf import Message, encode, entries, present
from nakagin.api.buildkit.records import filters_of, history_event, usage_record
from nakagin.api.buildkit.status import Vertexes
from nakagin.build import progress
from nakagin.build.cleanup import limits_of, prune, stored
from nakagin.dockerfile.ignore import read_ignore
from nakagin.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from nakagin.api.buildkit.http2 import Call
    from nakagin.api.buildkit.session import Session
    from nakagin.engine import Engine

_BUILD_ID = "buildkit-controlapi-buildid"
_PATIENCE = 20.0
_CAPABILITIES = (
    "solve.base", "solve.inlinereturn", "return", "returnmap", "proto.refarray", "gateway.solve.metadata",
    "gateway.solve.evaluate", "frontend.caps", "importcaches", "gateway.warnings",
)  # fmt: skip
_EXPORTERS = ("exporter.image.attestations", "exporter.image.annotations", "exporter.multiple")
"""What the results can be, among BuildKit's capabilities of graphs."""


class _Solve:
    """One build: what was asked, what it has told so far, how it ended."""

    def __init__(self, ref: str) -> None:
        loop = asyncio.get_running_loop()
        self.ref = ref
        self.request: asyncio.Future[Message] = loop.create_future()
        self.returned: asyncio.Future[None] = loop.create_future()
        self.answer: dict[str, str] = {}
        self.vertexes = Vertexes(ref)
        self.told: list[bytes] = []
        self.news = asyncio.Event()
        self.over = False

    def tell(self, event: progress.Event) -> None:
        if (message := self.vertexes.tell(event)) is not None:
            self.told.append(message)
            self.news.set()

    def end(self) -> None:
        self.over = True
        self.news.set()


class Control:
    """The service of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions: dict[str, asyncio.Future[Session]] = {}
        self._solves: dict[str, _Solve] = {}
        self._methods: Mapping[str, Callable[[Call, Message], Awaitable[bytes]]] = {
            "/moby.buildkit.v1.Control/Solve": self._solve,
            "/moby.buildkit.v1.Control/Info": self._info,
            "/moby.buildkit.v1.Control/ListWorkers": self._workers,
            "/moby.buildkit.v1.Control/DiskUsage": self._disk_usage,
            "/moby.buildkit.v1.Control/UpdateBuildHistory": self._forget,
            "/moby.buildkit.v1.frontend.LLBBridge/Ping": self._ping,
            "/moby.buildkit.v1.frontend.LLBBridge/Solve": self._bridge_solve,
            "/moby.buildkit.v1.frontend.LLBBridge/Return": self._return,
            "/moby.buildkit.v1.frontend.LLBBridge/Evaluate": self._nothing,
            "/moby.buildkit.v1.frontend.LLBBridge/Warn": self._nothing,
            "/grpc.health.v1.Health/Check": self._healthy,
        }

        self._streams: Mapping[str, Callable[[Call, Message], Awaitable[None]]] = {
            "/moby.buildkit.v1.Control/Status": self._status,
            "/moby.buildkit.v1.Control/Prune": self._prune,
            "/moby.buildkit.v1.Control/ListenBuildHistory": self._history,
        }

    # --- Sessions

    def session(self, id: str) -> asyncio.Future[Session]:
        """The session of an id, which may still be about to come."""
        found = self._sessions.get(id)
        if found is None or found.cancelled():
            found = self._sessions[id] = asyncio.get_running_loop().create_future()
        return found

    def session_ended(self, id: str) -> None:
        self._sessions.pop(id, None)

    # --- Calls

    async def handle(self, call: Call) -> None:
        """Serve a call. Raises what becomes its status."""
        streaming = self._streams.get(call.path)
        if streaming is not None:
            await streaming(call, Message(await call.receive() or b""))
            return
        method = self._methods.get(call.path)
        if method is None:
            raise RemoteError(
                UNIMPLEMENTED, f"unknown method {call.path}: this engine builds Dockerfiles only"
            )
        data = await call.receive()
        await call.send(await method(call, Message(data or b"")))

    async def _nothing(self, call: Call, request: Message) -> bytes:
        return b""

    async def _healthy(self, call: Call, request: Message) -> bytes:
        return encode([(1, 1)])

    async def _info(self, call: Call, request: Message) -> bytes:
        return present(1, encode([(1, "nakagin"), (2, "v0.20.0")]))

    async def _workers(self, call: Call, request: Message) -> bytes:
        platform = self._engine.images.platform
        where = encode([(1, platform.architecture), (2, platform.os), (3, platform.variant)])
        # By this label buildx and Compose know a store that keeps indexes: several platforms, attestations, caches.
        labels = entries(2, {"org.mobyproject.buildkit.worker.snapshotter": "overlayfs"})
        return present(1, encode([(1, self._engine.id)]) + labels + present(3, where))

    async def _ping(self, call: Call, request: Message) -> bytes:
        return b"".join(
            present(field, encode([(1, name), (2, True)]))
            for field, names in ((1, _CAPABILITIES), (2, _EXPORTERS))
            for name in names
        )

    async def _status(self, call: Call, request: Message) -> None:
        ref = request.text(1)
        solve = self._of(ref)
        try:
            await self._told(call, solve)
        finally:
            if not solve.request.done():  # of a build that was never begun
                self._solves.pop(ref, None)

    async def _told(self, call: Call, solve: _Solve) -> None:
        sent = 0
        while True:
            while sent < len(solve.told):
                await call.send(solve.told[sent])
                sent += 1
            if solve.over:
                return
            solve.news.clear()
            await solve.news.wait()

    # --- What is kept

    async def _disk_usage(self, call: Call, request: Message) -> bytes:
        limits = limits_of(filters_of(request.texts(1)), all=True)
        things = await asyncio.to_thread(stored, self._engine.builder)
        return b"".join(present(1, usage_record(each)) for each in things if limits.fit(each))

    async def _prune(self, call: Call, request: Message) -> None:
        """`docker builder prune` with the buildx plugin; a record for each thing that is gone."""
        limits = limits_of(
            filters_of(request.texts(1), unused_for=request.number(3)), all=bool(request.number(2)),
            reserved=request.number(4), most=request.number(5), free=request.number(6),
        )  # fmt: skip
        before = {each.id: each for each in await asyncio.to_thread(stored, self._engine.builder)}
        gone, freed = await asyncio.to_thread(prune, self._engine.builder, limits)
        self._engine.events.publish("builder", "prune", "", {"reclaimed": str(freed)})
        for id in gone:
            await call.send(usage_record(before[id]))

    async def _history(self, call: Call, request: Message) -> None:
        """The builds under way and the last ones; unless the client wants no more, then what changes."""
        chronicle = self._engine.builder.chronicle
        sent: dict[str, str] = {}
        while True:
            for told in reversed(chronicle.all()):
                wanted = request.text(2) in ("", told.id) and (
                    told.state == "running" or not request.number(1)
                )
                if wanted and sent.get(told.id) != told.state:
                    sent[told.id] = told.state
                    await call.send(history_event(told))
            if request.number(3):
                return
            await chronicle.news()

    async def _forget(self, call: Call, request: Message) -> bytes:
        if request.number(3):
            self._engine.builder.chronicle.forget(request.text(1))
        return b""

    def _of(self, ref: str) -> _Solve:
        found = self._solves.get(ref)
        if found is None:
            found = self._solves[ref] = _Solve(ref)
        return found

    async def _solve(self, call: Call, request: Message) -> bytes:
        """Control.Solve: the whole of a build, from its begin to the exporters' answer."""
        ref = request.text(1)
        solve = self._of(ref)
        solve.request.set_result(request)
        try:
            if request.text(6):
                await self._build(solve, request.text(6), request.map(7))
            else:
                await solve.returned
            return entries(1, solve.answer)
        finally:
            solve.end()
            self._solves.pop(ref, None)

    async def _bridge_solve(self, call: Call, request: Message) -> bytes:
        """LLBBridge.Solve: what a client's own frontend asks for; only ours is there."""
        solve = self._of(call.headers.get(_BUILD_ID, ""))
        metadata = await self._build(solve, request.text(2), request.map(3))
        reference = present(3, encode([(1, "built")])) if not metadata else b""
        return present(3, reference + entries(10, metadata))

    async def _return(self, call: Call, request: Message) -> bytes:
        solve = self._of(call.headers.get(_BUILD_ID, ""))
        if request.has(2) and (error := request.message(2)).number(1):
            solve.returned.set_exception(RemoteError(error.number(1) or UNKNOWN, error.text(2)))
        else:
            solve.returned.set_result(None)
        return b""

    # --- Building

    async def _build(self, solve: _Solve, frontend: str, attributes: dict[str, str]) -> dict[str, bytes]:
        """Build; the metadata of a result that is none of files (checks, outlines)."""
        if frontend not in ("dockerfile.v0", "gateway.v0"):
            raise RemoteError(
                UNIMPLEMENTED, f"the frontend {frontend!r} is not here: this engine builds Dockerfiles only"
            )
        request, session = await self._begun(solve)
        text, ignore = await self._dockerfile(session, attributes)
        session.exclude = [line for line in read_ignore(ignore) if line.isascii()]
        order = request_of(attributes, request, text, ignore)
        session.local = {str(number) for number, each in enumerate(order.outputs) if each.type == "local"}
        await session.find_agents(["default"])
        answers: list[progress.Called] = []

        def tell(event: progress.Event) -> None:
            if isinstance(event, progress.Called):
                answers.append(event)
            solve.tell(event)

        image = await self._engine.builder.build(order, session, tell, id=solve.ref)
        if answers:
            return _metadata(answers[0], text or "", order.dockerfile)
        if session.contents is not None and session.contents.written:
            solve.answer["cache.manifest"] = session.contents.written.decode()
        names = [name for each in order.outputs for name in each.names]
        if image is not None:
            solve.answer |= {
                "containerimage.digest": image.id,
                "containerimage.config.digest": image.id,
                "image.name": ",".join(names),
            }
            for name in names:
                self._engine.events.publish("image", "tag", image.id, {"name": name})
        return {}

    async def _begun(self, solve: _Solve) -> tuple[Message, Session]:
        """What was asked, and the session; both come on connections of their own, perhaps a moment later."""
        id = ""
        try:
            async with asyncio.timeout(_PATIENCE):
                request = await asyncio.shield(solve.request)
                id = request.text(5)
                return request, await asyncio.shield(self.session(id))
        except TimeoutError:
            self.session_ended(id)
            raise Unavailable(
                "the client's session did not come", hint="is POST /session let through?"
            ) from None

    async def _dockerfile(self, session: Session, attributes: Mapping[str, str]) -> tuple[str | None, str]:
        """The Dockerfile's text and what its .dockerignore says; None where the build's own context has it."""
        name = attributes.get("filename") or "Dockerfile"
        if attributes.get("context") and "dockerfilekey" not in attributes:
            return None, ""
        key = attributes.get("dockerfilekey", "dockerfile")
        found = await session.folder(key, follow=[name, f"{name}.dockerignore", ".dockerignore"])
        try:
            text = found.text(name.encode())
            if text is None:
                raise NotFound(f"failed to read dockerfile: open {name}: no such file or directory")
            ignore = found.text(f"{name}.dockerignore".encode())
            if ignore is None and key == "dockerfile":
                ignore = found.text(b".dockerignore")
        finally:
            found.close()
        if ignore is None:
            beside = await session.folder("context", follow=[".dockerignore"])
            ignore = beside.text(b".dockerignore")
            beside.close()
        return text, ignore or ""


def _metadata(called: progress.Called, text: str, name: str) -> dict[str, bytes]:
    answer = dict(called.answer)
    if called.call == "check":
        source = {
            "filename": name,
            "language": "Dockerfile",
            "data": base64.b64encode(text.encode()).decode(),
        }
        answer["sources"] = [source]
        answer.pop("error", None)
    data = msgspec.json.encode(answer)
    return {"result.json": data, "result.txt": data, "version": b"1.0.0", "requestid": called.call.encode()}


__all__ = ["CALLS", "Control"]
