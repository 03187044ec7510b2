"""The containers that a verb means by the names of services: live or all, one by its index."""

from __future__ import annotations

from collections.abc import Sequence

from nakagin.cli.command import say
from nakagin.cli.composing.context import Compose
from nakagin.cli.flags import Flag
from nakagin.compose import labels
from nakagin.compose.observe import Observed, observed
from nakagin.errors import NotFound

INDEX = Flag("index", "", "int", "Index of the container if service has multiple replicas")


def containers(
    compose: Compose, services: Sequence[str] = (), *, all: bool = False, oneoff: bool = True
) -> tuple[str, list[Observed]]:
    """(project's name, its containers of these services, of all where none is named): by service and number.

    One-off ones come last. Raises NotFound for a service that neither the file nor a container knows.
    """
    name, project = compose.named()
    every = compose.client.containers.list(all=True, filters={"label": [f"{labels.PROJECT}={name}"]})
    found = [each for each in map(observed, every) if oneoff or not each.oneoff]
    known = {each.service for each in found} | ({*project.services, *project.disabled} if project else set())
    for each in services:
        if each not in known:
            raise NotFound(f"no such service: {each}")
    chosen = [
        each for each in found if (all or each.is_running) and (not services or each.service in services)
    ]
    return name, sorted(chosen, key=lambda each: (each.oneoff, each.service, each.number))


def one_container(compose: Compose, service: str, *, all: bool = False) -> Observed:
    """The service's first container, or that of --index. Raises NotFound."""
    index = compose.options.number("index")
    _, found = containers(compose, [service], all=all)
    chosen = [each for each in found if not index or each.number == index]
    if not chosen:
        which = f" container #{index}" if index else ""
        raise NotFound(
            f'service "{service}" is not running{which}', hint="`compose ps -a` shows what there is"
        )
    return chosen[0]


def only_said(compose: Compose, deed: str) -> bool:
    """With --dry-run: say what would be done, and True."""
    if not (compose.dry_run or compose.options.on("dry-run")):
        return False
    say(f"DRY-RUN MODE - {deed}")
    return True
