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
    for key, value, largest in (
        (b"uid", entry.uid, _LARGEST_OCTAL),
        (b"gid", entry.gid, _LARGEST_OCTAL),
        (b"size", entry.size, _LARGEST_SIZE),
        (b"mtime", seconds, _LARGEST_SIZE),
    ):
        if not 0 <= value <= largest:
            extra[key] = b"%d" % value
    for key, value_bytes in entry.xattrs.items():
        extra[b"SCHILY.xattr." + key] = value_bytes
    blocks = _pax(extra, name) if extra else b""
    return blocks + _ustar(entry, name, prefix, seconds)


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
    device = entry.type in (CHARACTER, BLOCKDEV)
    parts = (
        name[:100].ljust(100, b"\0"),
        b"%07o\0" % entry.mode,
        _octal(entry.uid, 8),
        _octal(entry.gid, 8),
        _octal(entry.size, 12),
        _octal(seconds, 12),
        b"        ",
        entry.type,
        entry.linkname[:100].ljust(100, b"\0"),
        b"ustar\x0000",
        bytes(64),
        _octal(entry.major if device else 0, 8),
        _octal(entry.minor if device else 0, 8),
        prefix.ljust(155, b"\0"),
        bytes(12),
    )
    block = b"".join(parts)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _octal(value: int, width: int) -> bytes:
    """Octal digits and a NUL; zero where the value does not fit and stands in the pax header."""
    digits = b"%0*o" % (width - 1, max(value, 0))
    return (digits if len(digits) < width else b"0" * (width - 1)) + b"\0"
