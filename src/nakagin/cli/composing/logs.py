"""`nakagin compose logs`: what all containers write, each line with its container's name, live and in colours."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable

from nakagin.cli.command import complain
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.door import explain
from nakagin.cli.flags import Flag
from nakagin.cli.times import engine_time
from nakagin.compose import labels
from nakagin.compose.observe import Observed, observed
from nakagin.errors import NakaginError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.client.session import Response

#: Seconds between two looks whether something that ended is started again.
_BREATH = 0.2
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


def logs(compose: Compose) -> int:
    """Show the output of the chosen services' containers."""
    options = compose.options
    name, project = compose.named() if compose.arguments else (compose.name(), None)
    known = [*project.services, *project.disabled] if project else []
    for each in compose.arguments:
        if project and each not in known:
            raise NotFound(f"no such service: {each}")
    stream = _lives(compose, name) if options.on("follow") else None
    every = compose.client.containers.list(all=True, filters={"label": [f"{labels.PROJECT}={name}"]})
    found = [each for each in map(observed, every) if not each.oneoff]
    chosen = [each for each in found if not compose.arguments or each.service in compose.arguments]
    if index := options.number("index"):
        chosen = [each for each in chosen if each.number == index]
        if not chosen:
            raise NotFound(f'service "{" ".join(compose.arguments) or name}" has no container #{index}')
    chosen.sort(key=lambda each: each.name)
    printer = Printer(
        [short_name(each, name) for each in chosen],
        colours=not options.on("no-color") and compose.output_colours,
        prefix=not options.on("no-log-prefix"),
    )
    readers = _Readers(compose, printer)
    for container in chosen:
        readers.begin(container.id, short_name(container, name))
    if stream is None:
        printer.run(readers.wait)
        return 0
    now = str(engine_time(str(compose.client.info().get("SystemTime", "")), "since") or "")
    readers.died = {container.id: now for container in chosen if not container.is_running}
    with stream:
        threading.Thread(target=readers.hear, args=(stream, name), daemon=True).start()
        printer.run(readers.wait)
    return 0


def _lives(compose: Compose, project: str) -> Response:
    """What the engine tells of containers that begin and end, from now on."""
    filters = {"type": ["container"], "event": ["start", "die"], "label": [f"{labels.PROJECT}={project}"]}
    return compose.connect().events_stream(filters=filters)


def short_name(container: Observed, project: str) -> str:
    """The container's name without the project's, and without what it is called while it takes another's place."""
    return shortened(container.name, container.service, str(container.number), project)


def shortened(name: str, service: str, number: str, project: str) -> str:
    """The same of a name, service and number."""
    if name.endswith(f"_{project}-{service}-{number}"):
        return f"{service}-{number}"
    return name.removeprefix(f"{project}-")


class _Readers:
    """A thread for each container whose log is read, and for those that are started while it is followed."""

    def __init__(self, compose: Compose, printer: Printer) -> None:
        self._compose = compose
        self._printer = printer
        self._threads: dict[str, threading.Thread] = {}
        #: id → when it was dead; what it writes in its next life comes after that
        self.died: dict[str, str] = {}

    def begin(self, id: str, name: str, since: str = "") -> None:
        """Read one, from the time that the flags say or `since`."""
        thread = threading.Thread(target=self._read, args=(id, name, since), daemon=True)
        self._threads[id] = thread
        thread.start()

    def hear(self, stream: Response, project: str) -> None:
        """Begin with each that the engine starts."""
        wanted = self._compose.arguments
        try:
            for event in stream.documents():
                id, known = event["Actor"]["ID"], event["Actor"]["Attributes"]
                if event["Action"] == "die":
                    seconds, rest = divmod(event["timeNano"], 10**9)
                    self.died[id] = f"{seconds}.{rest:09}"
                    continue
                service, number = known.get(labels.SERVICE, ""), known.get(labels.NUMBER, "")
                reading = self._threads.get(id)
                if known.get(labels.ONEOFF) == "True" or (wanted and service not in wanted):
                    continue
                if reading is not None:
                    reading.join(1)  # it may still read the last words of the life before
                name = shortened(str(known.get("name", "")), service, number, project)
                self.begin(id, name, self.died.get(id, ""))
        except (NakaginError, OSError, ValueError):
            return  # the engine went away, or nobody listens any more

    def wait(self) -> None:
        """Until all logs have been read to their ends, and none of what is followed comes back by itself."""
        while True:
            while alive := [each for each in [*self._threads.values()] if each.is_alive()]:
                alive[0].join(1)
            if not self._compose.options.on("follow") or not self._come_back():
                return
            time.sleep(_BREATH)

    def _come_back(self) -> bool:
        client = self._compose.connect()
        try:
            ids = [*self._threads]
            states = client.containers.list(all=True, filters={"id": ids}) if ids else []
            return any(observed(each).is_running for each in states)
        finally:
            client.close()

    def _read(self, id: str, name: str, since: str) -> None:
        options = self._compose.options
        client = self._compose.connect()
        try:
            pieces = client.containers.refer(id).logs(
                follow=options.on("follow"),
                since=since or engine_time(options.text("since"), "since"),
                until=engine_time(options.text("until"), "until"),
                tail="all" if since else options.text("tail"),
                timestamps=options.on("timestamps"),
            )
            self._printer.take(name, (data for _, data in pieces))
        except NakaginError as error:
            complain(explain(error))
        finally:
            client.close()


