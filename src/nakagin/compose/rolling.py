"""The update of a service's replicas as `deploy.update_config` says it, and the way back. Pure.

With `failure_action: rollback` no old container is removed before every new one is ready (and was for `monitor`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from nakagin.compose.labels import container_name
from nakagin.compose.model import Project, Service
from nakagin.compose.observe import Observed
from nakagin.compose.own import readiness
from nakagin.compose.parts import UpdateConfig
from nakagin.compose.plan import (
    Pause,
    Plan,
    RemoveContainer,
    StartContainer,
    Swap,
    Update,
    WaitFor,
)
from nakagin.compose.starting import plan_begin
from nakagin.spec.duration import parse_duration


class Rolling:
    """What is planned of one service's update; `replicas` is how many of it there shall be."""

    def __init__(self, plan: Plan, project: Project, name: str, service: Service, replicas: int) -> None:
        self._plan = plan
        self._project = project
        self._name = name
        self._service = service
        self._config = config = (service.deploy and service.deploy.update_config) or UpdateConfig()
        self.goes_back = config.failure_action == "rollback"
        self.starts_first = config.order == "start-first" and not self._is_alone()
        tolerated = math.floor(float(config.max_failure_ratio) * replicas)
        if config.failure_action == "continue":
            tolerated = replicas
        self._update = Update(name, tolerated, self.starts_first, self.goes_back)
        #: what each further replica may have to wait for
        self._done: list[int] = []

    def _is_alone(self) -> bool:
        service = self._service
        fixed = [
            each for each in service.networks.values() if each and (each.ipv4_address or each.ipv6_address)
        ]
        if any(port.published for port in service.ports) or service.network_mode not in ("", "none"):
            what = "published ports"
        elif fixed:
            what = "fixed addresses"
        else:
            return False
        self._plan.warnings.append(
            f"service {self._name} is updated stop-first: two containers cannot have its {what} at once"
        )
        return True

    def turn(self) -> list[int]:
        """What the next replica waits for: the one that is `parallelism` before it, and a while."""
        config = self._config
        together = 1 if config.parallelism is None else config.parallelism
        if not together or len(self._done) < together:
            return []
        previous = self._done[len(self._done) - together]
        if not config.delay:
            return [previous]
        pause = Pause(self._plan.operations[previous - 1].subject, parse_duration(config.delay))
        return [self._plan.add(pause, f"update_config.delay is {config.delay}", [previous])]

    def begin(self, old: Observed, cause: str, after: list[int]) -> int:
        """Add the start of the container that takes an old one's place, and the wait until it is ready."""
        full = container_name(self._project, self._name, self._service, old.number)
        started = plan_begin(self._plan, self._name, self._service, old.number, full, cause, after)
        words = "until it is ready to take over"
        monitor = parse_duration(self._config.monitor) if self._config.monitor else 0
        if monitor:
            words += f", and stays so for {self._config.monitor}"
        if self.goes_back:
            words += "; else all of them go back"
        wait = WaitFor(
            self._name, "running_or_healthy", number=old.number, ready=readiness(self._project, self._name),
            monitor=monitor,
        )  # fmt: skip
        self._update.swaps.append(Swap(old.number, old.name, old.id))
        self._plan.updates[self._name] = self._update
        return self._plan.add(wait, words, [started])

    def done(self, number: int) -> None:
        """The update of a replica has come so far that the next one may begin."""
        self._done.append(number)


def plan_rollback(
    update: Update, made: Mapping[tuple[str, int], str], resumed: Sequence[StartContainer] = ()
) -> Plan:
    """Let the old containers of an update that failed take their places again; its new ones go.

    `made`: (service, number) → id of what was made. `resumed` are starts of those that had stopped for the update.
    """
    plan = Plan()
    service = update.service
    cause = f"the update of {service} failed"
    for swap in update.swaps:
        new = made.get((service, swap.number))
        if new is None:
            continue
        start = StartContainer(swap.name, service, swap.number, swap.id)
        remove = RemoveContainer(f"{swap.id[:12]}_{swap.name}", new, force=True)
        if update.starts_first:
            started = plan.add(start, cause)
            wait = WaitFor(service, "running_or_healthy", required=False, number=swap.number, id=swap.id)
            plan.add(remove, cause, [plan.add(wait, "until it is back", [started])])
        else:
            plan.add(start, cause, [plan.add(remove, cause)])
    back = [each.number for each in plan.operations]
    for start in resumed:
        plan.add(start, f"{service}, which it depends on, is back", back)
    return plan
