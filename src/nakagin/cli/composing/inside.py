"""`nakagin compose exec`, `top`, `port` and `images`: a look at the containers of services."""

from __future__ import annotations

import datetime as dt

from nakagin.cli import terminal
from nakagin.cli.command import Call, say
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.composing.service import INDEX, containers, one_container, only_said
from nakagin.cli.flags import Flag, Options
from nakagin.cli.listing import columns
from nakagin.cli.quantities import human_duration, human_size
from nakagin.cli.verbs import exec as executing
from nakagin.errors import Invalid, NotFound
from nakagin.spec.reference import shown_name


def execute(compose: Compose) -> int:
    """A command in a running container of a service, on a terminal where there is one; its exit code."""
    service, *command = compose.arguments
    container = one_container(compose, service)
    if only_said(compose, f"exec in {container.name}"):
        return 0
    given = compose.options
    tty = terminal.is_terminal(0) and terminal.is_terminal(1) and not given.on("no-tty")
    options = Options({flag.name: flag for flag in executing.FLAGS})
    table = {flag.name: flag for flag in executing.FLAGS}
    for name in ("detach", "privileged"):
        options.take(table[name], "true" if given.on(name) else "false")
    options.take(table["interactive"], "false" if given.on("detach") else "true")
    options.take(table["tty"], "true" if tty else "false")
    for name in ("user", "workdir"):
        options.take(table[name], given.text(name))
    for each in given.many("env"):
        options.take(table["env"], each)
    return executing.run(Call("exec", options, [container.id, *command], compose.connect))


def top(compose: Compose) -> int:
    """The processes of all containers, in one table."""
    _, found = containers(compose, compose.arguments)
    titles: dict[str, None] = {}
    shown = [(each, compose.client.containers.refer(each.id).top()) for each in found]
    for _, document in shown:
        titles |= dict.fromkeys(document["Titles"])
    rows = [
        [each.service, str(each.number), *(row.get(title, "-") for title in titles)]
        for each, document in shown
        for process in document["Processes"] or ()
        for row in [dict(zip(document["Titles"], process, strict=False))]
    ]
    if rows:
        say(columns([["SERVICE", "#", *titles], *rows]).rstrip("\n"))
    return 0


def port(compose: Compose) -> int:
    """Where a private port of a service is published."""
    service, private = compose.arguments
    if not private.isdecimal():
        raise Invalid(f"invalid port {private!r}", hint="a number, as in `compose port web 80`")
    container = one_container(compose, service)
    key = f"{private}/{compose.options.text('protocol')}"
    bound = compose.client.containers.get(container.id).ports.get(key) or []
    if not bound:
        raise NotFound(f"no port {key} for container {container.name}", hint="publish it with `ports:`")
    say(f"{bound[0]['HostIp']}:{bound[0]['HostPort']}")
    return 0


def images(compose: Compose) -> int:
    """The images that the containers were made from."""
    form = compose.options.text("format")
    if form not in {"table", "json"}:
        raise Invalid(f'invalid format "{form}"', hint="table or json")
    rows = []
    for each in containers(compose, compose.arguments, all=True)[1]:
        document = compose.client.images.get(each.summary["ImageID"])
        name = shown_name(each.summary["Image"], document.get("RepoTags") or ()) or "<none>:<none>"
        repository, _, tag = name.rpartition(":")
        rows.append(
            {
                "ID": document["Id"],
                "ContainerName": each.name,
                "Repository": repository,
                "Tag": tag,
                "Platform": f"{document.get('Os', '')}/{document.get('Architecture', '')}",
                "Size": document["Size"],
                "Created": document.get("Created"),
                "LastTagTime": (document.get("Metadata") or {}).get("LastTagTime"),
            }
        )
    if compose.options.on("quiet"):
        for identity in dict.fromkeys(row["ID"].removeprefix("sha256:") for row in rows):
            say(identity)
    elif form == "json":
        from nakagin.spec.document import render

        say(render([{key: value for key, value in row.items() if value} for row in rows]))
    else:
        head = ["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"]
        lines = [
            [
                row["ContainerName"], row["Repository"], row["Tag"], row["Platform"], row["ID"][7:19],
                human_size(row["Size"]), _age(row["LastTagTime"] or row["Created"]),
            ]
            for row in rows
        ]  # fmt: skip
        say(columns([head, *lines]).rstrip("\n"))
    return 0


def _age(stamp: str | None) -> str:
    """ "3 days ago"; of an engine that does not say, "N/A"."""
    if not stamp or stamp.startswith("0001"):
        return "N/A"
    return f"{human_duration(dt.datetime.now(dt.UTC).timestamp() - dt.datetime.fromisoformat(stamp).timestamp())} ago"


EXEC = Verb(
    execute,
    "[OPTIONS] SERVICE COMMAND [ARGS...]",
    (
        Flag("detach", "d", "bool", "Detached mode: Run command in the background"),
        Flag("env", "e", "list", "Set environment variables"),
        INDEX,
        Flag("interactive", "i", "bool", "Keep STDIN open even if not attached", True, hidden=True),
        Flag("no-tty", "T", "bool", "Disable pseudo-TTY allocation"),
        Flag("privileged", "", "bool", "Give extended privileges to the process"),
        Flag("tty", "t", "bool", "Allocate a pseudo-TTY", True, hidden=True),
        Flag("user", "u", "string", "Run the command as this user"),
        Flag("workdir", "w", "string", "Path to workdir directory for this command"),
    ),
    least=2,
    interspersed=False,
)
TOP = Verb(top, "[SERVICES...]")
PORT = Verb(
    port,
    "[OPTIONS] SERVICE PRIVATE_PORT",
    (INDEX, Flag("protocol", "", "string", "tcp or udp", "tcp")),
    least=2,
    most=2,
)
IMAGES = Verb(
    images,
    "[OPTIONS] [SERVICE...]",
    (
        Flag("format", "", "string", "Format the output. Values: [table | json]", "table"),
        Flag("quiet", "q", "bool", "Only display IDs"),
    ),
)
