"""The containers as the engine holds them: records in memory and in the database, with what lives only now."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.containers.audience import Audience
from nakagin.containers.model import Container
from nakagin.errors import Conflict, Invalid, NotFound, nearest

if TYPE_CHECKING:
    from nakagin.containers.health import Probe
    from nakagin.monitor.launch import Monitor
    from nakagin.storage.records import Records

KIND = "container"

_DEPARTED_AT_MOST = 256

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Container)


class PendingAttach:
    """An attach session opened before the container was started: the monitor's end of its stream."""

    __slots__ = ("socket", "stderr", "stdin", "stdout")

    def __init__(self, sock: socket.socket, *, stdin: bool, stdout: bool, stderr: bool) -> None:
        self.socket = sock
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr

    @property
    def alive(self) -> bool:
        """Whether the client still waits; one that went away is closed here."""
        gone = bool(select.select([self.socket], [], [], 0)[0]) and not self.socket.recv(1, socket.MSG_PEEK)
        if gone:
            self.socket.close()
        return not gone


class HandedFile(NamedTuple):
    """A file that is only there while the container runs."""

    target: str
    data: bytes
    mode: int
    uid: int
    gid: int


class Handed(NamedTuple):
    """What a container gets that no record may have: secrets. Kept in memory, gone with the engine."""

    environment: tuple[str, ...] = ()
    files: tuple[HandedFile, ...] = ()


NOTHING_HANDED = Handed()


class Capsule:
    """One container: its record, the lock its verbs hold, and who waits for or watches it.

    `ended` is set while no process of it runs. `leaving` is the monitor of the last run, which may still be
    clearing up after it. `held_for_restart` keeps it from removing itself meanwhile.
    """

    __slots__ = (
        "ended", "exec_ids", "exit_waiters", "handed", "held_for_restart", "leaving", "lock", "monitor",
        "pending", "probe", "record", "removal_waiters", "restart_delay", "restart_task",
    )  # fmt: skip

    def __init__(self, record: Container) -> None:
        self.record = record
        self.handed = NOTHING_HANDED
        self.lock = asyncio.Lock()
        self.monitor: Monitor | None = None
        self.leaving: Monitor | None = None
        self.pending: list[PendingAttach] = []
        self.ended = asyncio.Event()
        if not record.running:
            self.ended.set()
        self.exit_waiters: set[asyncio.Future[str | None]] = set()
        self.removal_waiters: set[asyncio.Future[str | None]] = set()
        self.probe: Probe | None = None
        self.restart_task: asyncio.Task[None] | None = None
        self.restart_delay = 0.0
        self.held_for_restart = False
        self.exec_ids: set[str] = set()

    @property
    def id(self) -> str:
        return self.record.id

    def wake(self, waiters: set[asyncio.Future[str | None]], error: str | None = None) -> None:
        """Let those who wait in one of this capsule's sets go on, with what went wrong."""
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(error)
        waiters.clear()


class Shelf:
    """All capsules, by id and by name. Every change of a record is written before it is seen."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._capsules: dict[str, Capsule] = {}
        self._names: dict[str, str] = {}
        self.audience = Audience()
        self.departed: dict[str, tuple[int, str]] = {}
        """Exit code and error of the last ones that removed themselves, by id."""

    def remember(self, capsule: Capsule) -> None:
        """It is about to remove itself: keep for a while how it ended."""
        facts = capsule.record.facts
        self.departed[capsule.id] = facts.exit_code, facts.error
        if len(self.departed) > _DEPARTED_AT_MOST:
            del self.departed[next(iter(self.departed))]

    def load(self) -> None:
        """Read all records; called once, at start."""
        for _, data in self._records.all(KIND):
            record = _decoder.decode(data)
            self._capsules[record.id] = Capsule(record)
            self._names[record.name] = record.id

    def __iter__(self) -> Iterator[Capsule]:
        return iter(tuple(self._capsules.values()))

    def __len__(self) -> int:
        return len(self._capsules)

    def get(self, id: str) -> Capsule | None:
        """The capsule of a full id."""
        return self._capsules.get(id)

    def find(self, reference: str) -> Capsule:
        """By full id, name, or unique id prefix. Raises NotFound, or Invalid for a prefix of several."""
        name = reference.removeprefix("/")
        found = self._capsules.get(reference) or self._capsules.get(self._names.get(name, ""))
        if found is not None:
            return found
        ids = self._records.find(KIND, name) if name else []
        if len(ids) == 1:
            return self._capsules[ids[0]]
        if ids:
            raise Invalid(
                f"multiple IDs found with provided prefix: {name}", hint="give more characters of the id"
            )
        raise NotFound(f"No such container: {reference}", hint=nearest(name, self._names))

    def add(self, record: Container, also: Callable[[], None] | None = None) -> Capsule:
        """Record a new container, with its name and what `also` writes, in one transaction. Raises Conflict."""
        with self._records.transaction():
            self._claim(record)
            self._records.put(KIND, record.id, _encoder.encode(record))
            if also is not None:
                also()
        capsule = self._capsules[record.id] = Capsule(record)
        self._names[record.name] = record.id
        return capsule

    def _claim(self, record: Container) -> None:
        owner = self._names.get(record.name)
        if owner is not None and owner != record.id:
            raise Conflict(
                f'Conflict. The container name "/{record.name}" is already in use by container "{owner}".',
                hint="You have to remove (or rename) that container to be able to reuse that name.",
            )
        self._records.claim(KIND, record.name, record.id)

    def name_is_free(self, name: str) -> bool:
        """Whether no container has this name now."""
        return name not in self._names

    def save(self, capsule: Capsule, record: Container, also: Callable[[], None] | None = None) -> None:
        """Replace a record; the name may change with it (Conflict if it is another's)."""
        old = capsule.record
        with self._records.transaction():
            if old.name != record.name:
                self._claim(record)
                self._records.release(KIND, old.name)
            self._records.put(KIND, record.id, _encoder.encode(record))
            if also is not None:
                also()
        if old.name != record.name:
            del self._names[old.name]
            self._names[record.name] = record.id
        capsule.record = record

    def exchange_names(self, one: Capsule, other: Capsule, also: Callable[[], None]) -> None:
        """Each gets the other's name, in one transaction with what `also` writes: neither name is ever free."""
        records = (
            msgspec.structs.replace(one.record, name=other.record.name),
            msgspec.structs.replace(other.record, name=one.record.name),
        )
        with self._records.transaction():
            for record in records:
                self._records.move(KIND, record.name, record.id)
                self._records.put(KIND, record.id, _encoder.encode(record))
            also()
        one.record, other.record = records
        self._names.update({record.name: record.id for record in records})

    def drop(self, capsule: Capsule, also: Callable[[], None] | None = None) -> None:
        """Forget a container and its name."""
        with self._records.transaction():
            self._records.delete(KIND, capsule.id)
            if also is not None:
                also()
        self._capsules.pop(capsule.id, None)
        if self._names.get(capsule.record.name) == capsule.id:
            del self._names[capsule.record.name]
