"""One stage: its instructions one after another, each from the cache or carried out."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from nakagin.build import history, progress, running
from nakagin.build.cache import Made
from nakagin.build.copying import Copying
from nakagin.build.layout import framed
from nakagin.build.performing import Performance, RunFailed
from nakagin.build.state import State
from nakagin.build.tree import Item, Placed, new_folder
from nakagin.build.writing import copied
from nakagin.dockerfile import instructions as i
from nakagin.dockerfile.decode import decode
from nakagin.dockerfile.fault import DockerfileError
from nakagin.dockerfile.fill import fill
from nakagin.dockerfile.lint import undefined
from nakagin.dockerfile.parser import parse_one
from nakagin.dockerfile.scope import Scope
from nakagin.errors import NakaginError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from nakagin.build.remembering import Parts
    from nakagin.build.underway import Build
    from nakagin.dockerfile.stages import Stage
    from nakagin.images.model import StoredLayer


class StageRun:
    """Carries out a stage; `number` is that of its FROM among all steps of the build."""

    def __init__(self, build: Build, stage: Stage, number: int) -> None:
        self._build = build
        self._stage = stage
        self._number = number
        self._label = stage.base.name or (f"stage-{stage.index}" if len(build.dockerfile.stages) > 1 else "")
        self._state = State.of_nothing()
        self._cached = not build.request.no_cache and stage.name not in build.request.no_cache_stages

    async def run(self) -> State:
        """The stage's outcome. Raises DockerfileError or what a step raises."""
        build, stage = self._build, self._stage
        total = 1 + len(stage.instructions)
        await build.ready_for(stage)
        with self._telling(stage.base, f"1/{total}"):
            self._state, triggers = await build.base(stage)
            scope = Scope(build.outer, self._state.environment, self._state.arguments)
            await self._trigger(triggers, scope)
        for place, instruction in enumerate(stage.instructions, 2):
            self._number += 1
            with self._telling(instruction, f"{place}/{total}"):
                await self._one(instruction, scope)
        self._state.arguments = scope.arguments
        return self._state

    async def _trigger(self, triggers: Sequence[str], scope: Scope) -> None:
        """What the base image has of ONBUILD. It belongs to the step of FROM: how many steps there are is told before
        the image is looked at."""
        if triggers:
            said = f"# Executing {len(triggers)} build trigger{'s' if len(triggers) > 1 else ''}\n"
            self._build.tell(progress.Text(self._number, 1, said.encode()))
        for text in triggers:
            self._build.tell(progress.Text(self._number, 1, f"ONBUILD {text}\n".encode()))
            await self._one(self._triggered(text), scope)

    async def _one(self, instruction: i.Instruction, scope: Scope) -> None:
        filled, unset = fill(instruction, scope.variables, self._build.dockerfile.directives.escape)
        self._build.warn(undefined(instruction, unset - scope.declared, scope.variables))
        await self._step(filled, scope)
        if isinstance(filled, i.Arg | i.Env):
            scope.enter(filled)

    def _triggered(self, text: str) -> i.Instruction:
        """A trigger of the base image. It stands in no line of this file: FROM brought it."""
        base = self._stage.base.node
        node = msgspec.structs.replace(parse_one(text), start=base.start, end=base.end)
        return decode(node)

    @contextmanager
    def _telling(self, it: i.Instruction, place: str) -> Iterator[None]:
        """Tell that the step begins, and how it ends."""
        build, node, started = self._build, it.node, time.monotonic()
        build.tell(progress.Begun(self._number, self._label, it.node.original.strip(), place))
        try:
            yield
        except DockerfileError as error:  # its message gets the lines at the door of the builder
            build.tell(progress.Failed(self._number, str(error)))
            raise error.at(node.start, node.end) from None
        except (NakaginError, OSError) as error:
            code = error.code if isinstance(error, RunFailed) else 0
            around = build.excerpt(node.start, node.end)
            build.tell(progress.Failed(self._number, str(error), code, around))
            raise
        build.tell(progress.Done(self._number, self._state.chain, time.monotonic() - started))

    # --- Instructions

    async def _step(self, it: i.Instruction, scope: Scope) -> None:
        state = self._state
        match it:
            case i.Run():
                await self._run(it, scope)
            case i.Copy() | i.Add():
                await self._transfer(it)
            case i.Workdir():
                await self._workdir(it)
            case _:
                state.editor.apply(it)
                if isinstance(it, i.Maintainer):
                    state.author = it.name
                await self._setting(it)

    async def _setting(self, it: i.Instruction) -> None:
        """A step that makes no layer. It is remembered too: so the same build gives the same image."""
        build, state = self._build, self._state
        text = history.config_text(it, state.editor.shell)
        parts: Parts = {
            "kind": "setting", "below": state.chain, "config": msgspec.to_builtins(state.editor.config),
            "place": len(state.history),
        }  # fmt: skip
        made = await build.memory.find(parts, state.chain) if self._cached else None
        if made is None:
            made = build.memory.keep(parts, Made(text=text, created=build.now()))
        build.memory.note(self._stage.index, made)
        state.add(state.chain, None, build.clamped(made.created), text)

    async def _workdir(self, it: i.Workdir) -> None:
        state = self._state
        state.editor.apply(it)
        where = state.editor.config["WorkingDir"]
        path = where.strip("/").encode()
        text = history.config_text(msgspec.structs.replace(it, path=where), state.editor.shell)

        def make() -> tuple[str, StoredLayer | None]:
            return self._build.workshop.from_tar(self._folders(path), state.chain)

        parts: Parts = {"kind": "WORKDIR", "below": state.chain, "command": where}
        await self._layer(parts, text, lambda: asyncio.to_thread(make))

    def _folders(self, path: bytes) -> Iterator[bytes]:
        below = self._build.workshop.stack(self._state.chain)
        missing = []
        while path and below.look(path) is None:
            missing.append(path)
            path = path.rpartition(b"/")[0]
        folders = [Placed(each, Item(b"", new_folder()), below) for each in reversed(missing)]
        return copied(framed(folders, below), new_ns=self._build.now_ns(), latest_ns=self._build.epoch_ns)

    async def _transfer(self, it: i.Copy | i.Add) -> None:
        build, state = self._build, self._state
        prepared = await Copying(build, it, state).prepare()
        text = history.transfer_text(it, prepared.kind, prepared.digest, state.editor.shell)
        parts: Parts = {
            "kind": it.keyword, "below": "" if it.link else state.chain, "command": it.destination,
            "files": prepared.digest,
        }  # fmt: skip
        await self._layer(parts, text, prepared.make, own=it.link)

    async def _run(self, it: i.Run, scope: Scope) -> None:
        build, state = self._build, self._state
        build.entitlements.check(it)
        plan = running.plan_run(it, state, scope, build.dockerfile.directives.escape)
        origins = [await build.mounts.digest(mount) for mount in plan.mounts]
        parts = running.key_parts(plan, it, state, scope.proxies(), origins)
        await self._layer(parts, plan.text, Performance(build, self._number, it, plan, state).run)

    async def _layer(
        self,
        parts: Parts,
        text: str,
        make: Callable[[], Awaitable[tuple[str, StoredLayer | None]]],
        *,
        own: bool = False,
    ) -> None:
        """A step that gives a layer, from the cache or made now.

        `own`: its cached layer does not depend on what is below (`--link`), so it is put on top.
        """
        build, state = self._build, self._state
        if build.epoch_ns is not None:
            parts["SOURCE_DATE_EPOCH"] = build.epoch_ns
        made = await build.memory.find(parts, state.chain) if self._cached else None
        if build.request.explain:
            build.tell(progress.Explained(self._number, self._why(parts, made, text)))
        if made is not None:
            build.tell(progress.Cached(self._number))
            chain = made.chain
            if own:
                chain = await asyncio.to_thread(build.workshop.stacked, made.layer, state.chain)
            build.workshop.keep(chain)
        else:
            chain, layer = await make()
            fresh = Made(chain=chain, layer=layer, text=text, created=build.now())
            made = build.memory.keep(parts, fresh)
        build.memory.note(self._stage.index, made)
        state.add(chain, made.layer, build.clamped(made.created), text)

    def _why(self, parts: Parts, made: Made | None, text: str) -> str:
        if made is not None:
            return f"cached: made {made.created[:19]}, used {made.uses} times"
        if not self._cached:
            return "carried out: --no-cache"
        return f"carried out: {self._build.memory.why_not(parts, text)}"
