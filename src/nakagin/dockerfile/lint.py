"""Build checks: what is allowed in a Dockerfile and yet most likely not meant.

The rules and their names are those of `docker build --check`; each yields findings with their lines. `lint` looks
at the text alone; `undefined` needs to know what the stages' environments are and is asked by the builder.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from nakagin.dockerfile import instructions as i
from nakagin.dockerfile.expand import Lexer
from nakagin.dockerfile.fault import DockerfileError, nearest
from nakagin.dockerfile.scope import Globals
from nakagin.errors import Invalid
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from nakagin.dockerfile.ignore import Patterns
    from nakagin.dockerfile.nodes import Node
    from nakagin.dockerfile.stages import Dockerfile, Stage

RULES: Mapping[str, str] = {
    "ConsistentInstructionCasing": "All keywords of a file should be written in the same case",
    "CopyIgnoredFile": "A file that .dockerignore leaves out can not be copied",
    "DuplicateStageName": "Two stages of one name: only the later can be referred to",
    "ExposeInvalidFormat": "EXPOSE takes the container's port alone; the host's is given when it runs",
    "ExposeProtoCasing": "Protocols in EXPOSE should be in lower case",
    "FromAsCasing": "AS should be written in the case of its FROM",
    "FromPlatformFlagConstDisallowed": "A constant platform makes an image that can not be built for another",
    "InvalidDefaultArgInFrom": "Without its build arguments, FROM has no valid image name",
    "InvalidDefinitionDescription": "A comment on a stage or ARG should begin with its name",
    "JSONArgsRecommended": "In the shell form a shell is process 1, and signals do not reach the program",
    "LegacyKeyValueFormat": "KEY VALUE with a blank is the old form; KEY=VALUE is clear",
    "MaintainerDeprecated": "MAINTAINER is deprecated; a label org.opencontainers.image.authors takes its place",
    "MultipleInstructionsDisallowed": "Of these only the last in a stage counts",
    "NoEmptyContinuation": "An empty line inside a continued instruction will become an error",
    "RedundantTargetPlatform": "The target platform is the default of FROM",
    "ReservedStageName": "scratch and context have a meaning of their own",
    "SecretsUsedInArgOrEnv": "Arguments and environment stay readable in the image; mount secrets instead",
    "StageNameCasing": "Stage names should be in lower case",
    "UndefinedArgInFrom": "FROM uses an ARG that was not declared before it",
    "UndefinedVar": "A variable that nothing declared is empty",
    "WorkdirRelativePath": "A relative WORKDIR depends on where the base image happens to stand",
}
EXPERIMENTAL = frozenset({"InvalidDefinitionDescription"})
"""Rules that are reported only when asked for."""

_RESERVED = frozenset({"scratch", "context"})
_SECRET = re.compile(
    r"(?:^|_)(?:apikey|auth|credentials?|key|passw(?:or)?d|pword|secret|token)(?:_|$)", re.IGNORECASE
)
_PUBLIC = re.compile(r"(?:^|_)public(?:_|$)", re.IGNORECASE)
_PORT_ALONE = re.compile(r"[\d-]+(?:/\w+)?|.*\$.*")


class Finding(msgspec.Struct, frozen=True):
    """One broken rule, at the lines `start` to `end`."""

    rule: str
    message: str
    start: int
    end: int

    @property
    def explanation(self) -> str:
        return RULES[self.rule]


def lint(
    dockerfile: Dockerfile, *, ignored: Patterns | None = None, experimental: bool = False
) -> list[Finding]:
    """All findings but UndefinedVar's, by line. The file's `# check=skip=` is honoured."""
    found = [finding for rule in _WHOLE for finding in rule(dockerfile)]
    for stage in dockerfile.stages:
        found += [finding for rule in _PER_STAGE for finding in rule(stage)]
        found += _ignored_files(stage, ignored)
    check = dockerfile.directives.check
    kept = [each for each in found if experimental or each.rule not in EXPERIMENTAL]
    return sorted(
        (each for each in kept if not check.skips(each.rule)), key=lambda each: (each.start, each.rule)
    )


def undefined(instruction: i.Instruction, names: Iterable[str], known: Iterable[str]) -> list[Finding]:
    """UndefinedVar for names that an instruction used and nothing declared."""
    known = sorted(known)
    return [
        _at(instruction.node, "UndefinedVar", f"Usage of undefined variable '${name}'{_perhaps(name, known)}")
        for name in sorted(names)
    ]


def _perhaps(name: str, known: Iterable[str]) -> str:
    hint = nearest(name, known)
    return f" ({hint})" if hint else ""


def _at(node: Node, rule: str, message: str) -> Finding:
    return Finding(rule, message, node.start, node.end)


# --- Rules over the whole file


def _all_nodes(dockerfile: Dockerfile) -> Iterator[Node]:
    yield from (argument.node for argument in dockerfile.arguments)
    for stage in dockerfile.stages:
        yield stage.base.node
        yield from (instruction.node for instruction in stage.instructions)


def _casing(dockerfile: Dockerfile) -> Iterator[Finding]:
    nodes = list(_all_nodes(dockerfile))
    lower = sum(node.spelling.islower() for node in nodes)
    upper = sum(node.spelling.isupper() for node in nodes)
    case, right = ("lowercase", str.lower) if lower > upper else ("uppercase", str.upper)
    for node in nodes:
        if node.spelling != right(node.spelling):
            message = f"Command '{node.spelling}' should match the case of the command majority ({case})"
            yield _at(node, "ConsistentInstructionCasing", message)


def _empty_continuations(dockerfile: Dockerfile) -> Iterator[Finding]:
    for node in _all_nodes(dockerfile):
        for line in node.gaps[:1]:
            yield Finding("NoEmptyContinuation", f"Empty continuation line in: {node.spelling}", line, line)


def _stage_names(dockerfile: Dockerfile) -> Iterator[Finding]:
    seen: set[str] = set()
    for stage in dockerfile.stages:
        name = stage.base.name
        if not name:
            continue
        node = stage.base.node
        if name in seen:
            yield _at(
                node, "DuplicateStageName", f"Duplicate stage name '{name}', stage names should be unique"
            )
        if name in _RESERVED:
            yield _at(node, "ReservedStageName", f"Stage name should not use the reserved name '{name}'")
        if node.values[2] != name:
            yield _at(node, "StageNameCasing", f"Stage name '{node.values[2]}' should be lowercase")
        seen.add(name)


def _froms(dockerfile: Dockerfile) -> Iterator[Finding]:
    """What FROM's own arguments are without any build argument."""
    platform = dict.fromkeys(_PLATFORM_ARGUMENTS, "linux")
    try:
        outer = Globals(dockerfile.arguments, {}, platform, dockerfile.directives.escape)
    except DockerfileError:  # a required variable: only the build can tell
        return
    declared = {name for argument in dockerfile.arguments for name, _ in argument.arguments}
    for stage in dockerfile.stages:
        base = stage.base
        lexer = Lexer(outer.values, dockerfile.directives.escape)
        try:
            image = lexer.word(base.image)
            lexer.word(base.platform)
        except DockerfileError:
            continue
        for name in sorted(lexer.unset - declared):
            hint = _perhaps(name, {*declared, *platform})
            message = f"FROM argument '{name}' is not declared{hint}"
            yield _at(base.node, "UndefinedArgInFrom", message)
        if "$" in base.image and not _is_image(image, dockerfile, stage):
            message = f"Default value for ARG {base.image} results in an empty or invalid base image name"
            yield _at(base.node, "InvalidDefaultArgInFrom", message)


