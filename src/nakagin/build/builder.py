"""A whole build: read, plan, carry out the stages that are needed at once where they can be, assemble, name."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import msgspec

from nakagin.build import progress
from nakagin.build.attesting import Attesting
from nakagin.build.cache import Cache
from nakagin.build.calls import called
from nakagin.build.chronicle import Chronicle
from nakagin.build.export import Export, Result
from nakagin.build.exporting import CacheExport, inline_of
from nakagin.build.graph import Graph, explained, plan
from nakagin.build.importing import Imports
from nakagin.build.kept import KeptContexts
from nakagin.build.mounting import CacheFolders
from nakagin.build.outputs import settle
from nakagin.build.sources import Sources
from nakagin.build.underway import Build, Order
from nakagin.build.workshop import Workshop
from nakagin.dockerfile.directives import parse_check, parse_directives
from nakagin.dockerfile.fault import DockerfileError
from nakagin.dockerfile.lint import lint
from nakagin.dockerfile.scope import Globals
from nakagin.dockerfile.stages import Dockerfile, read
from nakagin.errors import Invalid
from nakagin.spec.platform import Platform
from nakagin.tasks import to_the_end

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.build.elsewhere import Elsewhere
    from nakagin.build.outputs import Outputs
    from nakagin.build.request import BuildRequest
    from nakagin.build.supplies import Supplies
    from nakagin.containers.steps import Steps
    from nakagin.images.library import Images
    from nakagin.images.model import Image
    from nakagin.storage.records import Records


class Builder:
    """The builds of one engine."""

    def __init__(
        self, data_root: str, records: Records, images: Images, steps: Steps, elsewhere: Elsewhere
    ) -> None:
        self.temporary = os.path.join(data_root, "tmp")
        self.elsewhere = elsewhere
        self.images = images
        self.steps = steps
        self.cache = Cache(records, images.layers, images.blobs)
        self.folders = CacheFolders(data_root)
        self.contexts = KeptContexts(data_root)
        self.chronicle = Chronicle(records)
        images.also_needed = self.cache.needed

    async def build(
        self,
        request: BuildRequest,
        supplies: Supplies,
        tell: Callable[[progress.Event], None],
        *,
        id: str = "",
    ) -> Image | None:
        """Build; `tell` hears of every step, and the chronicle (under `id`, or one of its own). The image, where one
        was asked for.

        Raises DockerfileError, NotFound, RunFailed, …
        """
        async with AsyncExitStack() as leave:
            if not request.call:
                tell = leave.enter_context(self.chronicle.written(request, tell, id))
            sources = Sources(self, request, supplies)
            leave.push_async_callback(sources.close)
            text = await sources.dockerfile()
            try:
                return await self._build(request, supplies, sources, text, tell)
            except DockerfileError as error:
                raise Invalid(error.shown(text, request.dockerfile) + _foreign(text, request)) from None

    async def _build(
        self,
        request: BuildRequest,
        supplies: Supplies,
        sources: Sources,
        text: str,
        tell: Callable[[progress.Event], None],
    ) -> Image | None:
        dockerfile = _checked_by(read(text), request)
        if dockerfile.directives.syntax:
            tell(
                progress.Noted(
                    f"# syntax={dockerfile.directives.syntax}: the builder's own frontend reads this file"
                )
            )
        ignored = await sources.ignored()
        if request.call:
            tell(progress.Called(request.call, called(request.call, dockerfile, request.target, ignored)))
            return None
        outputs = settle(request.outputs, request.names, request.annotations)
        platforms: list[Platform | None] = [*map(Platform.parse, request.platforms)] or [None]
        plans = [self._plan(dockerfile, request, platform) for platform in platforms]
        tell(progress.Planned(sum(graph.steps for graph, _ in plans)))
        if request.explain:
            tell(progress.Noted("\n".join(explained(dockerfile, plans[0][0]))))
        keeping = self.images.keeping()
        workshop = Workshop(self.images.blobs, self.images.layers, keeping.__enter__(), self.temporary)
        try:
            imports = Imports(self, request, supplies, workshop, tell)
            await imports.open()
            order = Order(request, dockerfile, ignored, supplies, sources, workshop, imports, tell)
            return await self._carry_out(order, plans, platforms, outputs)
        finally:
            await to_the_end(asyncio.to_thread(keeping.__exit__))

    async def _carry_out(
        self,
        order: Order,
        plans: Sequence[tuple[Graph, Globals]],
        platforms: Sequence[Platform | None],
        outputs: Outputs,
    ) -> Image | None:
        results = []
        builds: list[Build] = []
        attesting = Attesting(order, self.images.platform) if order.request.attestations else None
        if generator := order.request.attestations.generator:
            order.tell(
                progress.Noted(f"the generator {generator} is not run: the builder's own inventory is")
            )
        first = 1
        for platform, (graph, outer) in zip(platforms, plans, strict=True):
            build = Build(self, order, graph, outer, platform=platform, first=first)
            builds.append(build)
            if first == 1:
                findings = lint(order.dockerfile, ignored=order.ignored)
                build.warn(findings)
                if findings and order.dockerfile.directives.check.error:
                    rules = ", ".join(sorted({each.rule for each in findings}))
                    raise Invalid(f"lint violation found for rules: {rules}", hint="see the warnings above")
            state = await build.stage(graph.target.index)
            extra = inline_of(build, state.layers)
            results.append(
                Result(platform or self.images.platform, state, graph, build.clamped(build.now()), extra)
            )
            first += graph.steps
        builds[0].warn_of_unused()
        image = await Export(self, order, outputs, attesting).finish(results)
        await CacheExport(self, order).run(builds)
        return image

    def _plan(
        self, dockerfile: Dockerfile, request: BuildRequest, platform: Platform | None
    ) -> tuple[Graph, Globals]:
        here = self.images.platform
        variables = _platform_arguments(platform or here, here, request.target)
        outer = Globals(dockerfile.arguments, request.given, variables, dockerfile.directives.escape)
        return plan(dockerfile, dockerfile.target(request.target), outer.values, request.contexts), outer


def _foreign(text: str, request: BuildRequest) -> str:
    """A word more about a mistake in a file that may be written in another language than a Dockerfile's."""
    named = request.given.get("BUILDKIT_SYNTAX", "")
    with contextlib.suppress(DockerfileError):
        named = named or parse_directives(text).syntax
    if not named or _OWN.fullmatch(named.split()[0]):
        return ""
    return (
        f"\nThe file is for the frontend {named}; this builder runs no frontends and reads Dockerfiles only."
    )


_OWN = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?:[:@].*)?")


def _checked_by(dockerfile: Dockerfile, request: BuildRequest) -> Dockerfile:
    """The build argument BUILDKIT_DOCKERFILE_CHECK overrules what the file says of its checks."""
    text = request.given.get("BUILDKIT_DOCKERFILE_CHECK", "")
    if not text:
        return dockerfile
    directives = msgspec.structs.replace(dockerfile.directives, check=parse_check(text))
    return msgspec.structs.replace(dockerfile, directives=directives)


def _platform_arguments(target: Platform, here: Platform, stage: str) -> dict[str, str]:
    found = {"TARGETSTAGE": stage or "default"}
    for side, platform in (("TARGET", target), ("BUILD", here)):
        found[f"{side}PLATFORM"] = str(platform)
        found[f"{side}OS"] = platform.os
        found[f"{side}ARCH"] = platform.architecture
        found[f"{side}VARIANT"] = platform.variant
        found[f"{side}OSVERSION"] = platform.os_version
    return found
