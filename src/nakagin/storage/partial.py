"""Blobs half fetched: their bytes stay, over restarts too, until the rest is there or nobody wants them any more.

    open ──write…──► commit ──► a blob
      │ (broken)        └─ wrong digest: Damaged, nothing stays
      └─► close: the bytes stay below `partial/`; the next open goes on behind them

Who wants to read the bytes as they come (a layer is unpacked while it is fetched) watches, and reads the same file.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Protocol

from nakagin.errors import Conflict, Damaged, Exhausted
from nakagin.spec.digest import algorithm, encoded, hasher

if TYPE_CHECKING:
    from nakagin.storage.blobs import Blobs

_NO_SPACE = (28, 122)  # ENOSPC, EDQUOT
_PIECE = 1 << 20


class Watcher(Protocol):
    """Reads a blob while it is fetched."""

    def have(self, size: int, /) -> None:
        """So many bytes are in the file."""

    def end(self, size: int, /) -> None:
        """The blob is complete and verified."""

    def again(self) -> None:
        """What was there was wrong."""


class Partials:
    """The folder `partial/` of one data root: a file for each blob that is not yet whole."""

    def __init__(self, root: str, blobs: Blobs) -> None:
        """`root` is the data root; what is complete goes to `blobs`."""
        self.root = os.path.join(root, "partial")
        self.blobs = blobs
        self._lock = threading.Lock()
        self._open: set[str] = set()
        os.makedirs(self.root, mode=0o700, exist_ok=True)

    def path(self, digest: str) -> str:
        """Where the bytes lie, or would lie."""
        return os.path.join(self.root, f"{algorithm(digest)}-{encoded(digest)}")

    def size(self, digest: str) -> int:
        """How many bytes of it are here."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            return 0

    def open(self, digest: str, size: int) -> Partial:
        """Go on with a blob of `size` bytes, or begin it. Reads what is there again, so call it in a worker thread.

        Raises Conflict where another thread is at it, Exhausted where the disk is full.
        """
        with self._lock:
            if digest in self._open:
                raise Conflict(f"the blob {digest} is being fetched already")
            self._open.add(digest)
        try:
            return Partial(self, digest, size)
        except BaseException:
            self.release(digest)
            raise

    def release(self, digest: str) -> None:
        """A blob's file is no longer in use. For Partial."""
        with self._lock:
            self._open.discard(digest)

    def sweep(self, older_than: float = 0.0) -> int:
        """Delete what nobody has added to for so many seconds, unless it is in use; the bytes freed."""
        freed = 0
        with self._lock:
            busy = {os.path.basename(self.path(digest)) for digest in self._open}
            for entry in os.scandir(self.root):
                status = entry.stat()
                if entry.name not in busy and time.time() - status.st_mtime >= older_than:
                    os.unlink(entry.path)
                    freed += status.st_size
        return freed

    def usage(self) -> int:
        """The bytes of all of them."""
        return sum(entry.stat().st_size for entry in os.scandir(self.root))


class Partial:
    """One blob on its way in. One thread writes; watchers read behind it."""

    def __init__(self, home: Partials, digest: str, size: int) -> None:
        self.digest = digest
        self.size = size
        self.offset = 0
        """How many bytes are here."""
        self._home = home
        self._path = home.path(digest)
        self._lock = threading.Lock()
        self._watchers: list[Watcher] = []
        self._complete = False
        self._fd = _opened(self._path)
        self._reread()

    def reopened(self) -> int:
        """A descriptor of the file for who wants to read behind the writer, and closes it. Not after `close`."""
        return os.dup(self._fd)

    def _reread(self) -> None:
        """Hash what an earlier attempt left. More than the blob can have is not it."""
        self._hash = hasher(algorithm(self.digest))
        if os.fstat(self._fd).st_size > self.size:
            os.ftruncate(self._fd, 0)
        while data := os.pread(self._fd, _PIECE, self.offset):
            self._hash.update(data)
            self.offset += len(data)

    def write(self, data: bytes) -> None:
        """Append. Raises Damaged for bytes beyond the size, Exhausted when the disk is full."""
        if self.offset + len(data) > self.size:
            raise Damaged(
                f"the blob {self.digest} has more than the {self.size} bytes that its manifest says",
                hint="the registry's content is not what it claims to be",
            )
        rest = memoryview(data)
        while rest:
            try:
                written = os.pwrite(self._fd, rest, self.offset)
            except OSError as error:
                if error.errno in _NO_SPACE:
                    raise Exhausted(
                        "no space left to store a blob",
                        hint="free disk space below the data root; what was fetched so far is kept",
                    ) from None
                raise
            self._hash.update(rest[:written])
            rest = rest[written:]
            with self._lock:
                self.offset += written
                for watcher in self._watchers:
                    watcher.have(self.offset)

    def rewind(self) -> None:
        """Begin again: what is here is not the blob. Watchers hear so, and no more."""
        self._hash = hasher(algorithm(self.digest))
        with self._lock:
            os.ftruncate(self._fd, 0)
            self.offset = 0
            for watcher in self._watchers:
                watcher.again()
            self._watchers.clear()

    def check(self) -> None:
        """Damaged unless all bytes are here and have the digest."""
        found = f"{algorithm(self.digest)}:{self._hash.hexdigest()}"
        if self.offset != self.size or found != self.digest:
            raise Damaged(
                f"received {self.offset} bytes with the digest {found}, not {self.size} with {self.digest}",
                hint="the registry or something before it alters content; try another mirror",
            )

    def commit(self) -> None:
        """Make it a blob: verified, and under its name (the library waits for the disk, for all of an image at
        once). Raises Damaged, and then nothing of it stays."""
        try:
            self.check()
        except Damaged:
            self._unlink()
            raise
        os.rename(self._path, self._home.blobs.path(self.digest))
        with self._lock:
            self._complete = True
            for watcher in self._watchers:
                watcher.end(self.size)

    def _unlink(self) -> None:
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass

    def watch(self, watcher: Watcher) -> None:
        """Tell somebody what is here, now and from now on; from the thread that writes."""
        with self._lock:
            watcher.have(self.offset)
            if self._complete:
                watcher.end(self.size)
            else:
                self._watchers.append(watcher)

    def close(self) -> None:
        """Let go. What is not complete keeps its bytes; an empty file goes. Again is no error."""
        if self._fd < 0:
            return
        if not self._complete and not self.offset:
            self._unlink()
        os.close(self._fd)
        self._fd = -1
        self._home.release(self.digest)


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise Exhausted(
                "no space left to store a blob", hint="free disk space below the data root"
            ) from None
        raise
