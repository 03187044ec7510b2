"""Layers that are kept as plain tars, made small for the way to a registry: the same bytes give the same gzip.

The header carries neither name nor time, and the input is cut into blocks of one size, which are compressed on
all processors at once. What comes out depends on the library's version; so the result is kept, and pushed again.
"""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from nakagin.storage.compression import decompressed, reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer

    from nakagin.storage.blobs import Blobs, BlobWriter

_BLOCK = 1 << 20
_LEVEL = 2
_MOST_THREADS = 4


def compress(
    blobs: Blobs, digest: str, keep: Callable[[str], None], *, kind: str = "gzip", level: int | None = None
) -> tuple[str, int]:
    """The digest and size of a blob as gzip, zstd or plain ("uncompressed"), whatever it was; that is a blob too,
    kept by `keep`. `level` as the programs of that name have it. Long; for a thread.

    Raises NotFound, Exhausted, Damaged.
    """
    with blobs.open(digest) as stored, blobs.writer() as writer, reading(f"the blob {digest}"):
        plain = decompressed(stored)[1]
        with _compressor(kind, level, _Sink(writer)) as small:
            while piece := plain.read(_BLOCK):
                small.write(piece)
        keep(writer.digest())
        return writer.commit(), writer.size


class Lazy(NamedTuple):
    """A layer as eStargz: its blob, and what it says of itself in a manifest."""

    diff_id: str
    digest: str
    size: int
    annotations: dict[str, str]


def estargz(blobs: Blobs, digest: str, keep: Callable[[str], None], *, level: int | None = None) -> Lazy:
    """A layer blob as eStargz: another diff ID, as the table of contents is part of it. As `compress` else."""
    from nakagin.storage.estargz import write

    with blobs.open(digest) as stored, blobs.writer() as writer, reading(f"the blob {digest}"):
        written = write(decompressed(stored)[1], writer.write, level=6 if level is None else level)
        keep(writer.digest())
        annotations = {
            "containerd.io/snapshot/stargz/toc.digest": written.table,
            "io.containers.estargz.uncompressed-size": str(written.length),
        }
        return Lazy(written.diff_id, writer.commit(), writer.size, annotations)


def _compressor(kind: str, level: int | None, sink: _Sink) -> IO[bytes]:
    threads = min(len(os.sched_getaffinity(0)), _MOST_THREADS)
    target = cast("IO[bytes]", sink)
    if kind == "uncompressed":
        return target
    if kind == "zstd":
        import zstandard

        made = zstandard.ZstdCompressor(level=3 if level is None else max(level, 1), threads=threads)
        return cast("IO[bytes]", made.stream_writer(target, closefd=False))
    from isal import igzip_threaded

    # The library has levels 0 to 3 where gzip has 0 to 9.
    small: IO[bytes] = igzip_threaded.open(  # type: ignore[no-untyped-call]
        sink,
        "wb",
        compresslevel=_LEVEL if level is None else min(level, 3),
        threads=threads,
        block_size=_BLOCK,
    )
    return small


class _Sink(io.RawIOBase):
    """A blob's writer in the form that the compressor needs."""

    def __init__(self, writer: BlobWriter) -> None:
        self._writer = writer

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        return self._writer.write(memoryview(data))
