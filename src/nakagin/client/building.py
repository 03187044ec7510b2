"""Builds that may ask: what an engine of ours needs of its client while it builds, answered beside the stream.

Every question has a connection of its own and is answered in a thread of its own; `docs/building.md` has the protocol.
"""

from __future__ import annotations

import threading
from urllib.parse import urlencode

from nakagin.client.refusals import check_stream_message
from nakagin.client.session import Session
from nakagin.errors import NakaginError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any, Protocol

    from nakagin.client.hijack import Stream
    from nakagin.client.session import Body, Document

    class Supplier(Protocol):
        """Who answers. Each method may be called in any thread; an EngineError refuses."""

        def give(self, kind: str, name: str) -> Body:
            """The bytes of a context (as a tar, or Listed), a layout, a cache or a secret."""

        def files(self, name: str, paths: Sequence[str] | None) -> Body:
            """A tar of these files of a context that was given as a list; None: of all."""

        def take(self, kind: str, name: str, pieces: Iterable[bytes]) -> None:
            """An output or a cache, as a tar."""

        def talk(self, kind: str, name: str, stream: Stream) -> None:
            """Join a raw stream with an ssh agent until one of them ends."""


_GIVEN = frozenset({"context", "layout", "secret", "credentials", "cache-from"})
_TAKEN = frozenset({"output", "cache-to"})
_FOREGROUND = frozenset({"shell"})
"""What takes the terminal, and so the main thread: the build waits for it."""
ASK = "nakagin.ask"


class Listed(bytes):
    """A context as the list of its files; the engine then asks for those that it has not."""


def build(
    session: Session,
    options: Mapping[str, object],
    supplier: Supplier,
    headers: Mapping[str, str] | None = None,
) -> Iterator[Document]:
    """Build with the parameters of POST /build, `supplier` answering what the engine asks; progress messages.

    Raises as the engine refuses; NotFound ("page not found") from an engine that has no such door.
    """
    pairs = [(name, each) for name, value in options.items() for each in _texts(value)]
    form = urlencode(pairs).encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
    answers = _Answers(session, supplier)
    with session.request(
        "POST", "/nakagin/build", data=form, headers=kind, timeout=None, versioned=False
    ) as answer:
        try:
            for message in answer.documents():
                if message.get("id") == ASK:
                    answers.begin(message["aux"])
                    continue
                check_stream_message(message)
                yield message
            answers.finish()
        finally:
            answers.close()


def _texts(value: object) -> list[str]:
    if value is None or value is False:
        return []
    if isinstance(value, list | tuple):
        return [str(each) for each in value]
    return ["1" if value is True else str(value)]


class _Answers:
    """The answers under way of one build."""

    def __init__(self, session: Session, supplier: Supplier) -> None:
        self._session = session
        self._supplier = supplier
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None

    def begin(self, ask: dict[str, Any]) -> None:
        """Answer one question beside the stream."""
        if ask["Kind"] in _FOREGROUND:
            self._answer(ask)
            return
        thread = threading.Thread(target=self._answer, args=(ask,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def finish(self) -> None:
        """Wait for what still comes in, and raise what went wrong here (a disk that is full)."""
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Nothing is waited for: threads end when the engine drops their connections."""
        self._threads.clear()

    def _answer(self, ask: dict[str, Any]) -> None:
        session = Session(self._session.endpoint, timeout=None)
        path = f"/nakagin/build/{ask['Token']}"
        try:
            self._perform(session, path, ask["Kind"], ask["Name"], ask.get("Paths"))
        except (NakaginError, OSError) as error:
            if ask["Kind"] in _TAKEN:  # of what could not be given, the engine says what it means
                self._failure = self._failure or error
            self._refuse(session, path, error)
        finally:
            session.close()

    def _perform(
        self, session: Session, path: str, kind: str, name: str, paths: Sequence[str] | None
    ) -> None:
        if kind in _TAKEN:
            with session.request("GET", f"{path}/take", timeout=None, versioned=False) as answer:
                self._supplier.take(kind, name, answer.iterate())
        elif kind in _GIVEN:
            body = self._supplier.give(kind, name)
            listed = {"listed": isinstance(body, Listed)}
            with session.request(
                "POST", f"{path}/give", listed, data=body, timeout=None, versioned=False
            ) as answer:
                answer.read()
        elif kind == "files":
            body = self._supplier.files(name, paths)
            with session.request("POST", f"{path}/give", data=body, timeout=None, versioned=False) as answer:
                answer.read()
        else:
            with session.hijack(f"{path}/talk", tty=True, versioned=False) as stream:
                self._supplier.talk(kind, name, stream)

    def _refuse(self, session: Session, path: str, error: BaseException) -> None:
        try:
            with session.request(
                "POST", f"{path}/refuse", {"message": str(error)}, versioned=False
            ) as answer:
                answer.read()
        except NakaginError:
            return  # the build has ended meanwhile
