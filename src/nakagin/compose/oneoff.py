"""`run`: one container more of a service, for one command. Pure: the service as the flags change it, and the plan."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from nakagin.compose.model import Project, Service
from nakagin.compose.observe import State
from nakagin.compose.parts import Mount, Port
from nakagin.compose.plan import CreateContainer, OneOff, Plan
from nakagin.compose.reconcile import Wish, plan_up
from nakagin.compose.starting import Conditions


class Changes(Struct, frozen=True, kw_only=True):
    """What the flags of `run` say about the service; what is None or empty stays as the file has it."""

    name: str
    tty: bool = False
    stdin: bool = True
    command: list[str] | None = None
    entrypoint: list[str] | None = None
    environment: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    cap_add: list[str] = []
    cap_drop: list[str] = []
    user: str = ""
    working_dir: str = ""
    #: None: those of the file
    ports: list[Port] | None = []
    volumes: list[Mount] = []


def changed(service: Service, changes: Changes) -> Service:
    """The service as its one-off container is made: never restarted, and of a name of its own."""
    command = service.command if changes.command is None else changes.command
    if changes.entrypoint is not None and changes.command is None:
        command = []
    targets = {each.target for each in changes.volumes}
    return replace(
        service,
        container_name=changes.name,
        tty=changes.tty,
        stdin_open=changes.stdin,
        command=command,
        entrypoint=service.entrypoint if changes.entrypoint is None else changes.entrypoint,
        environment={**service.environment, **changes.environment},
        labels={**service.labels, **changes.labels},
        cap_add=[*service.cap_add, *changes.cap_add],
        cap_drop=[each for each in service.cap_drop if each not in changes.cap_add] + changes.cap_drop,
        user=changes.user or service.user,
        working_dir=changes.working_dir or service.working_dir,
        ports=service.ports if changes.ports is None else changes.ports,
        volumes=[each for each in service.volumes if each.target not in targets] + changes.volumes,
        restart="",
        scale=1,
        deploy=replace(service.deploy, restart_policy=None) if service.deploy else None,
    )


def plan_run(project: Project, state: State, name: str, settings: OneOff, wish: Wish) -> Plan:
    """What the service depends on comes first, as its conditions say; then its container is made, and not started.

    Raises what `plan_up` raises.
    """
    service = project.services[name]
    others = replace(
        project,
        services={key: each for key, each in project.services.items() if key != name},
        disabled={**project.disabled, name: service},
    )
    plan = plan_up(others, state, wish)
    ready = [each.number for each in plan.operations]
    started = dict.fromkeys(others.services, ready)
    ready += Conditions(plan, others).before(name, service, started)
    action = CreateContainer(service.container_name, name, service, 0, oneoff=settings)
    plan.add(action, "it is run once", ready)
    return plan
