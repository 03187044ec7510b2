"""What can be told of a Dockerfile without building it: what is wrong, what it takes, what it makes. Pure.

The answers have the forms of BuildKit's subrequests (frontend.lint, frontend.outline, frontend.targets).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.dockerfile import instructions as i
from nakagin.dockerfile.fault import excerpt
from nakagin.dockerfile.lint import lint
from nakagin.dockerfile.mounts import parse_mount
from nakagin.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nakagin.dockerfile.ignore import Patterns
    from nakagin.dockerfile.instructions import Mount
    from nakagin.dockerfile.lint import Finding
    from nakagin.dockerfile.stages import Dockerfile, Stage

_URL = "https://docs.docker.com/go/dockerfile/rule/"


def called(call: str, dockerfile: Dockerfile, target: str, ignored: Patterns | None) -> dict[str, object]:
    """The answer to `--call`. Raises Invalid for a call that is not known, DockerfileError for an unknown target."""
    match call:
        case "check" | "lint":
            return check(dockerfile, lint(dockerfile, ignored=ignored))
        case "outline":
            return outline(dockerfile, dockerfile.target(target))
        case "targets":
            return targets(dockerfile)
    raise Invalid(f"unknown call {call!r}", hint="known are build, check, outline and targets")


def check(dockerfile: Dockerfile, findings: Iterable[Finding]) -> dict[str, object]:
    """What the build checks found. `error`: the file wants a warning to fail the build."""
    warnings = [
        {
            "ruleName": each.rule,
            "description": each.explanation,
            "url": f"{_URL}{_dashed(each.rule)}/",
            "detail": each.message,
            "excerpt": excerpt(dockerfile.text, each.start, each.end) if each.start else "",
            "location": {"ranges": [{"start": {"line": each.start}, "end": {"line": each.end}}]},
        }
        for each in findings
    ]
    return {"warnings": warnings, "error": dockerfile.directives.check.error}


def _dashed(rule: str) -> str:
    """StageNameCasing → stage-name-casing, JSONArgsRecommended → json-args-recommended."""
    found = ""
    for number, char in enumerate(rule):
        follows = rule[number + 1 : number + 2]
        begins = char.isupper() and number and (not rule[number - 1].isupper() or follows.islower())
        found += f"-{char.lower()}" if begins else char.lower()
    return found


def outline(dockerfile: Dockerfile, target: Stage) -> dict[str, object]:
    """What a target takes: arguments, secrets, agents, cache mounts."""
    stages = list(_chain(dockerfile, target))
    mounts = [mount for stage in stages for mount in _mounts(stage)]
    written = (each for stage in stages for each in stage.instructions if isinstance(each, i.Arg))
    arguments: dict[str, str | None] = {}
    for argument in (*dockerfile.arguments, *written):
        arguments.update(argument.arguments)

    def of(kind: str, default: str) -> list[dict[str, object]]:
        return [
            _named(mount.id or mount.target.rpartition("/")[2] or default, required=mount.required)
            for mount in mounts
            if mount.kind == kind
        ]

    return {
        "name": target.base.name,
        "args": [
            {"name": name} if value is None else {"name": name, "value": value}
            for name, value in arguments.items()
        ],
        "secrets": of("secret", ""),
        "ssh": of("ssh", "default"),
        "cache": [{"ID": mount.id or mount.target} for mount in mounts if mount.kind == "cache"],
    }


def _named(name: str, *, required: bool) -> dict[str, object]:
    return {"name": name, "required": True} if required else {"name": name}


def _chain(dockerfile: Dockerfile, target: Stage) -> Iterator[Stage]:
    """A stage, and those that it stands on."""
    stage: Stage | None = target
    while stage is not None:
        yield stage
        stage = dockerfile.stage(stage.base.image, before=stage.index)


def _mounts(stage: Stage) -> Iterator[Mount]:
    for instruction in stage.instructions:
        if isinstance(instruction, i.Run):
            for text in instruction.mounts:
                yield parse_mount(text, lambda value: value if "$" not in value else "0")


def targets(dockerfile: Dockerfile) -> dict[str, object]:
    """The stages that can be built."""
    last = dockerfile.stages[-1]
    return {
        "targets": [
            {
                "name": stage.base.name,
                "base": stage.base.image,
                **({"default": True} if stage is last else {}),
            }
            for stage in dockerfile.stages
            if stage.base.name or stage is last
        ]
    }
