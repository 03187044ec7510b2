"""A container's interfaces: the monitor attaches its network namespace to a bridge, in one netlink batch.

Import-light; runs in the single-threaded monitor. Knows nothing of records, ports or names.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.network.model import EndpointPlan


def attach(plan: EndpointPlan, pid: int) -> None:
    """Give the network namespace of process `pid` the interface that `plan` describes, and its loopback.

    Raises StepFailed (the kernel's words in it); nothing of the interface is left then.
    """
    raise NotImplementedError


def loopback_up(pid: int) -> None:
    """Bring up `lo` in the network namespace of process `pid` (what `--network none` has)."""
    raise NotImplementedError


def detach(plan: EndpointPlan) -> None:
    """Delete the host's side of the interface where it is still there; the container's side goes with it."""
    raise NotImplementedError
