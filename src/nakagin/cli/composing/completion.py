"""What may come next on a line of `nakagin compose`: its verbs, their flags, the services of the project."""

from __future__ import annotations

from nakagin.cli.composing.context import FLAGS
from nakagin.cli.composing.table import VERBS
from nakagin.cli.flags import UsageError, parse
from nakagin.cli.verbs.compose import load_verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.cli.command import Command


def verbs() -> list[str]:
    """The words that may follow `compose` and its own flags."""
    return list(VERBS)


def verb(name: str) -> tuple[Command, tuple[str, ...]] | None:
    """A verb's table, and what its arguments name; None where there is no such verb."""
    if name not in VERBS:
        return None
    table = load_verb(name).table
    if "SERVICE" not in table.usage or "SERVICE:" in table.usage:
        return table, ("",)
    many = "SERVICE..." in table.usage or "SERVICES" in table.usage
    return table, ("service",) if many else ("service", "")


def services(before: Sequence[str]) -> list[str]:
    """The services of the project that the words between `compose` and the verb mean; none where it cannot be read."""
    from nakagin.compose.elsewhere import is_elsewhere
    from nakagin.compose.environment import gather
    from nakagin.compose.loader import load
    from nakagin.errors import NakaginError

    try:
        settings, _ = parse(FLAGS, before, interspersed=False)
        files = settings.many("file")
        if any(map(is_elsewhere, files)):
            return []  # a key that is pressed fetches nothing
        sources = gather(
            files=files,
            folder=settings.text("project-directory"),
            profiles=["*"],
            env_files=settings.many("env-file"),
        )
        return list(load(sources).project.services)
    except (NakaginError, UsageError, OSError):
        return []
