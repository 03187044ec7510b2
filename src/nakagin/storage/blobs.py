"""Blobs: immutable bytes named by their digest, in the folders of an OCI image layout.

A blob appears under its name only when it is complete and verified. Which blobs are still needed,
only the image library knows; it tells `sweep`.
"""

from __future__ import annotations

import os
import secrets
from typing import IO, TYPE_CHECKING, Self

from nakagin.errors import Damaged, Exhausted, NotFound
from nakagin.spec.digest import ALGORITHMS, Digest, algorithm, encoded, hasher, is_digest
from nakagin.storage.holes import is_hole

if TYPE_CHECKING:
    from collections.abc import Iterable

_PIECE = 1 << 20
_NO_SPACE = (28, 122)  # ENOSPC, EDQUOT


class Blobs:
    """The blobs below one data root: `blobs/<algorithm>/<hex>`.

    Unfinished ones are in `tmp/`; those that are fetched piece by piece, `partial` has.
    """

    def __init__(self, root: str) -> None:
        """`root` is the data root."""
        self.root = os.path.join(root, "blobs")
        self.temporary = os.path.join(root, "tmp")
        kinds = [os.path.join(self.root, each) for each in ALGORITHMS]
        for folder in (self.root, *kinds, self.temporary):
            os.makedirs(folder, mode=0o700, exist_ok=True)

    def path(self, digest: str) -> str:
        """Where the blob lies, or would lie."""
        return os.path.join(self.root, algorithm(digest), encoded(digest))

    def exists(self, digest: str) -> bool:
        """Whether the whole blob is here."""
        return os.path.exists(self.path(digest))

    def size(self, digest: str) -> int:
        """Its length in bytes. Raises NotFound."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            raise NotFound(f"no such blob: {digest}") from None

    def open(self, digest: str) -> IO[bytes]:
        """The blob, unbuffered, at its beginning. Raises NotFound."""
        try:
            return open(self.path(digest), "rb", buffering=0)
        except FileNotFoundError:
            raise NotFound(f"no such blob: {digest}") from None

    def read(self, digest: str) -> bytes:
        """All bytes of a small blob, verified. Raises NotFound or Damaged."""
        with self.open(digest) as stream:
            data = stream.read()
        check = hasher(algorithm(digest))
        check.update(data)
        if check.hexdigest() != encoded(digest):
            raise Damaged(
                f"the stored blob {digest} does not match its digest", hint="remove and load its image again"
            )
        return data

    def writer(self, expected: str | None = None) -> BlobWriter:
        """A new blob; with `expected`, commit fails with Damaged unless the bytes have that digest."""
        return BlobWriter(self, expected)

    def is_sound(self, digest: str) -> bool:
        """Whether the blob is here and has the bytes that its digest says. Long for large ones."""
        check = hasher(algorithm(digest))
        try:
            with self.open(digest) as stream:
                while piece := stream.read(_PIECE):
                    check.update(piece)
        except NotFound:
            return False
        return check.hexdigest() == encoded(digest)

    def put(self, data: bytes) -> Digest:
        """Store small bytes."""
        with self.writer() as writer:
            writer.write(data)
            return writer.commit()

    def delete(self, digest: str) -> int:
        """Remove the blob; returns the bytes freed (0 where it was not there)."""
        path = self.path(digest)
        try:
            size = os.stat(path).st_size
            os.unlink(path)
        except FileNotFoundError:
            return 0
        return size

    def all(self) -> list[Digest]:
        """Every blob that is here, in order."""
        names = (
            f"{name}:{entry}"
            for name in sorted(os.listdir(self.root))
            for entry in sorted(os.listdir(os.path.join(self.root, name)))
        )
        return [Digest(name) for name in names if is_digest(name)]

    def sweep(self, needed: Iterable[str]) -> int:
        """Remove every blob but the needed ones; returns the bytes freed."""
        keep = set(needed)
        return sum(self.delete(digest) for digest in self.all() if digest not in keep)


class BlobWriter:
    """One blob on its way in. A context: what was not committed is gone afterwards."""

    def __init__(self, blobs: Blobs, expected: str | None) -> None:
        self._blobs = blobs
        self._expected = expected
        self._algorithm = algorithm(expected) if expected else "sha256"
        self._hash = hasher(self._algorithm)
        self._path = os.path.join(blobs.temporary, f"blob-{secrets.token_hex(8)}")
        self._stream = open(self._path, "w+b", buffering=0)  # noqa: SIM115 - closed by commit or __exit__
        self.size = 0

    def fileno(self) -> int:
        """The file, growing; for reading beside the writing."""
        return self._stream.fileno()

    def write(self, data: bytes | memoryview) -> int:
        """Append; returns the length. Raises Exhausted when the disk is full."""
        self._hash.update(data)
        self.size += len(data)
        rest = memoryview(data)
        if is_hole(data):
            self._stream.seek(self.size)
            self._stream.truncate()
            return len(data)
        while rest:
            try:
                rest = rest[self._stream.write(rest) :]
            except OSError as error:
                if error.errno in _NO_SPACE:
                    raise Exhausted(
                        "no space left to store a blob", hint="free disk space below the data root"
                    ) from None
                raise
        return len(data)

    def digest(self) -> Digest:
        """The digest of what was written so far."""
        return Digest(f"{self._algorithm}:{self._hash.hexdigest()}")

    def commit(self) -> Digest:
        """Verify, and give the blob its name. Raises Damaged.

        It is on disk for sure only when the image that it belongs to is settled (`Images.settle`).
        """
        digest = self.digest()
        if self._expected not in (None, digest):
            raise Damaged(f"received bytes have the digest {digest}, not {self._expected}", hint="try again")
        path = self._blobs.path(digest)
        if not os.path.exists(path):
            os.rename(self._path, path)
        self._stream.close()
        return digest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass
