"""`nakagin capacity`: how many containers of a kind can this machine run, what ends it, and is that so."""

from __future__ import annotations

import json
import sys

from nakagin.cli import terminal
from nakagin.cli.command import Call, Command, complain, say
from nakagin.cli.flags import Flag
from nakagin.cli.quantities import parse_bytes
from nakagin.errors import Conflict, Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.capacity.model import Answer, Demand, Host
    from nakagin.capacity.verify import Outcome
    from nakagin.client.session import Document

_NS = 10**9


def capacity(call: Call) -> int:
    """Predict, show, and with --verify try it out."""
    from nakagin.capacity import measure, model, verify

    options = call.options
    _check(call)
    try:
        budget = verify.parse_budget(options.text("budget"), parse_bytes)
    except ValueError as error:
        raise Invalid(f'invalid budget "{options.text("budget")}": {error}') from None
    network = options.text("network")
    demand, body = _demand(call)
    machine = measure.host(call.client, network, options.number("link") * 1e6)
    bounded = model.bounded(machine, budget)
    answer = model.answer(bounded, demand)
    outcome = None
    if options.on("verify"):
        if body is None:
            raise Invalid("--verify needs something to start", hint="--like CONTAINER, or an IMAGE")
        outcome = _verify(call, body, budget, answer)
    if path := options.text("plot"):
        from nakagin.capacity.picture import svg
        from nakagin.drawing import write

        title = f"How many copies of {_subject(call)} this machine can run"
        write(path, title, svg(answer, title))
    if options.text("format") == "json":
        say(json.dumps(_document(answer, bounded, outcome), indent=4))
    else:
        _tell(answer, bounded, outcome)
    return 0


def _check(call: Call) -> None:
    options = call.options
    if options.text("format") not in {"text", "json"}:
        raise Invalid(f'invalid format "{options.text("format")}"', hint="text or json")
    ways = [bool(call.arguments), options.given("like"), options.given("compose")]
    if sum(ways) > 1:
        raise Invalid("an IMAGE, --like and --compose exclude each other")
    if not any(ways) and not any(
        options.given(each) for each in ("memory", "cpus", "pids-limit", "disk", "bandwidth")
    ):
        raise Invalid(
            "of what? Say what a copy is",
            hint="--like CONTAINER, IMAGE [COMMAND], limits (-m, --cpus …) or --compose FILE",
        )


def _subject(call: Call) -> str:
    options = call.options
    return (
        options.text("like")
        or next(iter(call.arguments), "")
        or options.text("compose")
        or "such a container"
    )


def _demand(call: Call) -> tuple[Demand, Document | None]:
    """What a copy takes, and the request that makes one (None where only limits are known)."""
    from nakagin.capacity import measure, verify

    options = call.options
    window = options.number("window") / _NS
    if name := options.text("like"):
        container = call.client.containers.get(name)
        if container.attributes["State"]["Status"] != "running":
            raise Conflict(
                f"container {name} is not running: there is nothing to measure", hint="start it first"
            )
        return measure.demand(container, window), verify.like(container.inspect())
    if call.arguments:
        return _probed(call, window)
    if path := options.text("compose"):
        from nakagin.compose.environment import gather
        from nakagin.compose.loader import load

        demand, without = measure.of_project(load(gather(files=[path])).project)
        if without:
            complain(
                f"No memory limit: {', '.join(without)}. They count for nothing: measure them with --like."
            )
        return demand, None
    return (
        measure.declared(
            memory=options.number("memory"),
            cpus=options.number("cpus") / _NS,
            pids=options.number("pids-limit"),
            disk=options.number("disk"),
            bandwidth=options.number("bandwidth") * 1e6,
            networked=options.text("network") not in {"none", "host"},
        ),
        None,
    )


