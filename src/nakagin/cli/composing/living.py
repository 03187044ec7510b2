"""`nakagin compose attach`, `wait` and `stats`: containers of services while they live."""

from __future__ import annotations

import threading
from queue import SimpleQueue

from nakagin.cli.command import Call, say
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.composing.service import INDEX, containers, one_container, only_said
from nakagin.cli.flags import Flag
from nakagin.cli.verbs import start
from nakagin.cli.verbs import stats as usage
from nakagin.compose import labels
from nakagin.compose.model import Project
from nakagin.compose.observe import Observed
from nakagin.errors import NakaginError, NotFound


def attach(compose: Compose) -> int:
    """Be the terminal of a service's container until it ends; its exit code."""
    container = one_container(compose, compose.arguments[0])
    if only_said(compose, f"attach to {container.name}"):
        return 0
    return start.attach(Call("attach", compose.options, [container.id], compose.connect))


def wait(compose: Compose) -> int:
    """Until all containers have ended, or the first with --down-project; the exit code of the last to end.

    One that has ended already counts: who waits for a quick job need not be quicker.
    """
    name, every = containers(compose, compose.arguments, all=True)
    found = [each for each in every if each.state != "created"]
    if not found:
        raise NotFound(f'no containers for project "{name}"')
    if only_said(compose, f"wait for {', '.join(each.name for each in found)}"):
        return 0
    ended: SimpleQueue[tuple[Observed, int | NakaginError]] = SimpleQueue()
    for each in found:
        threading.Thread(target=_await, args=(compose, each, ended), daemon=True).start()
    code = 0
    for _ in found:
        container, told = ended.get()
        if isinstance(told, NakaginError):
            raise told
        code = told
        say(f'container "{container.id}" exited with status code {code}')
        if compose.options.on("down-project"):
            _down(compose, name)
            break
    return code


def _await(
    compose: Compose, container: Observed, ended: SimpleQueue[tuple[Observed, int | NakaginError]]
) -> None:
    client = compose.connect()
    try:
        ended.put((container, client.containers.refer(container.id).wait()))
    except NakaginError as error:
        ended.put((container, error))
    finally:
        client.close()


def _down(compose: Compose, name: str) -> None:
    from nakagin.cli.composing.report import Progress
    from nakagin.compose.execute import AT_ONCE, Execution
    from nakagin.compose.observe import observe
    from nakagin.compose.teardown import Ending, plan_down

    project = compose.named()[1] or Project(name=name)
    state = observe(compose.client, project)
    with Progress(compose.settings.text("progress"), colours=compose.colours) as progress:
        execution = Execution(project, state, compose.connect, progress, compose.at_once or AT_ONCE)
        execution.run(plan_down(project, state, Ending(orphans=not project.services)))


def stats(compose: Compose) -> int:
    """What the project's containers use, live or once; those that come later are shown too."""
    name, _ = containers(compose, compose.arguments)
    wanted = [f"{labels.PROJECT}={name}", *(f"{labels.SERVICE}={each}" for each in compose.arguments)]
    return usage.show_stats(Call("stats", compose.options, [], compose.connect), {"label": wanted})


ATTACH = Verb(attach, "[OPTIONS] SERVICE", (*start.ATTACH.flags, INDEX), least=1, most=1)
WAIT = Verb(
    wait,
    "SERVICE [SERVICE...] [OPTIONS]",
    (Flag("down-project", "", "bool", "Drops project when the first container stops"),),
    least=1,
)
STATS = Verb(stats, "[OPTIONS] [SERVICE]", usage.FLAGS, most=1)
