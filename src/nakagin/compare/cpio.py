"""The archive that a Linux kernel unpacks into memory as its first root file system."""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


class Archive:
    """A cpio archive in the "newc" format (kernel documentation, early-userspace/buffer-format)."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._known: set[str] = set()

    def file(self, path: Path) -> None:
        """Add a file of the host under its own path; links are followed."""
        status = path.stat()
        self._add(
            str(path), stat.S_IFREG | stat.S_IMODE(status.st_mode), path.read_bytes(), int(status.st_mtime)
        )

    def text(self, path: str, text: str | bytes, mode: int = 0o644) -> None:
        """Add a new file."""
        self._add(path, stat.S_IFREG | mode, text if isinstance(text, bytes) else text.encode())

    def folder(self, path: str) -> None:
        """Add an empty folder."""
        self._add(path, stat.S_IFDIR | 0o755, b"")

    def device(self, path: str, major: int, minor: int) -> None:
        """Add a character device."""
        self._add(path, stat.S_IFCHR | 0o600, b"", 0, major, minor)

    def packed(self) -> bytes:
        """The whole archive."""
        self._add("/TRAILER!!!", 0, b"")
        return b"".join(self._parts)

    def _add(self, path: str, mode: int, data: bytes, time: int = 0, major: int = 0, minor: int = 0) -> None:
        if path in self._known:
            return
        self._known.add(path)
        parent = os.path.dirname(path)
        if parent != "/":
            self.folder(parent)
        name = path[1:].encode() + b"\0"
        fields = (len(self._known), mode, 0, 0, 1, time, len(data), 0, 0, major, minor, len(name), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        self._parts += [head, b"\0" * (-len(head) % 4), data, b"\0" * (-len(data) % 4)]
