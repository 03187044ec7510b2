"""`nakagin compose up` and `create`: look, plan, do."""

from __future__ import annotations

import sys
from collections.abc import Callable

from nakagin.cli.command import complain
from nakagin.cli.composing.building import builder
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.composing.report import Progress, show_plan
from nakagin.cli.composing.waiting import WAIT_FLAGS, await_all
from nakagin.cli.flags import Flag, UsageError
from nakagin.compose.execute import AT_ONCE, Execution
from nakagin.compose.model import Project
from nakagin.compose.observe import State, observe, observe_images
from nakagin.compose.plan import Plan
from nakagin.compose.reconcile import Wish, plan_up
from nakagin.compose.supply import Supply, plan_images

_FOREGROUND = (
    "abort-on-container-exit",
    "abort-on-container-failure",
    "attach",
    "attach-dependencies",
    "exit-code-from",
)
_PULLS = ("always", "missing", "never", "policy", "build")


def up(compose: Compose) -> int:
    """Make the project be as its files say, start it and, unless detached, stay with it."""
    options = compose.options
    detached = options.on("detach") or options.on("wait") or options.on("no-start")
    if options.on("detach") and any(map(options.given, _FOREGROUND)):
        raise UsageError("--detach cannot be combined with --abort-on-container-exit, --attach and the like")
    if options.on("watch") and (detached or options.on("no-start")):
        raise UsageError(
            "--watch cannot be combined with --detach, --wait or --no-start", hint="compose watch"
        )
    if detached or compose.dry_run or options.on("dry-run") or options.on("plan"):
        code, project = converge(compose, start=not options.on("no-start"))
        if options.on("wait") and not code:
            await_all(compose, project)
        return code
    from nakagin.cli.composing.foreground import stay  # most stacks are started and left

    return stay(compose)


def create(compose: Compose) -> int:
    """The same without a start."""
    return converge(compose, start=False)[0]


def converge(compose: Compose, *, start: bool) -> tuple[int, Project]:
    """Supply images, then reconcile; --plan and --dry-run only say what would be done."""
    project = compose.project_to_run(compose.arguments, dependencies=not _on(compose, "no-deps"))
    wish = wish_of(compose, project, start=start)
    supply = supply_of(compose)
    state = observe(compose.client, project)
    supplied = plan_images(project, state, supply)
    if compose.dry_run or compose.options.on("dry-run") or _on(compose, "plan"):
        return _show(supplied, plan_up(project, state, wish)), project
    return 0, carry_out(compose, project, state, supplied, lambda found: plan_up(found, state, wish)).project


def carry_out(
    compose: Compose,
    project: Project,
    state: State,
    supplied: Plan,
    planned: Callable[[Project], Plan],
    mode: str = "",
) -> Execution:
    """Supply the images, then plan with what came of it, and do that. `mode`: another than --progress says."""
    pages: list[str] = []
    try:
        with Progress(mode or compose.progress, colours=compose.colours, silent=silent(compose)) as progress:
            execution = Execution(
                project, state, compose.connect, progress, compose.at_once or AT_ONCE, builder(compose, pages)
            )
            if supplied.operations:
                execution.supply(supplied)
                observe_images(compose.client, execution.project, state)
            plan = planned(execution.project)
            for warning in plan.warnings:
                complain(f"WARN[0000] {warning} ")
            progress.keep(plan.kept)
            execution.run(plan)
    finally:
        for line in pages:
            complain(line)
    return execution


def _show(supplied: Plan, plan: Plan) -> int:
    for warning in plan.warnings:
        complain(f"WARN[0000] {warning} ")
    if supplied.operations:
        sys.stdout.write(f"{supplied}\nthen\n")
    sys.stdout.write(show_plan(plan))
    return 0


def _on(compose: Compose, name: str) -> bool:
    """A switch that not all of the verbs here have."""
    return compose.options.has(name) and compose.options.on(name)


def wish_of(compose: Compose, project: Project, *, start: bool) -> Wish:
    """The flags as the planner reads them."""
    options = compose.options
    if options.on("force-recreate") and options.on("no-recreate"):
        raise UsageError("--force-recreate and --no-recreate are incompatible")
    return Wish(
        start=start,
        scale=scale_of(compose),
        force_recreate=options.on("force-recreate"),
        no_recreate=options.on("no-recreate"),
        always_recreate_deps=_on(compose, "always-recreate-deps"),
        renew_anonymous=_on(compose, "renew-anon-volumes"),
        remove_orphans=compose.removes_orphans(),
        ignore_orphans=compose.ignores_orphans(),
        chosen=compose.arguments,
        seconds=options.number("timeout") if options.has("timeout") and options.given("timeout") else None,
    )


def silent(compose: Compose) -> list[str]:
    """The verbs whose progress nobody wants to see."""
    return [verb for verb in ("build", "pull") if _on(compose, f"quiet-{verb}")]


def scale_of(compose: Compose) -> dict[str, int]:
    """--scale SERVICE=NUM."""
    scale: dict[str, int] = {}
    for each in compose.options.many("scale"):
        name, given, number = each.partition("=")
        if not given or not number.isdecimal():
            raise UsageError(f"invalid --scale option {each!r}: write SERVICE=NUM")
        scale[name] = int(number)
    return scale


def supply_of(compose: Compose) -> Supply:
    """The flags about images."""
    options = compose.options
    pull = options.text("pull")
    if pull not in ("", *_PULLS):
        raise UsageError(f"invalid --pull option {pull!r}: write one of {', '.join(_PULLS)}")
    if options.on("build") and _on(compose, "no-build"):
        raise UsageError("--build and --no-build are incompatible")
    return Supply(
        build=options.on("build") or pull == "build",
        no_build=_on(compose, "no-build"),
        pull="" if pull in ("policy", "build") else pull,
    )


_SHARED = (
    Flag("build", "", "bool", "Build images before starting containers"),
    Flag(
        "force-recreate",
        "",
        "bool",
        "Recreate containers even if their configuration and image haven't changed",
    ),
    Flag("no-build", "", "bool", "Don't build an image, even if it's policy"),
    Flag("no-recreate", "", "bool", "If containers already exist, don't recreate them"),
    Flag("pull", "", "string", 'Pull image before running ("always", "missing", "never")', "policy"),
    Flag("quiet-pull", "", "bool", "Pull without printing progress information"),
    Flag("remove-orphans", "", "bool", "Remove containers for services not defined in the Compose file"),
    Flag("scale", "", "list", "Scale SERVICE to NUM instances"),
    Flag("yes", "y", "bool", 'Assume "yes" as answer to all prompts and run non-interactively'),
)
UP = Verb(
    up,
    "[OPTIONS] [SERVICE...]",
    (
        *_SHARED,
        Flag("abort-on-container-exit", "", "bool", "Stops all containers if any container was stopped"),
        Flag(
            "abort-on-container-failure",
            "",
            "bool",
            "Stops all containers if any container exited with failure",
        ),
        Flag("attach", "", "list", "Restrict attaching to the specified services"),
        Flag("attach-dependencies", "", "bool", "Automatically attach to log output of dependent services"),
        Flag("exit-code-from", "", "string", "Return the exit code of the selected service container"),
        Flag(
            "menu",
            "",
            "bool",
            "Enable interactive shortcuts when running attached",
        ),
        Flag("no-attach", "", "list", "Do not attach (stream logs) to the specified services"),
        Flag("no-color", "", "bool", "Produce monochrome output"),
        Flag("no-log-prefix", "", "bool", "Don't print prefix in logs"),
        Flag("timestamps", "", "bool", "Show timestamps"),
        *WAIT_FLAGS,
        Flag("always-recreate-deps", "", "bool", "Recreate dependent containers"),
        Flag("detach", "d", "bool", "Detached mode: Run containers in the background"),
        Flag("no-deps", "", "bool", "Don't start linked services"),
        Flag("no-start", "", "bool", "Don't start the services after creating them"),
        Flag("plan", "", "bool", "Show what would be done and why, and do nothing"),
        Flag("quiet-build", "", "bool", "Suppress the build output"),
        Flag("renew-anon-volumes", "V", "bool", "Recreate anonymous volumes instead of keeping their data"),
        Flag("watch", "w", "bool", "Watch source code and refresh or rebuild containers when files change"),
        Flag("timeout", "t", "int", "Seconds that containers have to end before they are killed"),
    ),
)
CREATE = Verb(create, "[OPTIONS] [SERVICE...]", _SHARED)
