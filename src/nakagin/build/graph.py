"""Which stages a build needs, and what each of them is made of. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from nakagin.dockerfile import instructions as i
from nakagin.dockerfile.expand import Lexer
from nakagin.dockerfile.fault import DockerfileError
from nakagin.dockerfile.mounts import parse_mount

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nakagin.dockerfile.stages import Dockerfile, Stage


class Origin(msgspec.Struct, frozen=True):
    """Where files come from: `name` is a stage's index, a named context, or an image reference."""

    kind: Literal["scratch", "stage", "context", "image"]
    name: str = ""

    @property
    def index(self) -> int:
        """Of a stage."""
        return int(self.name)


class Graph(msgspec.Struct, frozen=True):
    """`stages` are those that the target needs, in the order of the file; `bases` what each stands on."""

    target: Stage
    stages: tuple[Stage, ...]
    bases: dict[int, Origin]
    needs: dict[int, frozenset[int]]

    @property
    def steps(self) -> int:
        """How many instructions are carried out, FROMs included."""
        return sum(1 + len(stage.instructions) for stage in self.stages)


def plan(
    dockerfile: Dockerfile, target: Stage, variables: Mapping[str, str], contexts: Mapping[str, str]
) -> Graph:
    """`variables` are the global arguments, `contexts` the named ones. Raises DockerfileError (cycle, empty base)."""
    bases = {stage.index: _base(dockerfile, stage, variables, contexts) for stage in dockerfile.stages}
    needs = {}
    for stage in dockerfile.stages:
        origins = (bases[stage.index], *_origins(dockerfile, stage, contexts))
        needs[stage.index] = frozenset(each.index for each in origins if each.kind == "stage")
    needed: set[int] = set()
    _visit(dockerfile, needs, target.index, needed, ())
    stages = tuple(stage for stage in dockerfile.stages if stage.index in needed)
    return Graph(target, stages, bases, needs)


def _visit(
    dockerfile: Dockerfile,
    needs: Mapping[int, frozenset[int]],
    index: int,
    done: set[int],
    path: tuple[int, ...],
) -> None:
    if index in path:
        names = [dockerfile.stages[each].name for each in (*path[path.index(index) :], index)]
        node = dockerfile.stages[index].base.node
        raise DockerfileError(
            f"circular dependency detected on stage: {' -> '.join(names)}", start=node.start, end=node.end
        )
    if index not in done:
        for other in sorted(needs[index]):
            _visit(dockerfile, needs, other, done, (*path, index))
        done.add(index)


def _base(
    dockerfile: Dockerfile, stage: Stage, variables: Mapping[str, str], contexts: Mapping[str, str]
) -> Origin:
    base = stage.base
    try:
        name = Lexer(variables, dockerfile.directives.escape).word(base.image)
    except DockerfileError as error:
        raise error.at(base.node.start, base.node.end) from None
    if not name:
        raise DockerfileError(
            f"base name ({base.image}) should not be blank",
            start=base.node.start,
            end=base.node.end,
            hint="give the ARG a default, or the build --build-arg",
        )
    return origin(dockerfile, name, contexts, before=stage.index)


def origin(
    dockerfile: Dockerfile,
    name: str,
    contexts: Mapping[str, str],
    *,
    before: int | None = None,
    itself: int = -1,
) -> Origin:
    """What a name after FROM, `--from=` or `from=` means: a named context, a stage, or an image."""
    if name.lower() in contexts:
        return Origin("context", name.lower())
    stage = dockerfile.stage(name, before=before)
    if stage is not None and stage.index != itself:
        return Origin("stage", str(stage.index))
    if name == "scratch":
        return Origin("scratch")
    return Origin("image", name)


def _origins(dockerfile: Dockerfile, stage: Stage, contexts: Mapping[str, str]) -> Iterator[Origin]:
    for instruction in stage.instructions:
        for name in origins_of(instruction):
            earlier = origin(dockerfile, name, contexts, before=stage.index)
            yield earlier if earlier.kind != "image" else origin(dockerfile, name, contexts)


def origins_of(instruction: i.Instruction) -> Iterator[str]:
    """The names that an instruction takes files from."""
    if isinstance(instruction, i.Copy) and instruction.origin:
        yield instruction.origin
    if isinstance(instruction, i.Run):
        for text in instruction.mounts:
            mount = parse_mount(text, lambda value: value if "$" not in value else "0")
            if mount.origin:
                yield mount.origin


def explained(dockerfile: Dockerfile, graph: Graph) -> list[str]:
    """The graph in words: what each stage stands on and takes from, and which are not needed."""
    names = {stage.index: stage.base.name or f"stage {stage.index}" for stage in dockerfile.stages}
    lines = []
    for stage in dockerfile.stages:
        name, base = names[stage.index], graph.bases[stage.index]
        on = names[base.index] if base.kind == "stage" else base.name or base.kind
        others = sorted(graph.needs[stage.index] - ({base.index} if base.kind == "stage" else set()))
        taken = f", takes from {', '.join(names[each] for each in others)}" if others else ""
        if stage not in graph.stages:
            lines.append(f"  {name}: not needed")
        else:
            lines.append(f"  {name}{' (target)' if stage is graph.target else ''}: on {on}{taken}")
    return ["Stages:", *lines]
