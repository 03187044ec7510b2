"""Records: what the engine must still know after it was killed, in one SQLite file.

Each room stores its own documents (bytes, in its own codec) under a kind and an id; names are unique within a
kind; holds say who keeps an object from being removed. Usable from several threads; every call is short.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from nakagin.errors import Conflict, Damaged, Exhausted, NakaginError, Unavailable
from nakagin.kernel.space import set_aside

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL, id TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (kind, id)
);
CREATE TABLE IF NOT EXISTS names (
    kind TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS names_by_id ON names (kind, id);
CREATE TABLE IF NOT EXISTS holds (
    kind TEXT NOT NULL, id TEXT NOT NULL, holder TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (kind, id, holder)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS holds_by_holder ON holds (holder);
"""
_VERSION = 1
_PUT = "INSERT INTO documents VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET data = excluded.data"

# The log is written back to the database by checkpoint(), on a thread, because that waits for the disk. Where
# nobody calls it, SQLite does it by itself at this many pages of 4 KiB.
_LARGEST_LOG = 16384

# Of its log, this many bytes stay on the disk once it is written back: more than the reserve (below), which would go
# with what is cut off. Of the database, free pages (of 4 KiB) stay up to this many, or up to half of it.
_KEPT_LOG = 4 << 20
_KEPT_PAGES = 256

# By so much the database and its log can grow when the disk is full, so that something can still be removed.
_RESERVE = 2 << 20
_FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")


class Hold(NamedTuple):
    """Who keeps an object, and in what words to say so to a person who wants to remove it."""

    holder: str
    reason: str


