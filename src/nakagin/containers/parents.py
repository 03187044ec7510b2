"""Control groups that others are made in, and that go again with the last of them, unless they were there before."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nakagin.cgroups.layout import Layout


class Parents:
    """Of one engine; not for several threads."""

    def __init__(self, layout: Layout) -> None:
        self._mounts = [mount for mount in (layout.hierarchies or (layout.v2,)) if mount]
        self._users: Counter[str] = Counter()
        self._missing: dict[str, list[str]] = {}

    @contextmanager
    def used(self, path: str) -> Iterator[None]:
        """While the group at `path` ("" or "/" is none) is a parent. What others have put into it stays."""
        path = os.path.normpath(f"/{path}").lstrip("/")
        if path and not self._users[path]:
            self._missing[path] = [each for mount in self._mounts for each in _missing(mount, path)]
        self._users[path] += 1
        try:
            yield
        finally:
            self._users[path] -= 1
            if path and not self._users[path]:
                del self._users[path]
                for folder in self._missing.pop(path):
                    with contextlib.suppress(OSError):  # never made, or not empty: then it is another's
                        os.rmdir(folder)


def _missing(mount: str, path: str) -> list[str]:
    """The directories of the group that are not there, innermost first."""
    found = []
    while path and not os.path.isdir(f"{mount}/{path}"):
        found.append(f"{mount}/{path}")
        path = os.path.dirname(path)
    return found