class Printer:
    """Writes lines of several sources, whole and with their names, from one thread."""

    def __init__(self, names: Iterable[str], *, colours: bool, prefix: bool) -> None:
        every = sorted(set(names))
        self._width = max((len(name) for name in every), default=0)
        self._coloured, self._prefixed = colours, prefix
        self._prefixes: dict[str, bytes] = {}
        for name in every:
            self._prefix(name)
        # Bounded: who writes more than can be shown waits.
        self._lines: queue.Queue[bytes | None] = queue.Queue(10_000)
        self._done = threading.Event()

    def _prefix(self, name: str) -> bytes:
        known = self._prefixes.get(name)
        if known is None:
            text = f"{name:<{self._width}}  | " if self._prefixed else ""
            if self._coloured and text:
                text = f"\x1b[{_COLOURS[len(self._prefixes) % len(_COLOURS)]}m{text}\x1b[0m"
            known = self._prefixes[name] = text.encode()
        return known

    def take(self, name: str, pieces: Iterable[bytes]) -> None:
        """All of one source; returns at its end."""
        prefix = self._prefix(name)
        rest = b""
        for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._lines.put(prefix + line + b"\n")
        if rest:
            self._lines.put(prefix + rest + b"\n")

    def say(self, text: str) -> None:
        """A line of our own."""
        self._lines.put(text.encode() + b"\n")

    def finish(self) -> None:
        """No more lines come: `run` ends when it has written them all."""
        self._lines.put(None)
        self._done.wait(5)

    def run(self, wait: Callable[[], None] | None = None) -> None:
        """Write until `wait` returns, which knows when all sources have ended; without it until `finish`."""

        def await_end() -> None:
            if wait is not None:
                wait()
                self._lines.put(None)

        threading.Thread(target=await_end, daemon=True).start()
        output = sys.stdout.buffer
        while (line := self._lines.get()) is not None:
            output.write(line)
            if self._lines.empty():
                output.flush()
        output.flush()
        self._done.set()


LOGS = Verb(
    logs,
    "[OPTIONS] [SERVICE...]",
    (
        Flag("follow", "f", "bool", "Follow log output"),
        Flag("index", "", "int", "Index of the container if service has multiple replicas"),
        Flag("no-color", "", "bool", "Produce monochrome output"),
        Flag("no-log-prefix", "", "bool", "Don't print prefix in logs"),
        Flag("since", "", "string", "Show logs since a time (2026-01-02T13:23:37Z) or a duration ago (42m)"),
        Flag(
            "tail",
            "n",
            "string",
            "Number of lines to show from the end of the logs for each container",
            "all",
        ),
        Flag("timestamps", "t", "bool", "Show timestamps"),
        Flag("until", "", "string", "Show logs before a time (2026-01-02T13:23:37Z) or a duration ago (42m)"),
    ),
)
