"""What is at a path in a container, as the archive API tells it in a header."""

from __future__ import annotations

import base64
import json
import stat

from nakagin.errors import Damaged

HEADER = "x-docker-container-path-stat"

# Go's os.FileMode has its own bits above the permissions.
_TYPES = (
    (1 << 31, stat.S_IFDIR),
    (1 << 27, stat.S_IFLNK),
    (1 << 21, stat.S_IFCHR),
    (1 << 26, stat.S_IFBLK),
    (1 << 25, stat.S_IFIFO),
    (1 << 24, stat.S_IFSOCK),
)
_BITS = ((1 << 23, stat.S_ISUID), (1 << 22, stat.S_ISGID), (1 << 20, stat.S_ISVTX))


class PathStat:
    """`mode` is as os.stat has it; `link_target` is where a link leads inside, from the root ("" for no link)."""

    __slots__ = ("link_target", "mode", "mtime", "name", "size")

    def __init__(self, name: str, size: int, mode: int, mtime: str, link_target: str) -> None:
        self.name = name
        self.size = size
        self.mode = mode
        self.mtime = mtime
        self.link_target = link_target

    @classmethod
    def decode(cls, header: str) -> PathStat:
        """From the header's text. Raises Damaged."""
        try:
            found = json.loads(base64.b64decode(header))
            go = int(found["mode"])
            mode = go & 0o777 | sum(bit for flag, bit in _BITS if go & flag)
            mode |= next((kind for flag, kind in _TYPES if go & flag), stat.S_IFREG)
            return cls(
                str(found["name"]),
                int(found["size"]),
                mode,
                str(found.get("mtime", "")),
                found.get("linkTarget") or "",
            )
        except (ValueError, KeyError, TypeError):
            raise Damaged(f"the engine's answer about a path is not readable: {header[:100]!r}") from None

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    def __repr__(self) -> str:
        return f"PathStat({self.name!r}, {self.size}, {stat.filemode(self.mode)})"
