"""The prediction put to the test: copies are started until the first limit, then all of them are removed."""

from __future__ import annotations

import time
from typing import NamedTuple

from nakagin.capacity.measure import demand
from nakagin.capacity.model import FACTORS, Amounts
from nakagin.errors import NakaginError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nakagin.client import Client
    from nakagin.client.containers import Container
    from nakagin.client.session import Document

LABEL = "org.nakagin.capacity"
# factor → the key of GET /nakagin/system/resources, and the part that is never taken from the machine
_RESERVE = {
    "memory": ("Memory", 0.03),
    "disk": ("Disk", 0.02),
    "pids": ("Processes", 0.0),
    "files": ("Files", 0.0),
}


class Outcome(NamedTuple):
    """How many really ran, and what ended it: a factor's name, "most", or an error's words."""

    fits: int
    ended: str
    seconds: float


def copies(
    client: Client,
    body: Document,
    budget: Mapping[str, float],
    most: int,
    settle: float,
    told: Callable[[int], None],
) -> Outcome:
    """Start copies of a create request one by one until the budget (amounts by factor) or the machine is used up.

    After each, it is measured for `settle` seconds: what the copies themselves take counts, not what other programs of
    the machine do meanwhile. Whatever happens, no copy stays.
    """
    began = time.monotonic()
    started: list[Container] = []
    taken = Amounts()
    ended = ""
    killed = _Killed(client)
    try:
        while len(started) < most:
            try:
                container, _ = client.containers.create_from(_copy(body))
            except NakaginError as error:
                ended = str(error)
                break
            started.append(container)
            try:
                container.start()
                taken += demand(container, settle).each
                now = client.resources()
                ended = (
                    _over(taken, budget)
                    or _used_up(now)
                    or _died(client, started)
                    or killed.one_of(started, now)
                )
            except NakaginError as error:
                ended = _died(client, started) or str(error)
            if ended:
                started.pop().remove(force=True, volumes=True)
                break
            told(len(started))
        return Outcome(len(started), ended or "most", time.monotonic() - began)
    finally:
        for container in started:
            container.remove(force=True, volumes=True)


def _copy(body: Document) -> Document:
    return {**body, "Labels": {**(body.get("Labels") or {}), LABEL: "copy"}}


def _died(client: Client, started: list[Container]) -> str:
    """Why one of the copies does not run any more; "" where all do.

    What is used up may end another one than the newest: where memory is, the kernel chooses.
    """
    ours = {container.id: container for container in started}
    wanted = {"label": [f"{LABEL}=copy"], "status": ["exited", "dead"]}
    for each in client.containers.list(all=True, filters=wanted):
        if container := ours.get(each["Id"]):
            state = container.inspect()["State"]
            return "memory" if state["OOMKilled"] else f"a copy ended with exit code {state['ExitCode']}"
    return ""


class _Killed:
    """Watches for a process that the kernel kills for memory, in a copy that goes on without it."""

    def __init__(self, client: Client) -> None:
        self._before = client.resources()["OOMKills"]

    def one_of(self, started: list[Container], now: Document) -> str:
        """What ended it if one of the copies has lost a process; "" where none has.

        The copies are only asked when the machine has killed any: to ask a hundred each time would be most of the work.
        """
        before, self._before = self._before, now["OOMKills"]
        if before == self._before or not any(each.overhead()["OOMKills"] for each in started):
            return ""
        return "memory (the kernel ended a process of a copy)"


def _over(taken: Amounts, budget: Mapping[str, float]) -> str:
    """The factor of which the copies took more than the budget."""
    return next((factor for factor, most in budget.items() if getattr(taken, factor) > most), "")


def _used_up(now: Document) -> str:
    """The factor of which the machine has too little left to go on."""
    for factor, (key, part) in _RESERVE.items():
        if now[key]["Free"] < part * now[key]["Total"]:
            return f"{factor} (this machine's last reserve)"
    return ""


def like(inspected: Document) -> Document:
    """The create request for a copy of a container: its own name, addresses and published ports left out."""
    host = dict(inspected["HostConfig"])
    host.update(
        PortBindings={}, PublishAllPorts=False, AutoRemove=False, RestartPolicy={"Name": "no"}, Links=None
    )
    body = {**inspected["Config"], "HostConfig": host}
    if inspected.get("Nakagin"):
        body["Nakagin"] = inspected["Nakagin"]
    for name in ("Hostname", "MacAddress"):
        body.pop(name, None)
    return body


def parse_budget(text: str, parse: Callable[[str], float]) -> dict[str, float]:
    """ "memory=2g,pids=500" → amounts; ValueError names a factor that there is not."""
    found: dict[str, float] = {}
    for each in filter(None, text.split(",")):
        name, _, amount = each.partition("=")
        if name not in FACTORS:
            raise ValueError(f"unknown factor {name} (one of {', '.join(FACTORS)})")
        found[name] = float(amount) if name not in {"memory", "disk"} else float(parse(amount))
    return found
