"""`nakagin compose up` in the foreground: the output of all, keys, and Ctrl+C."""

from __future__ import annotations

import os
import threading

from msgspec.structs import replace

from nakagin.cli.command import complain
from nakagin.cli.composing.attached import Attached, Attachment, containers_of
from nakagin.cli.composing.context import Compose
from nakagin.cli.composing.keys import keys
from nakagin.cli.composing.report import Progress
from nakagin.cli.composing.up import converge, scale_of
from nakagin.cli.door import explain
from nakagin.cli.flags import UsageError
from nakagin.cli.terminal import is_terminal
from nakagin.compose.environment import is_on
from nakagin.compose.execute import AT_ONCE, Execution
from nakagin.compose.model import Project
from nakagin.compose.observe import observe
from nakagin.compose.plan import StartContainer
from nakagin.compose.reconcile import Wish, plan_up
from nakagin.compose.teardown import plan_stop
from nakagin.errors import NakaginError


def stay(compose: Compose) -> int:
    """Make the project, start it and show its output until it ends or the user has had enough; the exit code."""
    wish = _attachment(compose)
    code, project = converge(compose, start=False)
    services = wish.services or [
        name
        for name, each in project.services.items()
        if each.attach is not False
        and (not compose.arguments or name in compose.arguments or compose.options.on("attach-dependencies"))
    ]
    left_out = compose.options.many("no-attach")
    wish = replace(wish, services=[name for name in services if name not in left_out])
    attached = Attached(compose, project, wish)
    attached.begin(containers_of(compose, project))
    watching = threading.Event()
    shortcuts = {"d": attached.leave, "w": lambda: _watch(compose, project, watching)}
    try:
        try:
            started = _start(compose, project)
            if compose.options.on("watch"):
                _watch(compose, project, watching)
            with keys(shortcuts if _has_menu(compose) else {}):
                code = attached.wait(started)
            if wish.ends_on or wish.code_from:
                complain("Aborting on container exit...")
                _stop(compose, project)
        except KeyboardInterrupt:
            code = _interrupted(compose, project)
    finally:
        watching.set()
        attached.end()
    return code


def _has_menu(compose: Compose) -> bool:
    """--menu, else COMPOSE_MENU, else on a terminal."""
    options = compose.options
    told = os.environ.get("COMPOSE_MENU")
    wanted = options.on("menu") if options.given("menu") else (not told or is_on(told))
    if wanted and is_terminal(0) and is_terminal(2):
        complain("d: leave them running   w: watch their files   Ctrl+C: stop")
        return True
    return False


def _watch(compose: Compose, project: Project, until: threading.Event) -> None:
    from nakagin.cli.composing.watch import follow, rules_for

    def work() -> None:
        try:
            follow(compose.apart(), rules_for(project, compose.arguments), until)
        except NakaginError as error:
            complain(f"watch: {explain(error)}")

    threading.Thread(target=work, daemon=True).start()


def _interrupted(compose: Compose, project: Project) -> int:
    complain("Gracefully Stopping... press Ctrl+C again to force")
    try:
        _stop(compose, project)
    except KeyboardInterrupt:
        _stop(compose, project, seconds=0)
    return 130


def _attachment(compose: Compose) -> Attachment:
    options = compose.options
    ended, failure = options.on("abort-on-container-exit"), options.on("abort-on-container-failure")
    if ended and failure:
        raise UsageError("--abort-on-container-exit and --abort-on-container-failure are incompatible")
    colours = not options.on("no-color") and compose.output_colours
    return Attachment(
        services=options.many("attach"),
        ends_on="exit" if ended else "failure" if failure else "",
        code_from=options.text("exit-code-from"),
        prefix=not options.on("no-log-prefix"),
        colours=colours,
        timestamps=options.on("timestamps"),
        stays=options.on("watch"),
    )


def _start(compose: Compose, project: Project) -> set[str]:
    """Start what was made, by its dependencies, without a picture: the output has the terminal. The ids."""
    state = observe(compose.client, project)
    wish = Wish(no_recreate=True, ignore_orphans=True, scale=scale_of(compose))
    plan = plan_up(project, state, wish)
    execution = Execution(project, state, compose.connect, at_once=compose.at_once or AT_ONCE)
    execution.run(plan)
    started = [each.action for each in plan.operations if isinstance(each.action, StartContainer)]
    return {each.id or execution.ids[(each.service, each.number)] for each in started}


def _stop(compose: Compose, project: Project, seconds: int | None = None) -> None:
    """Ask all containers to end, dependents first."""
    if seconds is None and compose.options.given("timeout"):
        seconds = compose.options.number("timeout")
    state = observe(compose.client, project)
    plan = plan_stop(project, state, seconds)
    with Progress(compose.progress, colours=compose.colours) as progress:
        Execution(project, state, compose.connect, progress, compose.at_once or AT_ONCE).run(plan)
