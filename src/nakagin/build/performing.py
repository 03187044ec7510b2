"""A RUN carried out: the container of its step, what it says, and the layer that it leaves."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from typing import TYPE_CHECKING

from nakagin.build import foreign, progress, running
from nakagin.build.stubs import Stubs
from nakagin.errors import CommandFailed, NotFound, StepFailed
from nakagin.tasks import to_the_end

if TYPE_CHECKING:
    from nakagin.build.state import State
    from nakagin.build.underway import Build
    from nakagin.containers.model import MountSpec
    from nakagin.containers.steps import Step
    from nakagin.dockerfile.instructions import Run
    from nakagin.images.model import StoredLayer

_TAIL = 4096


class RunFailed(StepFailed):
    """A RUN that ended with another code than 0; `tail` is the end of its output."""

    def __init__(self, argv: tuple[str, ...], code: int, tail: bytes, start: int, end: int) -> None:
        command = " ".join(argv)
        super().__init__(
            f"The command '{command}' returned a non-zero code: {code}", "see its output above", hint=None
        )
        self.message = f"The command '{command}' returned a non-zero code: {code}"
        self.code = code
        self.tail = tail
        self.start = start
        self.end = end

    def __str__(self) -> str:
        return self.message


class Performance:
    """One RUN of a stage, from the state before it."""

    def __init__(self, build: Build, number: int, it: Run, plan: running.RunPlan, state: State) -> None:
        self._build = build
        self._number = number
        self._it = it
        self._plan = plan
        self._state = state

    async def run(self) -> tuple[str, StoredLayer | None]:
        """The chain and layer afterwards. Raises RunFailed, CommandFailed, …; nothing of the container stays."""
        build, plan, state = self._build, self._plan, self._state
        # Not in a thread: where the build is given up meanwhile, nobody would know of the folder.
        folder = tempfile.mkdtemp(dir=build.temporary)
        try:
            async with build.turn, build.mounts.granted(plan, state, folder) as granted:
                mounts: list[MountSpec] = [*granted.mounts]
                if plan.script:
                    mounts.append(running.script_mount(plan.script, folder))
                plan.environment.update(granted.environment)
                devices = self._devices()
                spec = running.step_spec(
                    plan, self._it, state, build.request, mounts, granted.handed(), devices
                )
                places = build.steps.places_of(devices)
                targets = [*granted.targets(), *(mount.target for mount in mounts), *places]
                stubs = Stubs(build.workshop.stack(state.chain), targets)
                async with build.steps.one(spec) as step:
                    build.tell(progress.Running(self._number, step.id))
                    await self._execute(step)
                    return await to_the_end(asyncio.to_thread(self._harvest, step.upper, stubs))
        finally:
            await to_the_end(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    def _devices(self) -> list[str]:
        """The full CDI names of what the step asks for. Raises NotFound for what it can not do without."""
        found: list[str] = []
        for wanted in self._it.devices:
            if wanted.name.startswith("/"):
                continue
            here = self._build.steps.devices(wanted.name)
            if not here and wanted.required:
                raise NotFound(
                    f"required device {wanted.name!r} is not registered",
                    hint="this machine has no CDI specification of it; see `info` for the folders",
                )
            if not here:
                self._build.tell(
                    progress.Noted(f"the device {wanted.name} is not here; the step goes without")
                )
            found += here
        return found

    async def _execute(self, step: Step) -> None:
        tail = bytearray()

        def on_output(stream: int, data: bytes) -> None:
            tail.extend(data)
            del tail[:-_TAIL]
            self._build.tell(progress.Text(self._number, stream, data))

        try:
            code = await step.run(on_output)
        except CommandFailed:
            build = self._build
            below = build.workshop.stack(self._state.chain)
            if told := await asyncio.to_thread(foreign.explained, below, self._plan.argv[0], build.here):
                raise told from None
            raise
        if not code:
            return
        failure = RunFailed(self._plan.argv, code, bytes(tail), self._it.node.start, self._it.node.end)
        if self._build.request.on_error == "shell":
            await self._let_in(step)
        raise failure

    async def _let_in(self, step: Step) -> None:
        """A shell for the client in the state that the failed command has left, with its mounts."""
        shell = self._state.editor.shell[:1]
        self._build.tell(progress.LetIn(self._number, shell[0]))
        stream = await step.shell(shell)
        await self._build.supplies.talk("shell", step.id, stream.socket)

    def _harvest(self, upper: str, stubs: Stubs) -> tuple[str, StoredLayer | None]:
        stubs.remove_from(upper)
        return self._build.workshop.from_upper(upper, self._state.chain, latest_ns=self._build.epoch_ns)
