"""`nakagin compose start`, `stop`, `restart`, `kill`, `pause`, `unpause` and `rm`: containers that are there."""

from __future__ import annotations

import sys
from collections.abc import Callable

from nakagin.cli.command import complain, say
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.composing.report import Progress, show_plan
from nakagin.cli.composing.waiting import WAIT_FLAGS, await_all
from nakagin.cli.flags import Flag
from nakagin.compose.ending import removal
from nakagin.compose.execute import AT_ONCE, Execution
from nakagin.compose.handling import plan_each, plan_restart, plan_start
from nakagin.compose.model import Project
from nakagin.compose.observe import Observed, State, observe
from nakagin.compose.own import job
from nakagin.compose.plan import (
    Action,
    FreezeContainer,
    KillContainer,
    Plan,
    ThawContainer,
)
from nakagin.compose.recall import recalled
from nakagin.compose.select import for_services
from nakagin.compose.teardown import plan_stop
from nakagin.errors import NotFound


def start(compose: Compose) -> int:
    """Start what is stopped, dependencies first; with --wait until it is ready."""
    project, state = _look(compose)
    chosen = for_services(project, compose.arguments)
    named = compose.arguments
    timed = [name for name in chosen.services if (found := job(project, name)) and found.schedule]
    for name in set(timed) - set(named):  # the engine starts those
        chosen.services.pop(name)
    _do(compose, project, state, plan_start(chosen, state))
    if compose.options.on("wait") and not _is_dry(compose):
        await_all(compose, chosen)
    return 0


def stop(compose: Compose) -> int:
    """Stop what runs, dependents first."""
    project, state = _look(compose)
    return _do(compose, project, state, plan_stop(project, state, _seconds(compose), compose.arguments))


def restart(compose: Compose) -> int:
    """Stop and start again, dependencies first, and who depends on them with `restart: true`."""
    project, state = _look(compose)
    plan = plan_restart(
        project,
        state,
        compose.arguments,
        dependents=not compose.options.on("no-deps"),
        seconds=_seconds(compose),
    )
    return _do(compose, project, state, plan)


def kill(compose: Compose) -> int:
    """Send a signal to what runs; with --remove-orphans also to what is not in the file any more."""
    signal = compose.options.text("signal")
    project, state = _look(compose)
    known = {*project.services, *project.disabled}
    found = [
        each
        for each in _chosen(compose, state)
        if each.is_running and (each.service in known or compose.removes_orphans())
    ]
    if not found:
        complain("no container to kill")
    return _each(compose, project, state, found, lambda each: KillContainer(each.name, each.id, signal))


def pause(compose: Compose) -> int:
    """Freeze what runs."""
    project, state = _look(compose)
    found = [each for each in _chosen(compose, state) if each.state == "running"]
    return _each(compose, project, state, found, lambda each: FreezeContainer(each.name, each.id))


def unpause(compose: Compose) -> int:
    """Let it go on."""
    project, state = _look(compose)
    found = [each for each in _chosen(compose, state) if each.state == "paused"]
    return _each(compose, project, state, found, lambda each: ThawContainer(each.name, each.id))


def remove(compose: Compose) -> int:
    """Remove what is stopped, after a question; with --stop what runs, too."""
    options = compose.options
    project, state = _look(compose)
    if options.on("stop"):
        _do(compose, project, state, plan_stop(project, state, _seconds(compose), compose.arguments))
        if not _is_dry(compose):
            state = observe(compose.client, project)
    found = [
        each
        for each in _chosen(compose, state)
        if not each.is_running or (options.on("stop") and _is_dry(compose))
    ]
    if not found:
        complain("No stopped containers")
        return 0
    if not _is_dry(compose):
        say(f"Going to remove {', '.join(each.name for each in found)}")
        sys.stdout.flush()
    if not options.on("force") and not _is_dry(compose):
        sys.stderr.write("Are you sure? [yN] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            return 0
    volumes = options.on("volumes")
    return _each(compose, project, state, found, lambda each: removal(each, volumes=volumes))


def _look(compose: Compose) -> tuple[Project, State]:
    """The project and what there is of it; of one that is known by its name alone, what its labels say.

    Raises NotFound for a service that neither the file nor a container knows.
    """
    name, found = compose.named()
    project = found or Project(name=name)
    state = observe(compose.client, project)
    if found is None:
        project = recalled(name, state)
    known = {*project.services, *project.disabled, *(each.service for each in state.containers)}
    for each in compose.arguments:
        if each not in known:
            raise NotFound(f"no such service: {each}")
    return project, state


def _chosen(compose: Compose, state: State) -> list[Observed]:
    return [
        each
        for each in state.containers
        if not each.oneoff and (not compose.arguments or each.service in compose.arguments)
    ]


def _seconds(compose: Compose) -> int | None:
    options = compose.options
    return options.number("timeout") if options.has("timeout") and options.given("timeout") else None


def _is_dry(compose: Compose) -> bool:
    return compose.dry_run or compose.options.on("dry-run")


def _each(
    compose: Compose,
    project: Project,
    state: State,
    found: list[Observed],
    action: Callable[[Observed], Action],
) -> int:
    return _do(compose, project, state, plan_each(found, action, "it was asked for"))


def _do(compose: Compose, project: Project, state: State, plan: Plan) -> int:
    if _is_dry(compose):
        sys.stdout.write(show_plan(plan))
        return 0
    with Progress(compose.progress, colours=compose.colours) as progress:
        Execution(project, state, compose.connect, progress, compose.at_once or AT_ONCE).run(plan)
    return 0


_TIMEOUT = Flag("timeout", "t", "int", "Specify a shutdown timeout in seconds")
START = Verb(start, "[SERVICE...]", WAIT_FLAGS)
STOP = Verb(stop, "[OPTIONS] [SERVICE...]", (_TIMEOUT,))
RESTART = Verb(
    restart,
    "[OPTIONS] [SERVICE...]",
    (_TIMEOUT, Flag("no-deps", "", "bool", "Don't restart dependent services")),
)
KILL = Verb(
    kill,
    "[OPTIONS] [SERVICE...]",
    (
        Flag(
            "remove-orphans", "", "bool", "Also kill containers for services not defined in the Compose file"
        ),
        Flag("signal", "s", "string", "SIGNAL to send to the container", "SIGKILL"),
    ),
)
PAUSE = Verb(pause, "[SERVICE...]")
UNPAUSE = Verb(unpause, "[SERVICE...]")
RM = Verb(
    remove,
    "[OPTIONS] [SERVICE...]",
    (
        Flag("all", "a", "bool", "Deprecated - no effect", hidden=True),
        Flag("force", "f", "bool", "Don't ask to confirm removal"),
        Flag("stop", "s", "bool", "Stop the containers, if required, before removing"),
        Flag("volumes", "v", "bool", "Remove any anonymous volumes attached to containers"),
    ),
)
