"""Names that must stay while they belong to no image yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable


class Keeping:
    """Counts the names it keeps; see Images.keeping."""

    def __init__(self, lock: threading.RLock, pinned: dict[str, int], collect: Callable[[], None]) -> None:
        self._lock = lock
        self._pinned = pinned
        self._collect = collect
        self._mine: list[str] = []

    def __enter__(self) -> Callable[[str], None]:
        return self._keep

    def _keep(self, name: str) -> None:
        with self._lock:
            self._pinned[name] = self._pinned.get(name, 0) + 1
            self._mine.append(name)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for name in self._mine:
                self._pinned[name] -= 1
                if not self._pinned[name]:
                    del self._pinned[name]
        self._collect()
