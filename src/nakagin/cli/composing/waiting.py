"""`up --wait` and `start --wait`: until every service is as its users need it."""

from __future__ import annotations

from nakagin.cli.composing.context import Compose
from nakagin.cli.composing.report import Progress
from nakagin.cli.flags import Flag
from nakagin.compose.execute import AT_ONCE, Execution
from nakagin.compose.model import Project
from nakagin.compose.observe import observe
from nakagin.compose.own import job, readiness
from nakagin.compose.plan import Plan, WaitFor

WAIT_FLAGS = (
    Flag("wait", "", "bool", "Wait for services to be running|healthy. Implies detached mode"),
    Flag("wait-timeout", "", "int", "Seconds to wait at most for the project to be running|healthy"),
)


def await_all(compose: Compose, project: Project) -> None:
    """Until all run, are healthy where they have a check, or have ended well where they are jobs. Raises Unmet.

    A job is also what others wait for by `service_completed_successfully`.
    """
    plan = Plan()
    seconds = compose.options.number("wait-timeout")
    ends = {
        other
        for service in project.services.values()
        for other, dependency in service.depends_on.items()
        if dependency.condition == "service_completed_successfully"
    }
    for name, service in project.services.items():
        timed = job(project, name)
        if service.provider is not None or (timed and timed.schedule):
            continue
        condition = "service_completed_successfully" if timed or name in ends else "running_or_healthy"
        wait = WaitFor(name, condition, seconds=seconds, ready=readiness(project, name))
        plan.add(wait, "--wait was given")
    state = observe(compose.client, project)
    with Progress(compose.progress, colours=compose.colours) as progress:
        execution = Execution(project, state, compose.connect, progress, compose.at_once or AT_ONCE)
        execution.run(plan)