_PARTS = ("PLATFORM", "OS", "ARCH", "VARIANT", "OSVERSION")
_PLATFORM_ARGUMENTS = ("TARGETSTAGE", *(side + part for side in ("BUILD", "TARGET") for part in _PARTS))


def _is_image(name: str, dockerfile: Dockerfile, stage: Stage) -> bool:
    if name == "scratch" or dockerfile.stage(name, before=stage.index):
        return True
    try:
        Reference.parse(name)
    except Invalid:
        return False
    return True


def _descriptions(dockerfile: Dockerfile) -> Iterator[Finding]:
    named = [(stage.base.node, stage.base.name) for stage in dockerfile.stages]
    named += [(argument.node, argument.arguments[0][0]) for argument in dockerfile.arguments]
    for node, name in named:
        if name and node.comments and not node.comments[-1].startswith(f"{name} "):
            message = f"Comment for {node.keyword} should follow the format: `# {name} <description>`"
            yield _at(node, "InvalidDefinitionDescription", message)


_WHOLE: tuple[Callable[[Dockerfile], Iterator[Finding]], ...] = (
    _casing,
    _empty_continuations,
    _stage_names,
    _froms,
    _descriptions,
)


# --- Rules over one stage


def _from_flags(stage: Stage) -> Iterator[Finding]:
    base = stage.base
    if len(base.node.values) == 3 and base.node.values[1].isupper() != base.node.spelling.isupper():
        message = f"'{base.node.values[1]}' and '{base.node.spelling}' keywords' casing do not match"
        yield _at(base.node, "FromAsCasing", message)
    if base.platform in ("$TARGETPLATFORM", "${TARGETPLATFORM}"):
        message = f"Setting platform to predefined {base.platform} in FROM is redundant as this is the default behavior"
        yield _at(base.node, "RedundantTargetPlatform", message)
    elif base.platform and "$" not in base.platform and not _named_after(base.name, base.platform):
        message = f"FROM --platform flag should not use constant value '{base.platform}'"
        yield _at(base.node, "FromPlatformFlagConstDisallowed", message)


