"""One invocation of a Compose verb: its flags, those before it, the project they mean, and the engine."""

from __future__ import annotations

import _thread
import os
import sys
from collections.abc import Callable, Sequence

from nakagin.cli.command import Call, Command, complain
from nakagin.cli.flags import Flag
from nakagin.compose.elsewhere import is_elsewhere
from nakagin.compose.environment import Sources, gather, is_on, project_name
from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from nakagin.cli.flags import Options
    from nakagin.client import Client
    from nakagin.compose.model import Project
    from nakagin.compose.reading import Stages

FLAGS = (
    Flag("all-resources", "", "bool", "Include all resources, even those not used by services"),
    Flag("ansi", "", "string", 'When to print ANSI control characters ("never", "always", "auto")', "auto"),
    Flag("compatibility", "", "bool", "Run compose in backward compatibility mode"),
    Flag("dry-run", "", "bool", "Show what would be done, and do nothing"),
    Flag("env-file", "", "list", "Specify an alternate environment file"),
    Flag("file", "f", "list", "Compose configuration files"),
    Flag("insecure-registry", "", "list", "Registries to speak to without TLS", hidden=True),
    Flag("no-ansi", "", "bool", "Do not print ANSI control characters", hidden=True),
    Flag("parallel", "", "int", "Control max parallelism, -1 for unlimited", -1),
    Flag("profile", "", "list", "Specify a profile to enable"),
    Flag("progress", "", "string", "Set type of progress output (auto, tty, plain, json, quiet)", "auto"),
    Flag("project-directory", "", "string", "Specify an alternate working directory"),
    Flag("project-name", "p", "string", "Project name"),
    Flag("verbose", "", "bool", "Show more output", hidden=True),
    Flag("version", "v", "bool", "Show the Docker Compose version information", hidden=True),
    Flag("workdir", "", "string", "Specify an alternate working directory", hidden=True),
)


