"""Dockerfile instructions that change an image's config: the `--change` of import, commit and bootstrap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.dockerfile.apply import ConfigEditor
from nakagin.dockerfile.decode import decode
from nakagin.dockerfile.fill import fill
from nakagin.dockerfile.parser import parse_one
from nakagin.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.dockerfile.nodes import Node
    from nakagin.spec.image import ContainerDefaults

_ALLOWED = frozenset({
    *("CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL"),
    *("ONBUILD", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
})  # fmt: skip


def changed(config: ContainerDefaults, instructions: Sequence[str]) -> ContainerDefaults:
    """The config after the instructions, one per string (`CMD ["sh"]`, `ENV A=b`). Raises Invalid."""
    editor = ConfigEditor(config)
    for line in instructions:
        try:
            instruction, _ = fill(decode(_node(line)), editor.environment)
            editor.apply(instruction)
        except Invalid as error:
            raise Invalid(getattr(error, "cause", error.message), where=line, hint=error.hint) from None
    return editor.config


def _node(line: str) -> Node:
    node = parse_one(line)
    if node.keyword not in _ALLOWED:
        known = ", ".join(sorted(_ALLOWED))
        raise Invalid(f"{node.spelling} is not a valid change command", hint=f"known are {known}")
    if not node.values and not node.json:
        raise Invalid(f"{node.keyword} requires an argument")
    return node