def _probed(call: Call, window: float) -> tuple[Demand, Document]:
    """Start one, measure it, take it away."""
    from nakagin.capacity import measure
    from nakagin.client.requests import container_body

    options = call.options
    image, *command = call.arguments
    host = {"Memory": options.number("memory"), "NanoCpus": options.number("cpus")}
    if options.given("pids-limit"):
        host["PidsLimit"] = options.number("pids-limit")
    body = container_body(
        image, command or None, {"network": options.text("network"), "host_config": host, "init": True}
    )
    container, _ = call.client.containers.create_from(body)
    try:
        container.start()
        return measure.demand(container, window), body
    finally:
        container.remove(force=True, volumes=True)


def _verify(call: Call, body: Document, budget: dict[str, float], answer: Answer) -> Outcome:
    from nakagin.capacity.verify import copies

    options = call.options
    most = options.number("most")
    show = terminal.is_terminal(2)

    def told(count: int) -> None:
        if show:
            sys.stderr.write(f"\r{count} of about {min(answer.sharing, most)} copies run ")
            sys.stderr.flush()

    outcome = copies(call.client, body, budget, most, options.number("settle") / _NS, told)
    if show:
        sys.stderr.write("\n")
    return outcome


def _tell(answer: Answer, host: Host, outcome: Outcome | None) -> None:
    from nakagin.capacity.picture import text

    for line in text(answer, host.unknown):
        say(line)
    if outcome is None:
        return
    say("")
    if outcome.ended == "most":
        say(f"Verified: {outcome.fits} copies ran, as many as --most allows; none was the last.")
        return
    off = abs(answer.sharing - outcome.fits) / max(outcome.fits, 1)
    say(
        f"Verified: {outcome.fits} copies ran until {outcome.ended} ended it; the prediction was off by {off:.0%}."
    )


def _document(answer: Answer, host: Host, outcome: Outcome | None) -> Document:
    document: Document = {
        "Fits": answer.fits if answer.binding else None,
        "Binding": answer.binding,
        "Sharing": answer.sharing if answer.ends else None,
        "Ends": answer.ends,
        "Factors": [
            {
                "Factor": row.factor,
                "Total": row.total,
                "Free": row.free,
                "Each": row.each,
                "Fits": row.fits if row.each > 0 and row.factor not in host.unknown else None,
                "HeadRoom": answer.headroom(row),
                "Source": row.source,
                "Advice": row.advice,
            }
            for row in answer.rows
        ],
    }
    if outcome is not None:
        document["Verified"] = {"Fits": outcome.fits, "Ended": outcome.ended, "Seconds": outcome.seconds}
    return document


CAPACITY = Command(
    capacity,
    "[OPTIONS] [IMAGE [COMMAND] [ARG...]]",
    (
        Flag("bandwidth", "", "uint", "Traffic of a copy in Mbit/s"),
        Flag("budget", "", "string", "Use only so much of the machine: memory=2g,pids=500,disk=1g,cpu=1"),
        Flag("compose", "", "string", "A copy is all services of this Compose file, by their limits"),
        Flag("cpus", "", "decimal", "CPUs of a copy"),
        Flag("disk", "", "bytes", "What a copy writes to disk"),
        Flag("format", "", "string", "Output as text or json", "text"),
        Flag("like", "", "string", "A copy is like this container, measured"),
        Flag("link", "", "uint", "The machine's bandwidth in Mbit/s, where its link does not tell"),
        Flag("memory", "m", "bytes", "Memory limit of a copy"),
        Flag("most", "", "uint", "--verify: no more copies than this", 100),
        Flag("network", "", "string", "The network of the copies", "bridge"),
        Flag("pids-limit", "", "uint", "Processes of a copy"),
        Flag("plot", "", "string", "Write a picture (SVG) to this file"),
        Flag("settle", "", "duration", "--verify: how long a copy has to show what it takes", 200 * 10**6),
        Flag("verify", "", "bool", "Start copies until the first limit and compare; all are removed"),
        Flag("window", "", "duration", "How long to measure", 3 * _NS),
    ),
    most=None,
    interspersed=False,
)
