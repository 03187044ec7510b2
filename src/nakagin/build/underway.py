"""One build under way: what its stages share."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from nakagin.build import progress
from nakagin.build.context import Context
from nakagin.build.entitlements import Entitlements
from nakagin.build.graph import Graph, origin
from nakagin.build.layout import Wish, place
from nakagin.build.mounting import Mounting
from nakagin.build.remembering import Remembering
from nakagin.build.stack import Stack
from nakagin.build.stage import StageRun
from nakagin.build.state import State
from nakagin.build.weighing import weighed
from nakagin.build.writing import copied
from nakagin.dockerfile.expand import Lexer
from nakagin.dockerfile.fault import excerpt, nearest
from nakagin.errors import NakaginError, NotFound
from nakagin.images.model import timestamp
from nakagin.spec.platform import Platform
from nakagin.tasks import drop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nakagin.build.builder import Builder
    from nakagin.build.cache import Made
    from nakagin.build.importing import Imports
    from nakagin.build.request import BuildRequest
    from nakagin.build.sources import Sources
    from nakagin.build.supplies import Supplies
    from nakagin.build.tree import Tree
    from nakagin.build.workshop import Workshop
    from nakagin.dockerfile.ignore import Patterns
    from nakagin.dockerfile.lint import Finding
    from nakagin.dockerfile.scope import Globals
    from nakagin.dockerfile.stages import Dockerfile, Stage
    from nakagin.images.model import Image


class Order(NamedTuple):
    """What was asked for, and by whom; the same for all platforms of a build."""

    request: BuildRequest
    dockerfile: Dockerfile
    ignored: Patterns | None
    supplies: Supplies
    sources: Sources
    workshop: Workshop
    imports: Imports
    tell: Callable[[progress.Event], None]


class Build:
    """The stages of one platform."""

    def __init__(
        self,
        builder: Builder,
        order: Order,
        graph: Graph,
        outer: Globals,
        *,
        platform: Platform | None = None,
        first: int = 1,
    ) -> None:
        """`platform` None is whatever suits this machine; `first` is the number of the first step."""
        self.request = order.request
        self.dockerfile = order.dockerfile
        self.outer = outer
        self.supplies = order.supplies
        self.sources = order.sources
        self._ignored = order.ignored
        self.workshop = order.workshop
        self.tell = order.tell
        self.memory = Remembering(builder.cache, order.imports)
        self.entitlements = Entitlements(order.request.allow)
        self.imports = order.imports
        self.steps = builder.steps
        self.here = builder.images.platform
        self.temporary = builder.temporary
        self.mounts = Mounting(self, builder.folders)
        self.turn = asyncio.Semaphore(max(2, os.cpu_count() or 1))
        self._graph = graph
        self._context: Context | None = None
        self._wanted = platform
        self._first = first
        self._stages: dict[int, asyncio.Task[State]] = {}
        self._trees: dict[str, asyncio.Task[Tree]] = {}
        self._moment = time.time_ns()
        epoch = order.request.given.get("SOURCE_DATE_EPOCH", "")
        self.epoch_ns = int(epoch) * 1_000_000_000 if epoch.isdecimal() else None

    def made(self, *, everything: bool) -> list[Made]:
        """What its steps have found and made; those of the target and of what it stands on, or of all stages."""
        wanted = {self._graph.target.index}
        index = self._graph.target.index
        while (where := self._graph.bases[index]).kind == "stage":
            wanted.add(index := where.index)
        return [used.made for used in self.memory.used if everything or used.stage in wanted]

    # --- Time

    def now(self) -> str:
        """When a step was made."""
        return timestamp(time.time())

    def now_ns(self) -> int:
        """The time of what the build itself makes."""
        return self._moment if self.epoch_ns is None else self.epoch_ns

    def clamped(self, stamp: str) -> str:
        """A time for the image: with SOURCE_DATE_EPOCH, that one."""
        return stamp if self.epoch_ns is None else timestamp(self.epoch_ns / 1e9)

    # --- Warnings

    def warn(self, findings: Iterable[Finding]) -> None:
        check = self.dockerfile.directives.check
        for each in findings:
            if not check.skips(each.rule):
                around = self.excerpt(each.start, each.start) if each.start else ""
                self.tell(progress.Warned(each.rule, each.message, each.start, each.explanation, around))

    def excerpt(self, start: int, end: int) -> str:
        """Lines of the Dockerfile with their neighbours, for people."""
        return excerpt(self.dockerfile.text, start, end, name=self.request.dockerfile)

    def warn_of_unused(self) -> None:
        """Build arguments that no ARG took."""
        unused = sorted(self.outer.unused() - {"SOURCE_DATE_EPOCH"} - frozenset(_BUILT_IN))
        if unused:
            self.tell(
                progress.Warned("UnusedBuildArg", f"One or more build-args {unused} were not consumed", 0)
            )

    # --- Stages and origins

    async def stage(self, index: int) -> State:
        """The outcome of a stage; all that are needed are begun with the first. One failure ends them all."""
        if not self._stages:
            number = self._first
            for stage in self._graph.stages:
                run = StageRun(self, stage, number).run()
                self._stages[stage.index] = asyncio.create_task(run, name=f"stage {stage.name}")
                number += 1 + len(stage.instructions)
            try:
                await _all(self._stages.values())
            finally:
                await drop(*self._stages.values(), *self._trees.values())
        return await self._stages[index]

    async def ready_for(self, stage: Stage) -> None:
        """Wait for the stage that a stage stands on, if it is one."""
        where = self._graph.bases[stage.index]
        if where.kind == "stage":
            await asyncio.shield(self._stages[where.index])

    async def base(self, stage: Stage) -> tuple[State, tuple[str, ...]]:
        """What a stage begins with, and the triggers (ONBUILD) of its base image."""
        where = self._graph.bases[stage.index]
        platform = self._platform(stage)
        match where.kind:
            case "scratch":
                return State.of_nothing(), ()
            case "stage":
                state = await self._stages[where.index]
                return state.copy(), tuple(state.editor.config.get("OnBuild") or ())
            case "context":
                found = await self.sources.named(where.name, platform)
                if isinstance(found, Context):
                    return await asyncio.to_thread(self._of_files, found), ()
                image = found
            case _:
                image = await self.sources.image(where.name, platform)
        state = State.of_image(image)
        self.workshop.keep(state.chain)
        for layer in state.layers:
            self.workshop.keep(layer.digest)
        return state, tuple((image.config.get("config") or {}).get("OnBuild") or ())

    def _of_files(self, tree: Context) -> State:
        """FROM a folder: its files are the whole root."""
        state = State.of_nothing()
        placed = place(Wish(sources=("/",), destination="/", keep_owner=True), tree, Stack(()))
        pieces = copied(placed, latest_ns=self.epoch_ns, new_ns=self.now_ns())
        chain, layer = self.workshop.from_tar(pieces, "")
        state.add(chain, layer, self.clamped(self.now()), "FROM a folder")
        return state

    def _platform(self, stage: Stage) -> Platform | None:
        """The platform that a stage asks for; None: whatever suits this machine."""
        text = stage.base.platform
        if text:
            text = Lexer(self.outer.values, self.dockerfile.directives.escape).word(text)
        return Platform.parse(text) if text else self._wanted

    async def context(self) -> Context:
        """The build's own context, as its instructions see it."""
        known = self._context
        if known is None:
            known = self._context = await self.sources.visible(self._ignored)
            if self._first == 1 and (warning := weighed(known)):
                self.tell(warning)
        return known

    def hold(self, context: Context) -> Context:
        """Let go of files at the end of the build."""
        return self.sources.hold(context)

    async def tree_of(self, name: str) -> Tree:
        """The files of a stage, image or named context that `--from=` or `from=` names."""
        known = self._trees.get(name)
        if known is None:
            known = self._trees[name] = asyncio.create_task(self._tree_of(name))
        return await asyncio.shield(known)

    async def _tree_of(self, name: str) -> Tree:
        where = origin(self.dockerfile, name, self.request.contexts)
        if where.kind == "stage":
            state = await asyncio.shield(self._stages[where.index])
            return self.workshop.stack(state.chain)
        if where.kind == "scratch":
            return self.workshop.stack("")
        if where.kind == "context":
            found = await self.sources.named(where.name, None)
            if isinstance(found, Context):
                return found
            image = found
        else:
            image = await self._image(where.name)
        self.workshop.keep(image.chain_id or "")
        return self.workshop.stack(image.chain_id or "")

    async def _image(self, name: str) -> Image:
        """An image that files come from; where there is none, the name may have been meant for a stage."""
        try:
            return await self.sources.image(name, self._wanted)
        except NakaginError as error:
            hint = nearest(name, [stage.base.name for stage in self.dockerfile.stages if stage.base.name])
            if hint is None:
                raise
            raise NotFound(f"{name} is neither a stage nor an image: {error.message}", hint=hint) from None


_BUILT_IN = (
    "BUILDKIT_BUILD_NAME", "BUILDKIT_CACHE_MOUNT_NS", "BUILDKIT_CONTEXT_KEEP_GIT_DIR", "BUILDKIT_INLINE_CACHE",
    "BUILDKIT_MULTI_PLATFORM", "BUILDKIT_SANDBOX_HOSTNAME", "BUILDKIT_SYNTAX", "BUILDKIT_DOCKERFILE_CHECK",
)  # fmt: skip


async def _all(tasks: Iterable[asyncio.Task[State]]) -> None:
    """Wait for all, or for the first failure, which is raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()
