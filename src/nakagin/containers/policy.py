"""Restart policies and stop decisions: when to start a container again, and after how long. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.containers.model import NEVER
from nakagin.errors import Invalid
from nakagin.kernel import signals

if TYPE_CHECKING:
    from nakagin.containers.model import Facts
    from nakagin.spec import docker

FIRST_DELAY = 0.1
LONGEST_DELAY = 60.0
#: A run of at least this many seconds counts as a success: the next delay is the first one again.
STEADY = 10.0

#: An unhealthy container that has run for so long starts its delays anew; checks alone take longer than STEADY.
HEALED = 600.0

_POLICIES = {"", "no", "always", "on-failure", "on-unhealthy", "unless-stopped"}


def check(policy: docker.RestartPolicy, *, auto_remove: bool) -> None:
    """Invalid, in Docker's words, for a policy that makes no sense."""
    if policy.name not in _POLICIES:
        raise Invalid(
            f"invalid restart policy: unknown policy '{policy.name}'; "
            "use one of 'no', 'always', 'on-failure', 'on-unhealthy', or 'unless-stopped'"
        )
    if policy.maximum_retry_count < 0:
        raise Invalid("invalid restart policy: maximum retry count cannot be negative")
    if policy.maximum_retry_count and policy.name not in {"on-failure", "on-unhealthy"}:
        raise Invalid(
            "invalid restart policy: maximum retry count can only be used with 'on-failure' and 'on-unhealthy'"
        )
    if auto_remove and policy.name not in {"", "no"}:
        raise Invalid("can't create 'AutoRemove' container with restart policy")


def wants_restart(policy: docker.RestartPolicy, facts: Facts) -> bool:
    """Whether a container that has just ended is to be started again."""
    if facts.stopped_by_user:
        return False
    match policy.name:
        case "always" | "unless-stopped":
            return True
        case "on-failure":
            return facts.exit_code != 0 and _may_again(policy, facts)
        case "on-unhealthy":
            return (facts.exit_code != 0 or facts.healing) and _may_again(policy, facts)
        case _:
            return False


def wants_healing(policy: docker.RestartPolicy, facts: Facts) -> bool:
    """Whether a container that has just become unhealthy is to be ended and started again."""
    return policy.name == "on-unhealthy" and not facts.stopped_by_user and _may_again(policy, facts)


def _may_again(policy: docker.RestartPolicy, facts: Facts) -> bool:
    return policy.maximum_retry_count == 0 or facts.restart_count < policy.maximum_retry_count


def wants_start_with_engine(policy: docker.RestartPolicy, facts: Facts) -> bool:
    """Whether a container that does not run is to be started when the engine starts.

    "always" means even after a stop by hand; what was never started stays so.
    """
    if facts.started_at == NEVER:
        return False
    return policy.name == "always" or wants_restart(policy, facts)


def next_delay(previous: float, ran_for: float, *, healing: bool = False) -> float:
    """Seconds to wait before the next start: 100 ms, doubled up to a minute, anew after a steady run."""
    if previous == 0.0 or ran_for >= (HEALED if healing else STEADY):
        return FIRST_DELAY
    return min(previous * 2, LONGEST_DELAY)


def signal_number(text: str) -> int:
    """The number of "TERM", "SIGTERM", "15", "RTMIN+3"; Invalid, in Docker's words, for none."""
    try:
        number = signals.number_of(text.strip())
    except Invalid:
        number = 0
    if not 1 <= number <= signals.table.SIGRTMAX:
        raise Invalid(f"invalid signal: {text}", hint="a name such as TERM, or a number")
    return number
