"""`nakagin explain`: a container, an image, a network or a start, from what the engine finds in the kernel."""

from __future__ import annotations

from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag, UsageError, parse
from nakagin.errors import Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from nakagin.client.session import Document


def explain(call: Call) -> int:
    """Explain what the word names: "run" with its flags, a container, an image or a network; nothing: this host."""
    rest, words = parse(FLAGS, call.arguments, interspersed=call.arguments[:1] != ["run"])
    form = rest.text("format") if rest.given("format") else call.options.text("format")
    if form not in {"text", "json"}:
        raise Invalid(f'invalid format "{form}"', hint="text or json")
    picture = rest.text("picture") or call.options.text("picture")
    if not words:
        return _host(call, form, picture)
    if words[0] == "run":
        _no_picture(picture, "a start")
        return _run(call, words[1:], form)
    if len(words) > 1:
        raise UsageError("nakagin: 'nakagin explain' requires at most 1 argument")
    kind = rest.text("type") or call.options.text("type")
    return _object(call, words[0], kind, form, picture, rules=rest.on("rules") or call.options.on("rules"))


def _object(call: Call, name: str, kind: str, form: str, picture: str, *, rules: bool) -> int:
    """The first kind that has an object of this name."""
    explainers: dict[str, Callable[[], int]] = {
        "container": lambda: _container(call, name, form, picture),
        "image": lambda: _image(call, name, form, picture),
        "network": lambda: _network(call, name, form, picture, rules=rules),
    }
    if kind and kind not in explainers:
        raise Invalid(f'unknown type "{kind}"', hint=f"one of: {', '.join(explainers)}")
    for each in [kind] if kind else list(explainers):
        try:
            return explainers[each]()
        except NotFound:
            if kind:
                raise
    from nakagin.cli.completion import similar

    hint = similar(call.client, name) or "nakagin ps -a, images and network ls list them"
    raise NotFound(f"No such container, image or network: {name}", hint=hint)


def _container(call: Call, name: str, form: str, picture: str) -> int:
    from nakagin.cli.explaining import container as explaining

    found = call.client.containers.get(name)
    facts = found.explain()
    facts["Ports"] = [
        way
        for network in facts.get("Networks") or ()
        for way in explaining.ports(call.client.networks.explain(network), facts["Id"])
    ]
    if picture:
        from nakagin.cli.explaining.tower import capsule_of, svg
        from nakagin.drawing import write

        title = f"Container {facts['Name']}"
        write(picture, title, svg(title, [capsule_of(found.inspect(), facts)]))
    if form == "json":
        _json(facts)
    else:
        say("\n".join(explaining.text(facts)))
    return 0


def _no_picture(picture: str, of: str) -> None:
    if picture:
        raise Invalid(f"there is no picture of {of}", hint="of the host, a container or an image there is")


def _image(call: Call, name: str, form: str, picture: str) -> int:
    from nakagin.cli.explaining import image as explaining

    facts = call.client.images.explain(name)
    if picture:
        from nakagin.drawing import write

        write(picture, f"Image {facts['Name']}", explaining.picture(facts))
    if form == "json":
        _json(facts)
    else:
        say("\n".join(explaining.text(facts)))
    return 0


def _network(call: Call, name: str, form: str, picture: str, *, rules: bool) -> int:
    _no_picture(picture, "a network")
    if form != "json":
        return draw(call, name, rules=rules)
    facts = call.client.networks.explain(name)
    _json(facts)
    return 1 if facts["Problems"] else 0


def _run(call: Call, words: list[str], form: str) -> int:
    """The plan of `run` with these words."""
    from nakagin.cli.explaining.plan import reasoned, text
    from nakagin.cli.verbs.create import request_body
    from nakagin.cli.verbs.run import RUN

    options, arguments = RUN.parse("explain run", words)
    wanted = Call("run", options, arguments, lambda: call.client)
    plan = reasoned(call.client.containers.rehearse(request_body(wanted), name=options.text("name")))
    if form == "json":
        _json(plan)
    else:
        say("\n".join(text(plan)))
    return 0


def _host(call: Call, form: str, picture: str) -> int:
    """All running containers on what they share."""
    from nakagin.cli.explaining import tower

    capsules = []
    for each in call.client.containers.list():
        found = call.client.containers.get(each["Id"])
        capsules.append(tower.capsule_of(found.inspect(), found.explain()))
    if picture:
        from nakagin.drawing import write

        title = f"Host {call.client.info()['Name']}"
        write(picture, title, tower.svg(title, capsules))
    if form == "json":
        _json({"Containers": [each._asdict() for each in capsules]})
    else:
        say("\n".join(tower.text(call.client.info(), capsules)))
    return 0


def _json(document: Document) -> None:
    import json

    say(json.dumps(document, indent=4))


