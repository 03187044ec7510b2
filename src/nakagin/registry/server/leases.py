"""What the garbage collector must leave alone: content that somebody is just using.

A collection is a generation: from its beginning on, every digest that is pushed, mounted, found or referred to is
remembered, so that what the collector read of the world before may be old without doing harm. Thread-safe.

    request: hold ─ look ─ link ─ release          either the hold comes first, then nothing is deleted,
    collector:         delete(unless held)         or the deletion does, then the look finds nothing
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class Leases:
    """The digests in use, across all repositories."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._generation: set[str] | None = None

    @contextmanager
    def hold(self, digests: Iterable[str]) -> Iterator[None]:
        """Nothing of these is deleted inside the context, nor by a collection that has already begun."""
        mine = tuple(digests)
        with self._lock:
            self._held.update(mine)
            if self._generation is not None:
                self._generation.update(mine)
        try:
            yield
        finally:
            with self._lock:
                for digest in mine:
                    self._held[digest] -= 1
                    if not self._held[digest]:
                        del self._held[digest]

    def touch(self, digest: str) -> None:
        """Somebody was told that this is here: the present collection keeps it."""
        with self._lock:
            if self._generation is not None:
                self._generation.add(digest)

    @contextmanager
    def generation(self) -> Iterator[None]:
        """A collection; there is one at a time."""
        with self._lock:
            self._generation = set()
        try:
            yield
        finally:
            with self._lock:
                self._generation = None

    def delete(self, digest: str, deed: Callable[[], object]) -> bool:
        """Do the deed unless somebody uses the digest; whether it was done. The deed must be short."""
        with self._lock:
            if digest in self._held or (self._generation is not None and digest in self._generation):
                return False
            deed()
            return True
