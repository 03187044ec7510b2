"""Compressed streams: recognized by their first bytes, read piece by piece, never whole in memory.

A gzip stream may have several members (eStargz), a zstd stream several and skippable frames (zstd:chunked).
isal and zstandard are loaded when they are needed: an engine that rests has no megabyte for them.
"""

from __future__ import annotations

import bz2
import io
import lzma
import secrets
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Protocol, cast

from nakagin.errors import Damaged, Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

# What a decoder may take for its window or dictionary: more than any usual encoder asks for (zstd --ultra and
# xz -9 need 128 and 65 MiB), far less than a crafted header could ask for.
_MEMORY = 256 << 20
_PIECE = 1 << 18


class Readable(Protocol):
    """A stream of bytes: `read(n)` returns at most n of them, b"" at the end."""

    def read(self, size: int, /) -> bytes: ...


class Peeked(io.RawIOBase):
    """A stream whose first bytes were looked at."""

    def __init__(self, stream: Readable, size: int) -> None:
        self._stream = stream
        self.head = b""
        while len(self.head) < size and (more := stream.read(size - len(self.head))):
            self.head += more
        self._rest = self.head

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return self.readall()
        if not self._rest:
            return self._stream.read(size)
        piece = self._rest[:size]
        self._rest = self._rest[size:]
        return piece

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        piece = self.read(len(view))
        view[: len(piece)] = piece
        return len(piece)


class _XzStreams:
    """Concatenated xz streams with a bound on memory, which lzma.LZMAFile has not."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._decoder = lzma.LZMADecompressor(memlimit=_MEMORY)

    def read(self, size: int, /) -> bytes:
        while True:
            if self._decoder.eof:
                rest = (self._decoder.unused_data or self._stream.read(_PIECE)).lstrip(b"\0")
                if not rest:
                    return b""
                self._decoder = lzma.LZMADecompressor(memlimit=_MEMORY)
            else:
                rest = self._stream.read(_PIECE) if self._decoder.needs_input else b""
                if self._decoder.needs_input and not rest:
                    raise EOFError("the xz stream ends in the middle")
            if data := self._decoder.decompress(rest, size):
                return data


class _ZstdFrames:
    """Concatenated zstd frames that must be whole.

    The library takes a frame that is cut off for the end of the stream. So a frame of our own is put after the
    last one: its random bytes come out, and are held back, only if all before them was complete.
    """

    def __init__(self, stream: Readable) -> None:
        import zstandard

        self._mark = secrets.token_bytes(16)
        self._held = b""
        decoder = zstandard.ZstdDecompressor(max_window_size=_MEMORY)
        last = zstandard.ZstdCompressor().compress(self._mark)
        source = cast("IO[bytes]", _Followed(stream, last))
        self._reader = decoder.stream_reader(source, read_size=_PIECE, read_across_frames=True)

    def read(self, size: int, /) -> bytes:
        while True:
            data = self._reader.read(size)
            if not data:
                if self._held != self._mark:
                    raise EOFError("the zstd stream ends in the middle")
                return b""
            data = self._held + data
            self._held = data[-len(self._mark) :]
            if len(data) > len(self._mark):
                return data[: -len(self._mark)]


class _Followed(io.RawIOBase):
    """A stream with some bytes after its end."""

    def __init__(self, stream: Readable, after: bytes) -> None:
        self._stream = stream
        self._after = after

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        if not data:
            data, self._after = self._after[:size], self._after[size:]
        return data


def kind_of(head: bytes) -> str:
    """ "gzip", "zstd", "xz", "bzip2" or "" by the first six bytes of a stream."""
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    # A frame, or a skippable frame (RFC 8878).
    if head[:4] == b"\x28\xb5\x2f\xfd" or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
        return "zstd"
    if head[:6] == b"\xfd7zXZ\0":
        return "xz"
    if head[:3] == b"BZh":
        return "bzip2"
    return ""


def decompressed(stream: Readable) -> tuple[str, Readable]:
    """What the stream is compressed with ("" for not at all), and the stream of its plain bytes."""
    peeked = Peeked(stream, 6)
    kind = kind_of(peeked.head)
    match kind:
        case "gzip":
            from isal import igzip

            plain: Readable = igzip.IGzipFile(fileobj=peeked, mode="rb")  # type: ignore[no-untyped-call]
            return kind, plain
        case "zstd":
            return kind, _ZstdFrames(peeked)
        case "xz":
            return kind, _XzStreams(peeked)
        case "bzip2":
            return kind, bz2.BZ2File(cast("IO[bytes]", peeked))
    return kind, peeked


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turns what decoders raise for broken input into Damaged or Unsupported, naming `what`."""
    try:
        yield
    except Exception as error:
        import zstandard
        from isal import isal_zlib

        isal_error = cast("type[Exception]", isal_zlib.error)
        if isinstance(error, (lzma.LZMAError, zstandard.ZstdError)) and "memory" in str(error).lower():
            raise Unsupported(
                f"{what} needs too much memory to decompress", hint=f"at most {_MEMORY >> 20} MiB"
            ) from error
        # Some decoders raise a plain OSError, which then has no errno.
        broken = (EOFError, zlib.error, isal_error, zstandard.ZstdError, lzma.LZMAError)
        if isinstance(error, broken) or (isinstance(error, OSError) and not error.errno):
            raise Damaged(f"{what} is damaged: {error}", hint="fetch or save it again") from error
        raise