def draw(call: Call, name: str, *, rules: bool) -> int:
    """Draw one network; the exit code."""
    facts = call.client.networks.explain(name)
    say("\n".join(drawing(facts, rules=rules)))
    return 1 if facts["Problems"] else 0


def drawing(facts: Document, *, rules: bool = False) -> Iterator[str]:
    """The lines of the text form; with `rules` those of the firewall too. Pure."""
    kind = ", ".join(filter(None, (facts["Driver"], facts["Mode"], "internal" if facts["Internal"] else "")))
    yield f"network {facts['Network']} ({kind})"
    for each in facts["Subnets"]:
        yield f"  {each['Subnet']}{', gateway ' + each['Gateway'] if each['Gateway'] else ''}"
    yield ""
    yield from _trunk(facts)
    yield from _section(
        "Published ports", (_port(one, each) for each in facts["Containers"] for one in each["Ports"])
    )
    yield from _section("Ways", map(_way, facts["Ways"]))
    yield from _section("Open now", ([each] for each in facts["Open"]))
    if rules:
        yield from _rules(facts)
    if not facts["Problems"]:
        yield "The kernel is as recorded."
    for each in facts["Problems"]:
        yield f"PROBLEM: {each}"


def _trunk(facts: Document) -> Iterator[str]:
    """Containers on the left, their interfaces' other ends on a line that leads down to this host."""
    link = facts["Interface"]
    if link is None and not facts["Containers"]:
        return
    ends = [each["HostInterface"] for each in facts["Containers"]]
    width = max(map(len, ends), default=0)
    rows = _aligned([_member(each) for each in facts["Containers"]])
    for number, (row, end) in enumerate(zip(rows, ends, strict=True)):
        wire = f" {end} ".center(width + 2, "─") if end else "─" * (width + 2)
        yield f"  {row} ──{wire}──{'┤' if number else '┐'}"
    if rows:
        yield f"  ┌{'─' * (len(rows[0]) + width + 6)}┘"
    else:
        yield "  (no running container)"
        yield "  │"
    if link is None:
        yield "  no interface on this host"
    else:
        state = "up" if link["Up"] else "DOWN"
        kind = link["Kind"] if facts["Driver"] == "bridge" else "parent"
        addresses = "  ".join(link["Addresses"]) or "no address"
        yield f"  {kind} {link['Name']}   {state}   mtu {link['Mtu']}   {addresses}"
    yield "  │"
    if facts["Driver"] == "bridge":
        if facts["Table"]:
            yield f"  firewall table {facts['Table']}"
            yield "  │"
        forwards = [
            family
            for family, switch in (("IPv4", "net.ipv4.ip_forward"), ("IPv6", "net.ipv6.conf.all.forwarding"))
            if facts["Switches"].get(switch) == "1"
        ]
        yield f"  this host: forwards {' and '.join(forwards) or 'nothing'}"
    else:
        yield "  the network of the parent"
    yield ""


def _member(member: Document) -> list[str]:
    route = f"default route of {' and '.join(member['DefaultRoute'])}" if member["DefaultRoute"] else ""
    return [member["Name"], member["Interface"], "  ".join(member["Addresses"]), route]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines of one length, two spaces between their columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width) for row in rows
    ]


def _section(title: str, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    lines = _aligned(list(rows))
    if lines:
        yield title
        yield from (f"  {line}".rstrip() for line in lines)
        yield ""


def _port(port: Document, member: Document) -> list[str]:
    from nakagin.cli.explaining.container import ends

    outside, within = ends(port)
    state = ("" if port["Map"] else "by the proxy") if port["InKernel"] else "MISSING in the kernel"
    return [outside, "─>", member["Name"], within, state]


def _way(way: Document) -> list[str]:
    count = way["Dropped"]
    dropped = f"({count} packet{'' if count == 1 else 's'} dropped)" if count else ""
    return [way["From"], "─>", way["To"], way["Verdict"], dropped]


def _rules(facts: Document) -> Iterator[str]:
    if facts["Chains"]:
        yield f"Rules of table {facts['Table']}"
    for chain in facts["Chains"]:
        yield f"  chain {chain['Name']}"
        yield from (f"    {line}" for line in chain["Lines"])
    yield "Switches"
    for name, value in facts["Switches"].items():
        yield f"  {name} = {value}"
    yield ""


FLAGS = (
    Flag("format", "", "string", "Output as text (a drawing) or json", "text"),
    Flag("picture", "", "string", "Write a picture (SVG, or HTML by its ending) to this file"),
    Flag("rules", "", "bool", "For a network: show the rules of the firewall too"),
    Flag("type", "", "string", "What the name means: container, image or network"),
)
EXPLAIN = Command(
    explain,
    "[OPTIONS] [CONTAINER | IMAGE | NETWORK]\n\tnakagin explain [OPTIONS] run [RUN OPTIONS] IMAGE [COMMAND] [ARG...]",
    FLAGS,
    most=None,
    interspersed=False,
)
