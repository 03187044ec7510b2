"""Blobs on their way in. A session outlives connections and the registry itself: what has arrived stays on disk.

    uploads/<id>/about   the repository and the algorithm, as JSON
                 data    what has arrived so far

The digest is computed while the bytes arrive; after a restart, once more from the file.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from nakagin.registry.server import files
from nakagin.registry.server.names import is_upload_id
from nakagin.registry.server.refusals import digest_invalid, upload_unknown
from nakagin.spec.digest import algorithm, encoded, hasher
from nakagin.tasks import to_the_end

if TYPE_CHECKING:
    from hashlib import _Hash

    from nakagin.storage.blobs import Blobs

_PIECE = 1 << 20
#: Seconds that a request waits for another one of the same session before it takes its place.
PATIENCE = 5.0


class About(msgspec.Struct, frozen=True):
    """What a session was opened for."""

    repository: str
    algorithm: str = "sha256"


class Upload:
    """One session. `size` counts the bytes that are in the file."""

    def __init__(self, id: str, about: About, folder: str) -> None:
        self.id = id
        self.repository = about.repository
        self.algorithm = about.algorithm
        self.folder = folder
        self.data = os.path.join(folder, "data")
        self.size = os.stat(self.data).st_size
        self._hash: _Hash | None = None if self.size else hasher(about.algorithm)
        self._lock = asyncio.Lock()
        self._owner: asyncio.Task[object] | None = None

    @asynccontextmanager
    async def owned(self) -> AsyncIterator[None]:
        """One request at a time; one whose client has silently gone gives way to the next."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._lock.acquire()
        except TimeoutError:
            if self._owner is not None:
                self._owner.cancel()
            await self._lock.acquire()
        self._owner = asyncio.current_task()
        try:
            if not os.path.exists(self.data):  # finished or cancelled meanwhile
                raise upload_unknown(self.id)
            yield
        finally:
            self._owner = None
            self._lock.release()

    async def append(
        self, pieces: AsyncIterator[bytes], pool: ThreadPoolExecutor, check: Callable[[int], None]
    ) -> int:
        """Write what comes, hashing it on the way; the number of bytes. What has arrived before an error stays.

        `check` gets the size that the upload is about to have, and may refuse. One piece is written while the
        next is received.
        """
        loop = asyncio.get_running_loop()
        before = self.size
        fd = os.open(self.data, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        writing: asyncio.Future[None] | None = None
        try:
            async for piece in pieces:
                check(self.size + len(piece))
                if writing is not None:
                    await to_the_end(writing)
                writing = loop.run_in_executor(pool, self._write, fd, piece)
                self.size += len(piece)
            if writing is not None:
                await to_the_end(writing)
        finally:
            try:
                if writing is not None:
                    await to_the_end(asyncio.wait([writing]))
            finally:
                if writing is not None and writing.exception() is not None:
                    self._hash = None
                self.size = os.fstat(fd).st_size
                os.close(fd)
        return self.size - before

    def _write(self, fd: int, piece: bytes) -> None:
        if self._hash is not None:
            self._hash.update(piece)
        files.write_all(fd, piece)

    def verify(self, digest: str) -> None:
        """Refusal DIGEST_INVALID unless the bytes have the digest. Long where they must be read again."""
        check = self._hash
        if check is None or self.algorithm != algorithm(digest):
            check = hasher(algorithm(digest))
            with open(self.data, "rb", buffering=0) as file:
                while piece := file.read(_PIECE):
                    check.update(piece)
        if check.hexdigest() != encoded(digest):
            raise digest_invalid(
                digest, f"the {self.size} bytes received have the digest {check.name}:{check.hexdigest()}"
            )

    def settle(self, blobs: Blobs, digest: str) -> None:
        """Put the verified bytes on disk and give them their name. Long. A torn blob of that name is replaced."""
        path = blobs.path(digest)
        if not blobs.exists(digest) or blobs.size(digest) != self.size:
            with open(self.data, "rb", buffering=0) as file:
                os.fsync(file.fileno())
            files.in_folder(path, lambda: os.rename(self.data, path))
            files.sync_folder(os.path.dirname(path))

    def discard(self) -> None:
        """Forget the session and what has arrived; again is no error."""
        # The data goes first: a session without it is none.
        files.remove(self.data)
        shutil.rmtree(self.folder, ignore_errors=True)


class Uploads:
    """All sessions of one registry."""

    def __init__(self, root: str) -> None:
        self._folder = os.path.join(root, "uploads")
        self._open: dict[str, Upload] = {}
        os.makedirs(self._folder, mode=0o700, exist_ok=True)

    def begin(self, repository: str, digest_algorithm: str = "sha256") -> Upload:
        """A new session."""
        id = str(uuid.uuid4())
        folder = os.path.join(self._folder, id)
        about = About(repository, digest_algorithm)
        os.mkdir(folder, mode=0o700)
        with open(os.path.join(folder, "about"), "wb", buffering=0) as file:
            files.write_all(file.fileno(), msgspec.json.encode(about))
        os.close(os.open(os.path.join(folder, "data"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._open[id] = upload = Upload(id, about, folder)
        return upload

    def get(self, id: str, repository: str) -> Upload:
        """The session, also one from before a restart. Refusal BLOB_UPLOAD_UNKNOWN."""
        upload = self._open.get(id) or self._load(id)
        if upload is None or upload.repository != repository:
            raise upload_unknown(id)
        return upload

    def _load(self, id: str) -> Upload | None:
        if not is_upload_id(id):
            return None
        folder = os.path.join(self._folder, id)
        try:
            with open(os.path.join(folder, "about"), "rb") as file:
                about = msgspec.json.decode(file.read(), type=About)
            self._open[id] = upload = Upload(id, about, folder)
        except (FileNotFoundError, msgspec.DecodeError):  # a crash while it began
            return None
        return upload

    def discard(self, upload: Upload) -> None:
        """Forget a session."""
        self._open.pop(upload.id, None)
        upload.discard()

    def size(self) -> int:
        """The bytes of all unfinished uploads."""
        paths = (os.path.join(self._folder, id, "data") for id in files.listed(self._folder))
        return sum(os.stat(path).st_size for path in paths if os.path.exists(path))

    def expire(self, before: float) -> int:
        """Discard the sessions in which nothing has happened since `before` (seconds since the epoch); how many."""
        count = 0
        for id in files.listed(self._folder):
            folder = os.path.join(self._folder, id)
            moment = files.modified(os.path.join(folder, "data")) or files.modified(folder)
            if moment is None or moment >= before:
                continue
            upload = self._open.pop(id, None)
            if upload is not None:
                upload.discard()
            else:
                shutil.rmtree(folder, ignore_errors=True)
            count += 1
        return count

    def count(self) -> int:
        """How many are unfinished."""
        return len(files.listed(self._folder))
