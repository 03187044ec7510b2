"""`up` in the foreground: the output of the services as long as they live, and what ends it.

The engine's events say when a container starts and dies; each start begins one follower of its log. Ctrl-C asks the
containers to end, a second one kills them.
"""

from __future__ import annotations

import sys
import threading
import time

from msgspec import Struct

from nakagin.cli.command import complain, say
from nakagin.cli.composing.context import Compose
from nakagin.cli.composing.logs import Printer, short_name, shortened
from nakagin.cli.times import engine_time
from nakagin.compose import labels
from nakagin.compose.model import Project
from nakagin.compose.observe import Observed, observed
from nakagin.compose.own import job
from nakagin.errors import NakaginError, NotFound


class Attachment(Struct, frozen=True):
    """`services` are shown. `ends_on`: "" nothing but the end of all, "exit" or "failure" of any container.

    With `stays` not even that: others start containers anew.
    """

    services: list[str]
    ends_on: str = ""
    code_from: str = ""
    prefix: bool = True
    colours: bool = True
    timestamps: bool = False
    stays: bool = False


class _Fate(Struct):
    """What is known of the project's containers."""

    alive: set[str] = set()
    #: whose start the engine has told of
    begun: set[str] = set()
    #: (name, service, exit code) of those that ended, in that order
    ended: list[tuple[str, str, int]] = []


class Attached:
    """Follows the containers of a project from `begin` on."""

    def __init__(self, compose: Compose, project: Project, wish: Attachment) -> None:
        self._compose, self._project, self._wish = compose, project, wish
        self._fate = _Fate()
        self._changed = threading.Condition()
        self._over = False
        self._left = False
        self._jobs = {name for name in project.services if job(project, name)}
        self._followers: list[threading.Thread] = []
        self._began = ""
        #: id → when it last died
        self._since: dict[str, str] = {}
        self._printer: Printer | None = None

    def begin(self, containers: list[Observed]) -> None:
        """Listen, and follow what runs already (from now on)."""
        shown = [each for each in containers if each.service in self._wish.services]
        names = [short_name(each, self._project.name) for each in shown]
        self._printer = Printer(names, colours=self._wish.colours, prefix=self._wish.prefix)
        if names:
            say(f"Attaching to {', '.join(names)}")
            sys.stdout.flush()
        self._client = self._compose.connect()
        self._stream = self._client.events_stream(
            filters={"type": ["container"], "label": [f"{labels.PROJECT}={self._project.name}"]}
        )
        # by the engine's clock, which may be another machine's
        told = str(self._client.info().get("SystemTime", ""))
        self._began = str(engine_time(told, "since") or f"{time.time():.9f}")
        for each in containers:
            if each.is_running:
                self._fate.alive.add(each.id)
                self._follow(each.id, each.service, short_name(each, self._project.name), tail="0")
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._printer.run, daemon=True).start()

    def _listen(self) -> None:
        try:
            for event in self._stream.documents():
                self._hear(event)
        except (NakaginError, OSError, ValueError):
            pass  # the engine went away, or `end` closed the stream
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _hear(self, event: dict[str, object]) -> None:
        actor = event.get("Actor")
        attributes = actor.get("Attributes", {}) if isinstance(actor, dict) else {}
        if attributes.get(labels.ONEOFF) == "True":
            return
        id = str(actor.get("ID", "")) if isinstance(actor, dict) else ""
        service = str(attributes.get(labels.SERVICE, ""))
        number = str(attributes.get(labels.NUMBER, ""))
        name = shortened(str(attributes.get("name", "")), service, number, self._project.name)
        with self._changed:
            if event.get("Action") == "start":
                self._fate.alive.add(id)
                self._fate.begun.add(id)
                self._follow(id, service, name)
            elif event.get("Action") == "die" and id in self._fate.alive:
                self._fate.alive.discard(id)
                nanoseconds = event.get("timeNano")
                if isinstance(nanoseconds, int):
                    self._since[id] = f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09}"
                self._fate.ended.append((name, service, int(str(attributes.get("exitCode", 0)))))
            self._changed.notify_all()

    def _follow(self, id: str, service: str, name: str, tail: str = "all") -> None:
        if service not in self._wish.services:
            return
        # What it wrote before this life of its was shown already, or before we came.
        since = self._since.get(id, self._began)
        thread = threading.Thread(target=self._copy, args=(id, name, since, tail), daemon=True)
        self._followers.append(thread)
        thread.start()

    def _copy(self, id: str, name: str, since: str, tail: str) -> None:
        assert self._printer is not None
        client = self._compose.connect()
        try:
            pieces = client.containers.refer(id).logs(
                follow=True, since=since, tail=tail, timestamps=self._wish.timestamps
            )
            self._printer.take(name, (data for _, data in pieces))
            if not self._is_over():
                code = client.containers.refer(id).inspect()["State"]["ExitCode"]
                self._printer.say(f"{name} exited with code {code}")
        except NotFound:
            self._printer.say(f"{name} was removed")
        except NakaginError as error:
            complain(str(error))
        finally:
            client.close()

    def _is_over(self) -> bool:
        with self._changed:
            return self._over

    def wait(self, started: set[str]) -> int:
        """Until it ends by itself; the exit code. KeyboardInterrupt passes through.

        `started` are the ids of what was started: nobody is gone before it was told that they came.
        """
        with self._changed:
            while not self._over and not started <= self._fate.begun:
                self._changed.wait(1.0)
            while not self._over:
                decided = self._decided()
                if decided is not None:
                    return decided
                self._changed.wait(1.0)  # a signal is only seen between waits
        return 0

    def leave(self) -> None:
        """Let `wait` return, and the containers run."""
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def _decided(self) -> int | None:
        wish, fate = self._wish, self._fate
        if self._left:
            return 0
        for _, service, code in fate.ended:
            if wish.code_from and service == wish.code_from:
                return code
            if wish.ends_on == "exit" and not wish.code_from and (code or service not in self._jobs):
                return code
            if wish.ends_on == "failure" and code:
                return code
        if not fate.alive and not wish.stays:
            if wish.code_from:
                return next((code for _, service, code in fate.ended if service == wish.code_from), 0)
            return 0
        return None

    def end(self) -> None:
        """Show what is still to be shown, and let go."""
        for thread in self._followers:
            thread.join(2)
        with self._changed:
            self._over = True
        if self._printer is not None:
            self._printer.finish()
        self._client.close()


def containers_of(compose: Compose, project: Project) -> list[Observed]:
    """The project's containers, by name."""
    every = compose.client.containers.list(all=True, filters={"label": [f"{labels.PROJECT}={project.name}"]})
    found = [each for each in map(observed, every) if not each.oneoff and each.service in project.services]
    return sorted(found, key=lambda each: each.name)
