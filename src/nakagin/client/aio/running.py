"""How the async SDK runs: each call does its work, which is the sync SDK's, in a thread of its own.

Cancelling a call shuts its connection, so the thread ends at once and not when the engine answers.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from importlib import import_module
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nakagin.client.containers import Container
from nakagin.client.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator
    from typing import Self

    from nakagin.client.transport import Connection

S = TypeVar("S")

_END = object()
_AHEAD = 64


class SharedSession(Session):
    """A session that many threads use at once; it knows which connections the present thread's call has."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._guard = threading.Lock()
        self._calls = threading.local()

    @classmethod
    def of(cls, session: Session) -> SharedSession:
        """One with the same engine and settings."""
        return cls(session.endpoint, timeout=session.timeout, version=session._version)

    def begin(self, connections: list[Connection]) -> None:
        """The present thread's call adds its connections to this list."""
        self._calls.connections = connections

    def _connection(self, timeout: float | None) -> Connection:
        with self._guard:
            connection = super()._connection(timeout)
        if (own := getattr(self._calls, "connections", None)) is not None:
            own.append(connection)
        return connection


class Facade(Generic[S]):
    """The async face of a sync object. What a call returns gets its own face, an iterator becomes an async one."""

    def __init__(self, sync: S, session: SharedSession) -> None:
        self._sync = sync
        self._session = session

    async def _call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        connections: list[Connection] = []
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Any] = loop.create_future()

        def settle(deed: Callable[[Any], None], value: Any) -> None:
            if not outcome.done():
                deed(value)

        def work() -> None:
            self._session.begin(connections)
            try:
                found = function(*arguments, **options)
                if isinstance(found, Container):
                    _ = found.attributes  # so that its properties need no engine
            except BaseException as error:  # noqa: BLE001  outermost frame of a thread: raised by the await
                _tell(loop, settle, outcome.set_exception, error)
            else:
                _tell(loop, settle, outcome.set_result, found)

        threading.Thread(target=work, name=f"nakagin-{function.__name__}", daemon=True).start()
        try:
            found = await outcome
        except asyncio.CancelledError:
            self._abort(connections)
            raise
        return self._faced(found)

    def _abort(self, connections: list[Connection]) -> None:
        for connection in connections:
            connection.shut()
        if (abort := getattr(self._sync, "abort", None)) is not None:
            abort()

    def _faced(self, found: Any) -> Any:
        if found is self._sync:
            return self
        if isinstance(found, tuple) and type(found) is tuple:
            return tuple(self._faced(each) for each in found)
        if isinstance(found, GeneratorType):
            return self._pieces(found, [])
        face = _face_of(type(found))
        return found if face is None else face(found, self._session)

    def _iterate(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        connections: list[Connection] = []

        def pieces() -> Generator[Any, None, None]:
            self._session.begin(connections)
            yield from function(*arguments, **options)

        return self._pieces(pieces(), connections)

    async def _pieces(
        self, source: Generator[Any, None, None], connections: list[Connection]
    ) -> AsyncIterator[Any]:
        """What a blocking iterator gives, in a thread that is at most some pieces ahead."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Any] = asyncio.Queue()
        room = threading.Semaphore(_AHEAD)
        over = threading.Event()

        def work() -> None:
            last: Any = _END
            try:
                for piece in source:
                    _tell(loop, queue.put_nowait, (piece,))
                    room.acquire()
                    if over.is_set():
                        break
            except BaseException as error:  # noqa: BLE001  outermost frame of a thread: raised by the iteration
                last = error
            source.close()
            _tell(loop, queue.put_nowait, last)

        threading.Thread(target=work, name="nakagin-pieces", daemon=True).start()
        try:
            while (found := await queue.get()) is not _END:
                if isinstance(found, BaseException):
                    raise found
                room.release()
                yield self._faced(found[0])
        finally:
            over.set()
            room.release()
            self._abort(connections)

    async def __aenter__(self) -> Self:
        if (enter := getattr(self._sync, "__enter__", None)) is not None:
            await self._call(enter)
        return self

    async def __aexit__(self, *error: object) -> None:
        if (leave := getattr(self._sync, "__exit__", None)) is not None:
            # Also when the task was cancelled: what has to end, ends.
            await asyncio.shield(asyncio.ensure_future(self._call(leave, *error)))


_faces: dict[type, type[Facade[Any]] | None] = {}


def _face_of(kind: type) -> type[Facade[Any]] | None:
    """The class of the same name in the async module of the same name."""
    if kind not in _faces:
        package, _, leaf = kind.__module__.rpartition(".")
        module = None
        if package == "nakagin.client":
            with suppress(ModuleNotFoundError):
                module = import_module(f"nakagin.client.aio.{leaf}")
        _faces[kind] = getattr(module, kind.__name__, None)
    return _faces[kind]


def _tell(loop: asyncio.AbstractEventLoop, deed: Callable[..., Any], *values: Any) -> None:
    try:
        loop.call_soon_threadsafe(deed, *values)
    except RuntimeError:
        return  # the loop was closed meanwhile, and nobody waits any more
