"""`nakagin compose down`: stop and remove what `up` made, in the opposite order."""

from __future__ import annotations

from nakagin.cli.command import complain
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.composing.report import Progress, show_plan
from nakagin.cli.flags import Flag, UsageError
from nakagin.compose.execute import AT_ONCE, Execution
from nakagin.compose.model import Project
from nakagin.compose.observe import observe, observe_images
from nakagin.compose.recall import recalled
from nakagin.compose.teardown import Ending, plan_down


def down(compose: Compose) -> int:
    """Leave nothing of the project but its volumes (-v: nor those)."""
    options = compose.options
    rmi = options.text("rmi")
    if rmi not in ("", "all", "local"):
        raise UsageError(f'invalid value for --rmi: "{rmi}"')
    name, found = compose.named()
    project = found or Project(name=name)
    state = observe(compose.client, project)
    if found is None:
        project = recalled(name, state)
        if rmi:
            observe_images(compose.client, project, state)
    plan = plan_down(
        project,
        state,
        Ending(
            services=compose.arguments,
            volumes=options.on("volumes"),
            images=rmi,
            orphans=compose.removes_orphans(),
            seconds=options.number("timeout") if options.given("timeout") else None,
        ),
    )
    if compose.dry_run or options.on("dry-run"):
        print(show_plan(plan), end="")
        return 0
    if not plan.operations:
        complain(f"WARN[0000] Warning: No resource found to remove for project {name!r}. ")
    for warning in plan.warnings:
        complain(f"WARN[0000] {warning} ")
    with Progress(compose.progress, colours=compose.colours) as progress:
        Execution(project, state, compose.connect, progress, compose.at_once or AT_ONCE).run(plan)
    return 0


DOWN = Verb(
    down,
    "[OPTIONS] [SERVICES]",
    (
        Flag("remove-orphans", "", "bool", "Remove containers for services not defined in the Compose file"),
        Flag("rmi", "", "string", 'Remove images used by services ("local", "all")'),
        Flag("timeout", "t", "int", "Specify a shutdown timeout in seconds"),
        Flag(
            "volumes", "v", "bool", "Remove named volumes of the file and anonymous volumes of the containers"
        ),
    ),
)