class Compose:
    """`options` and `arguments` are the verb's, `settings` what stood before it."""

    def __init__(self, call: Call, settings: Options, options: Options, arguments: list[str]) -> None:
        self._call = call
        self.settings = settings
        self.options = options
        self.arguments = arguments
        self._named: tuple[str, Project | None] | None = None
        self._lock = _thread.allocate_lock()

    @property
    def client(self) -> Client:
        """The engine."""
        return self._call.client

    def connect(self) -> Client:
        """The engine once more, for another thread."""
        from nakagin.client import Client

        with self._lock:
            session = self.client.session
            # It need not ask the engine for its version again.
            return Client(session.endpoint, timeout=session.timeout, version=session.version)

    def apart(self) -> Compose:
        """The same for another thread, over a connection of its own."""
        call = self._call
        alone = Call(call.name, call.options, call.arguments, self.connect, call.settings)
        return Compose(alone, self.settings, self.options, self.arguments)

    def run(self, verb: Verb, words: list[str]) -> int:
        """Another verb on the same project; its exit code."""
        options, arguments = verb.table.parse("compose", words)
        return verb.function(Compose(self._call, self.settings, options, arguments))

    @property
    def dry_run(self) -> bool:
        """Nothing shall be done."""
        return self.settings.on("dry-run")

    @property
    def at_once(self) -> int | None:
        """How many operations may run at a time; None where nobody says."""
        given = self.settings.number("parallel") if self.settings.given("parallel") else -1
        if given < 0:
            text = os.environ.get("COMPOSE_PARALLEL_LIMIT", "")
            given = int(text) if text.lstrip("-").isdecimal() else -1
        return max(given, 1) if given >= 0 else None

    def sources(self, *, need_files: bool = True) -> Sources:
        """The files and variables that the flags mean."""
        settings = self.settings
        files: list[str] = []
        for each in settings.many("file"):
            files += self.fetch(each) if is_elsewhere(each) else [each]
        found = gather(
            files=files,
            folder=settings.text("project-directory") or settings.text("workdir"),
            name=settings.text("project-name"),
            profiles=settings.many("profile"),
            env_files=settings.many("env-file"),
            need_files=need_files,
        )
        found.fetch = self.fetch
        return found

    def fetch(self, name: str) -> list[str]:
        """The paths of Compose files that stand in a registry (oci://) or a git repository."""
        if name.startswith("oci://"):
            from nakagin.cli.composing.remote import fetch

            return fetch(name.removeprefix("oci://"), self.settings.many("insecure-registry"))
        from nakagin.cli.composing.gitfiles import fetch as fetch_git

        return fetch_git(name)

    def project(
        self,
        services: Sequence[str] = (),
        *,
        stages: Stages | None = None,
        dependencies: bool = True,
        all: bool = False,
    ) -> Project:
        """The project, of these services and what they depend on; warnings are told. Raises Invalid, NotFound."""
        # The loader costs its imports; what only asks for names goes without.
        from nakagin.compose.loader import load
        from nakagin.compose.reading import Stages
        from nakagin.compose.select import for_services, without_unused

        sources = self.sources()
        loaded = load(sources, stages or Stages())
        for warning in loaded.warnings:
            complain(f"{self._mark('WARN', 33)}[0000] {warning} ")
        project = for_services(loaded.project, services, dependencies=dependencies)
        return project if all or self.settings.on("all-resources") else without_unused(project)

    def project_to_run(self, services: Sequence[str], *, dependencies: bool) -> Project:
        """The same with what its services are given besides: the engine's socket, where they ask for it."""
        from nakagin.compose.apisocket import wants_socket, with_socket

        project = self.project(services, dependencies=dependencies)
        if not wants_socket(project):
            return project
        from nakagin.cli.composing.credentials import as_config

        return with_socket(project, self.client.session.endpoint.path, as_config())

    def name(self) -> str:
        """The project's name alone, without a look at its services. Raises Invalid, NotFound."""
        sources = self.sources(need_files=not self.settings.text("project-name"))
        if sources.name:
            return sources.name
        if any(_may_say_name(path) for path in sources.files):
            return self.project(all=True).name
        if not (found := project_name(os.path.basename(sources.folder))):
            raise Invalid("project name must not be empty", hint="give one with -p")
        return found

    def named(self) -> tuple[str, Project | None]:
        """(name, project), loaded once. A name without a file means what there is of that name, wherever we are."""
        if self._named is None:
            name = self.settings.text("project-name")
            if name and not self.settings.many("file"):
                self._named = self.name(), None
            else:
                project = self.project(all=True)
                self._named = project.name, project
        return self._named

    @property
    def colours(self) -> bool:
        """ANSI control characters may be written to standard error."""
        return self._colours(sys.stderr)

    @property
    def output_colours(self) -> bool:
        """The same for standard output."""
        return self._colours(sys.stdout)

    def _colours(self, stream: TextIO) -> bool:
        mode = "never" if self.settings.on("no-ansi") else self.settings.text("ansi")
        if mode == "auto" and not self.settings.given("ansi"):
            mode = os.environ.get("COMPOSE_ANSI", "auto")
        if mode not in ("never", "always", "auto"):
            raise Invalid(f'invalid value {mode!r} for --ansi: write "never", "always" or "auto"')
        return mode == "always" or (mode == "auto" and stream.isatty() and os.environ.get("TERM") != "dumb")

    @property
    def progress(self) -> str:
        """How progress is shown: auto, tty, plain, json or quiet; COMPOSE_PROGRESS where no flag says so."""
        return self._progress()

    def _progress(self) -> str:
        mode = self.settings.text("progress")
        if not self.settings.given("progress"):
            mode = os.environ.get("COMPOSE_PROGRESS") or mode
        if mode not in ("auto", "tty", "plain", "json", "quiet"):
            raise Invalid(f"unsupported --progress value {mode!r}: write auto, tty, plain, json or quiet")
        return mode

    def check(self) -> None:
        """Raise Invalid for a way of showing things that there is not, though this verb may show nothing."""
        self._colours(sys.stderr)
        self._progress()

    def _mark(self, word: str, colour: int) -> str:
        return f"\x1b[{colour}m{word}\x1b[0m" if self.colours else word

    def ignores_orphans(self) -> bool:
        """COMPOSE_IGNORE_ORPHANS."""
        return is_on(os.environ.get("COMPOSE_IGNORE_ORPHANS"))

    def removes_orphans(self) -> bool:
        """--remove-orphans, or COMPOSE_REMOVE_ORPHANS."""
        return self.options.on("remove-orphans") or is_on(os.environ.get("COMPOSE_REMOVE_ORPHANS"))


def _may_say_name(path: str) -> bool:
    if path == "-":
        return True
    with open(path, "rb") as file:
        text = file.read()
    return b"name" in text and any(line.lstrip(b"\"'{ ").startswith(b"name") for line in text.splitlines())


class Verb:
    """A Compose verb: a function that gets a `Compose`, and the table of its flags."""

    __slots__ = ("function", "table")

    def __init__(
        self,
        function: Callable[[Compose], int],
        usage: str,
        flags: Sequence[Flag] = (),
        *,
        least: int = 0,
        most: int | None = None,
        interspersed: bool = True,
    ) -> None:
        dry_run = Flag("dry-run", "", "bool", "Show what would be done, and do nothing")
        self.function = function
        self.table = Command(
            _unreached, usage, (*flags, dry_run), least=least, most=most, interspersed=interspersed
        )


def _unreached(call: Call) -> int:
    raise NotImplementedError(call.name)
