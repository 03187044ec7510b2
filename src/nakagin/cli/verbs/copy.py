"""`nakagin image cp`, and pushing to and pulling from `ssh://`: images straight from engine to engine."""

from __future__ import annotations

import sys

from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag
from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nakagin.client import Client
    from nakagin.client.session import Document

HERE = "."
FLAGS = (
    Flag("platform", "", "string", "Only images of this platform"),
    Flag("quiet", "q", "bool", "Suppress progress output"),
)


class Place:
    """An engine, and the names of images there: "ssh://user@host/web:1", "web:1" (here), "." (here)."""

    __slots__ = ("engine", "name")

    def __init__(self, word: str) -> None:
        self.engine = ""
        self.name = "" if word == HERE else word
        if is_remote(word):
            rest = word.removeprefix("ssh://")
            host, _, self.name = rest.partition("/")
            if not host:
                raise Invalid(f"no host in {word}", hint="write ssh://user@host/")
            self.engine = f"ssh://{host}"


def is_remote(word: str) -> bool:
    """Whether an argument names an engine behind ssh, and not an image or registry."""
    return word.startswith("ssh://")


def push_to(call: Call) -> int:
    """`push ssh://user@host/ IMAGE…`."""
    target, *names = call.arguments
    if not names:
        raise Invalid("no image is named", hint=f"write: {call.name} {target} IMAGE...")
    if Place(target).name and len(names) > 1:
        raise Invalid("several images cannot get one name", hint="end the address with its slash")
    return _copy(call, [Place(name) for name in names], Place(target))


def pull_from(call: Call) -> int:
    """`pull ssh://user@host/IMAGE`."""
    places = [Place(word) for word in call.arguments]
    return _copy(call, places, Place(HERE))


def cp(call: Call) -> int:
    """Copy images from one engine to another."""
    *sources, target = (Place(word) for word in call.arguments)
    if target.name and len(sources) > 1:
        raise Invalid("several images cannot get one name", hint="end with `.` or ssh://user@host/")
    return _copy(call, sources, target)


def _copy(call: Call, sources: list[Place], target: Place) -> int:
    if unnamed := [each for each in sources if not each.name]:
        raise Invalid(f"no image is named at {unnamed[0].engine or 'this engine'}")
    if len({each.engine for each in sources}) > 1:
        raise Invalid("the images are on several hosts", hint="copy from one after the other")
    if sources[0].engine == target.engine and not target.name:
        raise Invalid("source and target are the same engine", hint="`nakagin tag` gives a further name")
    from nakagin.cli.progress import show_progress

    transfer = _Transfer(_client(call, sources[0]), _client(call, target))
    names = [each.name for each in sources]
    messages = transfer.run(names, call.options.text("platform"), target.name)
    show_progress(messages, sys.stdout, quiet=call.options.on("quiet"))
    transfer.report()
    return 0


def _client(call: Call, place: Place) -> Client:
    if not place.engine:
        return call.client
    from nakagin.client.client import Client

    return Client(place.engine, timeout=None)


class _Transfer:
    """A transfer in a thread of its own, since it tells how it goes in the middle of its requests."""

    def __init__(self, source: Client, target: Client) -> None:
        from queue import SimpleQueue

        from nakagin.client.handover import Handover

        self._handover = Handover(source, target, self._tell)
        self._told: SimpleQueue[Document | None] = SimpleQueue()
        self._done: list[Document] = []
        self._failure: BaseException | None = None

    def run(self, names: list[str], platform: str, rename: str) -> Iterator[Document]:
        """What it tells, to its end. Raises what it failed with."""
        from threading import Thread

        def work() -> None:
            try:
                self._done = self._handover.send(names, platform=platform, rename=rename)
            except BaseException as error:  # noqa: BLE001 -- raised below, where somebody listens
                self._failure = error
            self._told.put(None)

        Thread(target=work, daemon=True).start()
        yield from iter(self._told.get, None)
        if self._failure is not None:
            raise self._failure

    def _tell(self, digest: str, done: int, size: int) -> None:
        whole = done >= size
        detail = {} if whole else {"current": done, "total": size}
        short = digest.partition(":")[2][:12]
        self._told.put({"id": short, "status": "Pushed" if whole else "Pushing", "progressDetail": detail})

    def report(self) -> None:
        """Say which images are there now, and what it took."""
        from nakagin.cli.quantities import human_size

        words = [name for image in self._done for name in image["names"] or [image["id"]]]
        for name in dict.fromkeys(words):  # several platforms share theirs
            say(name)
        say(
            f"Sent {human_size(self._handover.sent)} of layers; {self._handover.present} layers were there already"
        )


CP = Command(cp, "[OPTIONS] IMAGE... TARGET", FLAGS, least=2, most=None)
