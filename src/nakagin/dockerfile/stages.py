"""A whole Dockerfile: the arguments before the first FROM, then stages, each begun by a FROM."""

from __future__ import annotations

import msgspec

from nakagin.dockerfile.decode import decode
from nakagin.dockerfile.directives import Directives
from nakagin.dockerfile.fault import DockerfileError, nearest
from nakagin.dockerfile.instructions import Arg, From, Instruction
from nakagin.dockerfile.parser import parse


class Stage(msgspec.Struct, frozen=True):
    """One FROM and what follows it. `index` counts from 0."""

    index: int
    base: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        """Its name, or its number where it has none."""
        return self.base.name or str(self.index)


class Dockerfile(msgspec.Struct, frozen=True):
    """`arguments` are the global ARGs; `text` is the source, for excerpts."""

    text: str
    directives: Directives
    arguments: tuple[Arg, ...]
    stages: tuple[Stage, ...]

    def stage(self, name: str, *, before: int | None = None) -> Stage | None:
        """The stage of that name (any case) or number, among those before the given index. The last one wins."""
        candidates = self.stages if before is None else self.stages[:before]
        lowered = name.lower()
        named = [stage for stage in candidates if stage.base.name == lowered]
        if named:
            return named[-1]
        if name.isdecimal() and int(name) < len(candidates):
            return candidates[int(name)]
        return None

    def target(self, name: str) -> Stage:
        """The stage that is to be built; empty: the last. Raises DockerfileError with the nearest name."""
        if not name:
            return self.stages[-1]
        stage = self.stage(name)
        if stage is None:
            names = [each.base.name for each in self.stages if each.base.name]
            hint = nearest(name.lower(), names) or (f"stages are {', '.join(names)}" if names else None)
            raise DockerfileError(f"target stage {name!r} could not be found", hint=hint)
        return stage


def read(text: str) -> Dockerfile:
    """A Dockerfile from its text. Raises DockerfileError."""
    parsed = parse(text)
    arguments: list[Arg] = []
    stages: list[Stage] = []
    body: list[Instruction] = []
    base: From | None = None
    for node in parsed.nodes:
        instruction = decode(node)
        if isinstance(instruction, From):
            if base is not None:
                stages.append(Stage(len(stages), base, tuple(body)))
            base, body = instruction, []
        elif base is not None:
            body.append(instruction)
        elif isinstance(instruction, Arg):
            arguments.append(instruction)
        else:
            raise DockerfileError(
                "no build stage in current context", start=node.start, hint="begin with FROM IMAGE"
            )
    if base is None:
        raise DockerfileError("file with no FROM", hint="begin with FROM IMAGE, or FROM scratch")
    stages.append(Stage(len(stages), base, tuple(body)))
    return Dockerfile(text, parsed.directives, tuple(arguments), tuple(stages))