class Records:
    """The one database.

    A commit is one append to the write-ahead log without a sync: the death of the process loses nothing that
    was committed; a power failure may lose the last moments, never the consistency.
    """

    def __init__(self, path: str) -> None:
        """Open or create the database file `path`; its folder must exist. Raises Damaged or Unavailable."""
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        self._writes: list[tuple[str, tuple[object, ...]]] = []  # of the present transaction
        try:
            self._connection = self._open()
            if self._connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                self._connection.executescript(_SCHEMA + f"PRAGMA user_version = {_VERSION};")
        except sqlite3.DatabaseError as error:
            raise _translate(error, path) from error
        # Open as long as the database is: whoever closes a file loses all of this process's locks on it (fcntl(2)).
        self._file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self.keep_reserve()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None, timeout=10)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LARGEST_LOG}")
        connection.execute(f"PRAGMA journal_size_limit = {_KEPT_LOG}")
        return connection

    # --- Documents

    def put(self, kind: str, id: str, data: bytes) -> None:
        """Store or replace the document `id`."""
        # An update in place: REPLACE would delete the row and write the index and the free list anew.
        self._write(_PUT, kind, id, data)

    def get(self, kind: str, id: str) -> bytes | None:
        """The document's bytes, or None."""
        row = self._one("SELECT data FROM documents WHERE kind = ? AND id = ?", kind, id)
        return row[0] if row else None

    def delete(self, kind: str, id: str) -> None:
        """Forget the document, its names and the holds on it. Nothing happens where it is not there."""
        with self.transaction():
            for table in ("documents", "names", "holds"):
                self._write(f"DELETE FROM {table} WHERE kind = ? AND id = ?", kind, id)  # noqa: S608 - constants

    def all(self, kind: str) -> list[tuple[str, bytes]]:
        """Every document of a kind as (id, bytes), in the order of ids."""
        return self._rows("SELECT id, data FROM documents WHERE kind = ? ORDER BY id", kind)

    def find(self, kind: str, prefix: str) -> list[str]:
        """The ids of the documents of a kind that begin with `prefix`, in order; "" finds all."""
        return [
            row[0]
            for row in self._rows(
                "SELECT id FROM documents WHERE kind = ? AND id >= ? AND id < ? ORDER BY id",
                kind,
                prefix,
                prefix + "\U0010ffff",
            )
        ]

    # --- Names

    def claim(self, kind: str, name: str, id: str) -> None:
        """Give `name` to `id`; Conflict where another id has it. Claiming one's own name again is fine."""
        with self.transaction():
            owner = self.resolve(kind, name)
            if owner is not None and owner != id:
                raise Conflict(f"the {kind} name {name!r} is already in use by {owner}")
            self._write("INSERT OR REPLACE INTO names VALUES (?, ?, ?)", kind, name, id)

    def move(self, kind: str, name: str, id: str) -> None:
        """Give `name` to `id`, whoever had it (as a tag moves from image to image)."""
        self._write("INSERT OR REPLACE INTO names VALUES (?, ?, ?)", kind, name, id)

    def release(self, kind: str, name: str) -> None:
        """Free the name. Nothing happens where it is free."""
        self._write("DELETE FROM names WHERE kind = ? AND name = ?", kind, name)

    def resolve(self, kind: str, name: str) -> str | None:
        """The id that has the name, or None."""
        row = self._one("SELECT id FROM names WHERE kind = ? AND name = ?", kind, name)
        return row[0] if row else None

    def names(self, kind: str) -> list[tuple[str, str]]:
        """Every (name, id) of a kind, in the order of names."""
        return self._rows("SELECT name, id FROM names WHERE kind = ? ORDER BY name", kind)

    def names_of(self, kind: str, id: str) -> list[str]:
        """The names of one id, in order."""
        return [
            row[0]
            for row in self._rows("SELECT name FROM names WHERE kind = ? AND id = ? ORDER BY name", kind, id)
        ]

    # --- Holds

    def hold(self, kind: str, id: str, holder: str, reason: str) -> None:
        """Keep `id` from removal on behalf of `holder` (e.g. "container:<id>"); again replaces the reason."""
        self._write("INSERT OR REPLACE INTO holds VALUES (?, ?, ?, ?)", kind, id, holder, reason)

    def release_hold(self, kind: str, id: str, holder: str) -> None:
        """End one hold. Nothing happens where there is none."""
        self._write("DELETE FROM holds WHERE kind = ? AND id = ? AND holder = ?", kind, id, holder)

    def release_holder(self, holder: str) -> None:
        """End all holds of `holder`."""
        self._write("DELETE FROM holds WHERE holder = ?", holder)

    def holders(self, kind: str, id: str) -> list[Hold]:
        """Who holds `id`, in the order of holders."""
        rows = self._rows(
            "SELECT holder, reason FROM holds WHERE kind = ? AND id = ? ORDER BY holder", kind, id
        )
        return [Hold(*row) for row in rows]

    def held(self, kind: str) -> set[str]:
        """The ids of a kind that anybody holds."""
        return {row[0] for row in self._rows("SELECT DISTINCT id FROM holds WHERE kind = ?", kind)}

    # --- Transactions and housekeeping

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside happen together or not at all; may be nested (only the outermost one commits).

        Other threads wait meanwhile, so nothing slow belongs inside.
        """
        with self._lock:
            if self._depth == 0:
                self._execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                # The outermost block undoes everything: a nested one that failed may have left half its
                # writes, so nobody in between may swallow the exception.
                if self._depth == 0:
                    self._undo()
                raise
            if self._depth == 1:
                self._commit()
            self._depth -= 1

    def checkpoint(self) -> None:
        """Write the log back into the database, and give back what room that has no more use for.

        It waits for the disk but lets nobody else wait, save where most of a database was deleted: call it from a
        worker thread now and then.
        """
        try:
            connection = self._open()
            try:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                _shrink(connection)
            finally:
                connection.close()
        except sqlite3.DatabaseError as error:
            raise _translate(error, self.path) from error
        self.keep_reserve()

    def close(self) -> None:
        """Close the file; the log is written back first."""
        with self._lock:
            self._connection.close()
            os.close(self._file)

    def keep_reserve(self) -> None:
        """Set space aside for the time when the disk is full, if there is any and it is not done yet."""
        set_aside(self._file, _RESERVE)
        try:
            log = os.open(self.path + "-wal", os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            set_aside(log, _RESERVE)
        finally:
            os.close(log)

    # --- SQLite

    def _commit(self) -> None:
        try:
            self._execute("COMMIT")
        except NakaginError:
            self._depth = 0
            self._undo()
            raise
        self._writes.clear()

    def _undo(self) -> None:
        self._writes.clear()
        if self._connection.in_transaction:
            self._connection.rollback()

    def _write(self, statement: str, *values: object) -> None:
        with self._lock:
            self._execute(statement, values)
            if self._depth:
                self._writes.append((statement, values))

    def _one(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        with self._lock:
            row: tuple[Any, ...] | None = self._execute(statement, values).fetchone()
            return row

    def _rows(self, statement: str, *values: object) -> list[Any]:
        with self._lock:
            return self._execute(statement, values).fetchall()

    def _execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        try:
            try:
                return self._connection.execute(statement, values)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname not in _FULL or not self._begin_log_anew():
                    raise
                if self._depth:
                    self._connection.execute("BEGIN IMMEDIATE")
                    for write in self._writes:
                        self._connection.execute(*write)
                return self._connection.execute(statement, values)
        except sqlite3.DatabaseError as error:
            raise _translate(error, self.path) from error

    def _begin_log_anew(self) -> bool:
        """Undo the transaction and write the log back, whose space can be used again then. Whether that went well."""
        if self._connection.in_transaction:
            self._connection.rollback()
        try:
            busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        except sqlite3.DatabaseError:
            return False
        return not busy


def _shrink(connection: sqlite3.Connection) -> None:
    """Write the database anew where it is mostly free pages; the file is shorter after the next checkpoint."""
    (free,), (pages,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "page_count")
    )
    if free > max(_KEPT_PAGES, pages // 2):
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("VACUUM")


def _translate(error: sqlite3.DatabaseError, path: str) -> Damaged | Exhausted | Unavailable:
    """SQLite's error in our words."""
    name = getattr(error, "sqlite_errorname", "")
    if name in _FULL:
        return Exhausted(f"no space to write {path}", hint="free disk space below the data root")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return Damaged(
            f"the database {path} is damaged: {error}", hint="restore it, or start with a new data root"
        )
    writable = os.access(os.path.dirname(path) or ".", os.W_OK)
    hint = None if writable else "its folder is not writable by this process"
    return Unavailable(f"cannot use the database {path}: {error}", hint=hint)
