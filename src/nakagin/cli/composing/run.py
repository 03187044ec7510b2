"""`nakagin compose run`: one container more of a service, for one command."""

from __future__ import annotations

import os
import secrets
import shlex

from msgspec.structs import replace

from nakagin.cli import terminal
from nakagin.cli.command import complain, say
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.composing.report import show_plan
from nakagin.cli.composing.up import carry_out, supply_of
from nakagin.cli.conversation import attach_and_start
from nakagin.cli.door import explain, start_exit_code
from nakagin.cli.flags import Flag, UsageError
from nakagin.compose.decode import decode
from nakagin.compose.envfile import read
from nakagin.compose.model import Project
from nakagin.compose.observe import observe
from nakagin.compose.oneoff import Changes, changed, plan_run
from nakagin.compose.parts import Mount, Port
from nakagin.compose.paths import absolute
from nakagin.compose.plan import OneOff
from nakagin.compose.reconcile import Wish
from nakagin.compose.short import mount, ports
from nakagin.compose.supply import plan_images
from nakagin.compose.tree import Mapping
from nakagin.errors import Invalid, NakaginError


def run(compose: Compose) -> int:
    """Bring up what the service depends on, make its container, and be its terminal; its exit code."""
    options = compose.options
    name, *command = compose.arguments
    if options.on("service-ports") and options.many("publish"):
        raise UsageError("--service-ports and --publish are incompatible")
    if options.given("tty") and options.given("no-tty"):
        raise UsageError("--tty and --no-TTY can't be used together")
    project = compose.project_to_run([name], dependencies=not options.on("no-deps"))
    settings = OneOff(
        slug=secrets.token_hex(32),
        auto_remove=options.on("rm"),
        stdin=options.on("interactive"),
        aliases=options.on("use-aliases"),
    )
    changes = _changes(compose, project, name, command, settings.slug)
    service = changed(project.services[name], changes)
    project = replace(project, services={**project.services, name: service})
    identity = _make(compose, project, name, settings)
    if not identity:
        return 0
    container = compose.client.containers.refer(identity)
    if options.on("detach"):
        container.start()
        say(identity)
        return 0
    try:
        return attach_and_start(
            container, stdin=changes.stdin, stdout=True, stderr=True, tty=changes.tty, detach_keys="",
            sig_proxy=True, auto_remove=settings.auto_remove,
        )  # fmt: skip
    except NakaginError as error:
        complain(explain(error))
        return start_exit_code(error)


def _make(compose: Compose, project: Project, name: str, settings: OneOff) -> str:
    """Do all that comes before the start; the container's id, "" where --dry-run forbids it."""
    supply = supply_of(compose)
    wish = Wish(remove_orphans=compose.removes_orphans(), ignore_orphans=compose.ignores_orphans())
    state = observe(compose.client, project)
    supplied = plan_images(project, state, supply)
    if compose.dry_run or compose.options.on("dry-run"):
        shown = [str(supplied), "then"] if supplied.operations else []
        say("\n".join([*shown, show_plan(plan_run(project, state, name, settings, wish)).rstrip("\n")]))
        return ""
    execution = carry_out(
        compose, project, state, supplied, lambda found: plan_run(found, state, name, settings, wish),
        "quiet" if compose.options.on("quiet") else "",
    )  # fmt: skip
    return execution.ids[(name, 0)]


def _changes(compose: Compose, project: Project, name: str, command: list[str], slug: str) -> Changes:
    options = compose.options
    tty = options.on("tty") if options.given("tty") else not options.on("no-tty")
    if not (options.given("tty") or options.given("no-tty")):
        tty = terminal.is_terminal(0) and terminal.is_terminal(1)
    ports_wanted = None if options.on("service-ports") else _ports(options.many("publish"))
    return Changes(
        name=options.text("name") or f"{project.name}-{name}-run-{slug[:12]}",
        tty=tty,
        stdin=options.on("interactive"),
        command=command or None,
        entrypoint=_words(options.text("entrypoint")) if options.given("entrypoint") else None,
        environment=_environment(compose, project),
        labels=dict(each.partition("=")[::2] for each in options.many("label")),
        cap_add=options.many("cap-add"),
        cap_drop=options.many("cap-drop"),
        user=options.text("user"),
        working_dir=options.text("workdir"),
        ports=ports_wanted,
        volumes=[_mount(each) for each in options.many("volume")],
    )


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise Invalid(f"--entrypoint: {error}: {text}", hint="close the quotes") from None


def _ports(texts: list[str]) -> list[Port]:
    return [decode(each, each, Port, ()) for text in texts for each in ports(text)]


def _mount(text: str) -> Mount:
    found = mount(text)
    if found["type"] == "bind":
        found["source"] = absolute(str(found["source"]), os.getcwd())
    return decode(Mapping(), found, Mount, ())


def _environment(compose: Compose, project: Project) -> dict[str, str]:
    """-e first, then what the files say; a name alone means the value that it has here, if it has one."""
    found: dict[str, str] = {}
    for each in compose.options.many("env"):
        key, given, value = each.partition("=")
        known = value if given else project.environment.get(key)
        if known is not None:
            found[key] = known

    def lookup(key: str) -> str | None:
        return found.get(key, project.environment.get(key))

    for path in compose.options.many("env-from-file"):
        for key, value in read(path, lookup).items():
            found.setdefault(key, value)
    return found


RUN = Verb(
    run,
    "[OPTIONS] SERVICE [COMMAND] [ARGS...]",
    (
        Flag("build", "", "bool", "Build image before starting container"),
        Flag("cap-add", "", "list", "Add Linux capabilities"),
        Flag("cap-drop", "", "list", "Drop Linux capabilities"),
        Flag("detach", "d", "bool", "Run container in background and print container ID"),
        Flag("entrypoint", "", "string", "Override the entrypoint of the image"),
        Flag("env", "e", "list", "Set environment variables"),
        Flag("env-from-file", "", "list", "Set environment variables from file"),
        Flag("interactive", "i", "bool", "Keep STDIN open even if not attached", True),
        Flag("label", "l", "list", "Add or override a label"),
        Flag("name", "", "string", "Assign a name to the container"),
        Flag("no-deps", "", "bool", "Don't start linked services"),
        Flag("no-tty", "T", "bool", "Disable pseudo-TTY allocation (default: auto-detected)"),
        Flag("no-TTY", "", "bool", "Disable pseudo-TTY allocation", same_as="no-tty"),
        Flag("publish", "p", "list", "Publish a container's port(s) to the host"),
        Flag("pull", "", "string", 'Pull image before running ("always", "missing", "never")', "policy"),
        Flag("quiet", "q", "bool", "Don't print anything but what the command prints"),
        Flag("quiet-build", "", "bool", "Suppress progress output from the build process"),
        Flag("quiet-pull", "", "bool", "Pull without printing progress information"),
        Flag("remove-orphans", "", "bool", "Remove containers for services not defined in the Compose file"),
        Flag("rm", "", "bool", "Automatically remove the container when it exits"),
        Flag(
            "service-ports",
            "P",
            "bool",
            "Run command with all service's ports enabled and mapped to the host",
        ),
        Flag("tty", "t", "bool", "Allocate a pseudo-TTY", hidden=True),
        Flag("use-aliases", "", "bool", "Use the service's network aliases in the networks it connects to"),
        Flag("user", "u", "string", "Run as specified username or uid"),
        Flag("volume", "v", "list", "Bind mount a volume"),
        Flag("workdir", "w", "string", "Working directory inside the container"),
    ),
    least=1,
    interspersed=False,
)