def _named_after(name: str, platform: str) -> bool:
    """A stage whose name says its platform means that one."""
    return any(part in name for part in platform.lower().split("/") if name)


def _repeated(stage: Stage) -> Iterator[Finding]:
    for kind in (i.Cmd, i.Entrypoint, i.Healthcheck):
        found = [each for each in stage.instructions if isinstance(each, kind)]
        for each in found[:-1]:
            message = f"Multiple {each.keyword} instructions should not be used in the same stage"
            yield _at(each.node, "MultipleInstructionsDisallowed", message)


def _shell_forms(stage: Stage) -> Iterator[Finding]:
    own_shell = any(isinstance(each, i.Shell) for each in stage.instructions)
    for each in stage.instructions:
        if (
            isinstance(each, i.Cmd | i.Entrypoint)
            and each.command.shell
            and (not own_shell or each.node.broken_json)
        ):
            message = f"JSON arguments recommended for {each.keyword} so that signals reach the program"
            if each.node.broken_json:
                message = f"The arguments of {each.keyword} look like a JSON array and are none: a shell will run them"
            yield _at(each.node, "JSONArgsRecommended", message)
        elif isinstance(each, i.Run) and each.node.broken_json:
            message = "The arguments of RUN look like a JSON array and are none: a shell will run them"
            yield _at(each.node, "JSONArgsRecommended", message)


def _old_forms(stage: Stage) -> Iterator[Finding]:
    for each in stage.instructions:
        if each.node.legacy:
            message = f'"{each.keyword} key=value" should be used instead of legacy "{each.keyword} key value" format'
            yield _at(each.node, "LegacyKeyValueFormat", message)
        if isinstance(each, i.Maintainer):
            yield _at(
                each.node,
                "MaintainerDeprecated",
                "Maintainer instruction is deprecated in favor of using label",
            )


def _secrets(stage: Stage) -> Iterator[Finding]:
    for each in stage.instructions:
        if isinstance(each, i.Arg):
            names = [name for name, _ in each.arguments]
        elif isinstance(each, i.Env):
            names = [name for name, _ in each.pairs]
        else:
            continue
        for name in names:
            if _SECRET.search(name) and not _PUBLIC.search(name):
                message = f'Do not use ARG or ENV instructions for sensitive data ({each.keyword} "{name}")'
                yield _at(each.node, "SecretsUsedInArgOrEnv", message)


def _ports(stage: Stage) -> Iterator[Finding]:
    for each in stage.instructions:
        for port in each.ports if isinstance(each, i.Expose) else ():
            if not _PORT_ALONE.fullmatch(port):
                message = (
                    f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                )
                yield _at(each.node, "ExposeInvalidFormat", message)
            _, slash, protocol = port.partition("/")
            if slash and "$" not in protocol and protocol != protocol.lower():
                message = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
                yield _at(each.node, "ExposeProtoCasing", message)


def _workdirs(stage: Stage) -> Iterator[Finding]:
    for each in stage.instructions:
        if isinstance(each, i.Workdir):
            if each.path.startswith(("/", "$")):
                return
            message = f"Relative workdir '{each.path}' can have unexpected results if the base image changes"
            yield _at(each.node, "WorkdirRelativePath", message)


_PER_STAGE: tuple[Callable[[Stage], Iterator[Finding]], ...] = (
    _from_flags,
    _repeated,
    _shell_forms,
    _old_forms,
    _secrets,
    _ports,
    _workdirs,
)


def _ignored_files(stage: Stage, ignored: Patterns | None) -> Iterator[Finding]:
    if not ignored:
        return
    for each in stage.instructions:
        if not isinstance(each, i.Transfer) or (isinstance(each, i.Copy) and each.origin):
            continue
        for source in each.sources:
            path = source.strip("/")
            if path and not set("*?[$") & set(path) and "://" not in path and ignored.excludes(path):
                message = f"Attempting to {each.keyword} file '{source}' that is excluded by .dockerignore"
                yield _at(each.node, "CopyIgnoredFile", message)
