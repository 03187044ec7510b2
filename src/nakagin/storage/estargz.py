"""eStargz: a layer whose files can be had one by one, and which is a gzipped tar to everybody else.

Every file's bytes begin a gzip member of their own; behind the files comes a table of contents as one more file, and a
footer that says where that begins (github.com/containerd/stargz-snapshotter, docs/estargz.md). The table is part of
the tar, so the layer has another diff ID than the plain one.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.storage import tarread
from nakagin.storage.tarread import Entry, TarReader
from nakagin.storage.tarwrite import END, header, padding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nakagin.storage.compression import Readable

TABLE = b"stargz.index.json"
CHUNK = 4 << 20
_GZIP = 31  # zlib's word for gzip with the largest window
_HOLE = bytes(1 << 16)
_KINDS = {
    tarread.FILE: "reg", tarread.LINK: "hardlink", tarread.SYMLINK: "symlink", tarread.DIRECTORY: "dir",
    tarread.CHARACTER: "char", tarread.BLOCKDEV: "block", tarread.FIFO: "fifo",
}  # fmt: skip


class Written(NamedTuple):
    """The diff ID of the layer, the digest of its table of contents, and its length without compression."""

    diff_id: str
    table: str
    length: int


def write(plain: Readable, out: Callable[[bytes], object], *, level: int = 6) -> Written:
    """The layer tar `plain` as eStargz into `out`. Raises Damaged."""
    members = _Members(out, level)
    table: list[dict[str, object]] = []
    reader = TarReader(plain)
    for entry in reader:
        if entry.name.strip(b"./") == TABLE:
            continue  # of an earlier life as eStargz
        members.write(header(entry))
        described = _described(entry)
        table.append(described)
        if entry.type == tarread.FILE:
            table += _content(members, entry, described, _whole(entry, reader))
            members.write(padding(entry.size))
    document = msgspec.json.encode({"version": 1, "entries": table})
    begin = members.end()
    last = Entry(TABLE, tarread.FILE, 0o444)
    last.size = len(document)
    members.write(header(last) + document + padding(len(document)) + END)
    members.end()
    out(_footer(begin))
    return Written(
        f"sha256:{members.check.hexdigest()}",
        f"sha256:{hashlib.sha256(document).hexdigest()}",
        members.length,
    )


class _Members:
    """A stream of gzip members; `check` is the digest of what they hold."""

    def __init__(self, out: Callable[[bytes], object], level: int) -> None:
        self._out = out
        self._level = level
        self._gzip: zlib._Compress | None = None
        self._written = 0
        self.length = 0
        self.check = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Go on in the present member, or begin one."""
        if not data:
            return
        if self._gzip is None:
            self._gzip = zlib.compressobj(self._level, zlib.DEFLATED, _GZIP)
        self.check.update(data)
        self.length += len(data)
        self._emit(self._gzip.compress(data))

    def end(self) -> int:
        """End the present member; where the next one will begin."""
        if self._gzip is not None:
            self._emit(self._gzip.flush())
            self._gzip = None
        return self._written

    def _emit(self, data: bytes) -> None:
        if data:
            self._out(data)
            self._written += len(data)


def _content(
    members: _Members, entry: Entry, described: dict[str, object], pieces: Iterator[bytes]
) -> Iterator[dict[str, object]]:
    """Write a file's bytes in chunks; `described` gets what is known of the first, and a row comes for each further."""
    whole = hashlib.sha256()
    row = described
    at = 0
    for chunk in _chunks(pieces):
        row["offset"] = members.end()
        members.write(chunk)
        whole.update(chunk)
        row["chunkDigest"] = f"sha256:{hashlib.sha256(chunk).hexdigest()}"
        if entry.size > CHUNK:
            row["chunkSize"] = len(chunk) if at + len(chunk) < entry.size else 0
        if row is not described:
            row["chunkOffset"] = at
            yield row
        at += len(chunk)
        row = {"name": described["name"], "type": "chunk"}
    described["digest"] = f"sha256:{whole.hexdigest()}"


def _chunks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= CHUNK:
            yield bytes(buffer[:CHUNK])
            del buffer[:CHUNK]
    if buffer:
        yield bytes(buffer)


def _whole(entry: Entry, reader: TarReader) -> Iterator[bytes]:
    """The bytes of a file, holes as zeros."""
    if entry.segments is None:
        yield from map(bytes, reader.chunks())
        return
    stored = b"".join(reader.chunks())
    at = taken = 0
    for offset, length in entry.segments:
        yield from _zeros(offset - at)
        yield stored[taken : taken + length]
        at, taken = offset + length, taken + length
    yield from _zeros(entry.size - at)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield _HOLE[:count]
        count -= len(_HOLE)


def _described(entry: Entry) -> dict[str, object]:
    name = entry.name.decode(errors="surrogateescape").removeprefix("./")
    moment = datetime.fromtimestamp(entry.mtime_ns // 10**9, UTC).isoformat().replace("+00:00", "Z")
    found: dict[str, object] = {
        "name": name.encode(errors="replace").decode(),
        "type": _KINDS.get(entry.type, "reg"),
        "modtime": moment,
        "mode": entry.mode,
    }
    more: dict[str, object] = {
        "size": entry.size if entry.type == tarread.FILE else 0,
        "linkName": entry.linkname.decode(errors="replace"),
        "uid": entry.uid,
        "gid": entry.gid,
        "devMajor": entry.major,
        "devMinor": entry.minor,
        "xattrs": {
            key.decode(errors="replace"): base64.b64encode(value).decode()
            for key, value in entry.xattrs.items()
        },
    }
    return {**found, **{key: value for key, value in more.items() if value}}


def _footer(begin: int) -> bytes:
    """An empty gzip member of 51 bytes with the place of the table in its extra field."""
    word = b"%016xSTARGZ" % begin
    extra = b"SG" + len(word).to_bytes(2, "little") + word
    head = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff" + len(extra).to_bytes(2, "little") + extra
    return head + b"\x01\x00\x00\xff\xff" + bytes(8)
