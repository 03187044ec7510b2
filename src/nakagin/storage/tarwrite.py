"""Deterministic tar headers: the same entry gives the same bytes, ustar where it fits, pax where not.

Times are whole seconds, as Docker writes layers. The caller puts the data and `padding` after each header.
"""

from __future__ import annotations

from nakagin.storage.tarread import BLOCK, BLOCKDEV, CHARACTER, DIRECTORY, Entry

END = bytes(2 * BLOCK)
_LARGEST_OCTAL = 0o7777777  # what the uid and gid fields hold
_LARGEST_SIZE = 0o77777777777


def header(entry: Entry) -> bytes:
    """The header blocks of an entry (`name` as it is to be written, directories get their slash)."""
    name = entry.name
    if entry.type == DIRECTORY and not name.endswith(b"/"):
        name += b"/"
    extra: dict[bytes, bytes] = {}
    prefix = b""
    if not name.isascii():
        extra[b"path"] = name
    elif len(name) > 100:
        prefix, short = _split(name)
        if prefix:
            name = short
        else:
            extra[b"path"] = name
    if len(entry.linkname) > 100 or not entry.linkname.isascii():
        extra[b"linkpath"] = entry.linkname
    seconds = entry.mtime_ns // 1_000_000_000
    _put(extra, b"uid", entry.uid, _LARGEST_OCTAL)
    _put(extra, b"gid", entry.gid, _LARGEST_OCTAL)
    _put(extra, b"size", entry.size, _LARGEST_SIZE)
    _put(extra, b"mtime", seconds, _LARGEST_SIZE)
    for key, value_bytes in entry.xattrs.items():
        extra[b"SCHILY.xattr." + key] = value_bytes
    blocks = _pax(extra, name) if extra else b""
    return blocks + _ustar(entry, name, prefix, seconds)


def _put(extra: dict[bytes, bytes], key: bytes, value: int, largest: int) -> None:
    if not 0 <= value <= largest:
        extra[key] = b"%d" % value


def padding(size: int) -> bytes:
    """The zeros after `size` bytes of data."""
    return bytes(-size % BLOCK)


def _split(name: bytes) -> tuple[bytes, bytes]:
    """ustar's prefix and name, or ("", name) where it does not fit."""
    at = name.rfind(b"/", 0, min(156, len(name) - 1))
    if at <= 0 or len(name) - at - 1 > 100:
        return b"", name
    return name[:at], name[at + 1 :]


def _pax(extra: dict[bytes, bytes], name: bytes) -> bytes:
    data = b"".join(_record(key, extra[key]) for key in sorted(extra))
    owner = Entry(b"PaxHeaders.0/" + name.rstrip(b"/").rpartition(b"/")[2][:80], b"x")
    owner.size = len(data)
    return _ustar(owner, owner.name, b"", 0) + data + padding(len(data))


def _record(key: bytes, value: bytes) -> bytes:
    """b"LENGTH KEY=VALUE\\n", the length counting its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _ustar(entry: Entry, name: bytes, prefix: bytes, seconds: int) -> bytes:
    """One block; what does not fit is cut, or zero, and stands in the pax header."""
    head = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        name[:100].ljust(100, b"\0"),
        entry.mode,
        _fitting(entry.uid, _LARGEST_OCTAL),
        _fitting(entry.gid, _LARGEST_OCTAL),
        _fitting(entry.size, _LARGEST_SIZE),
        _fitting(seconds, _LARGEST_SIZE),
    )
    tail = _PLAIN
    if entry.type in (CHARACTER, BLOCKDEV):
        numbers = _fitting(entry.major, _LARGEST_OCTAL), _fitting(entry.minor, _LARGEST_OCTAL)
        tail = _tail(b"", *numbers, prefix)
    elif entry.linkname or prefix:
        tail = _tail(entry.linkname, 0, 0, prefix)
    total = sum(head) + sum(tail) + entry.type[0] + 8 * 0x20  # the sum itself counts as spaces
    return b"%b%06o\0 %b%b" % (head, total, entry.type, tail)


def _fitting(value: int, largest: int) -> int:
    return value if 0 <= value <= largest else 0


def _tail(linkname: bytes, major: int, minor: int, prefix: bytes) -> bytes:
    """All that follows the type: no names of owner and group."""
    return b"".join(
        (
            linkname[:100].ljust(100, b"\0"),
            b"ustar\x0000",
            bytes(64),
            b"%07o\0%07o\0" % (major, minor),
            prefix.ljust(167, b"\0"),
        )
    )


_PLAIN = _tail(b"", 0, 0, b"")
