"""How many bytes may be stored, in all and per repository. Counted only where there is a bound."""

from __future__ import annotations

import threading
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from nakagin.registry.server.refusals import denied
from nakagin.registry.server.settings import Quota, size_of

if TYPE_CHECKING:
    from nakagin.registry.server.repositories import Repositories
    from nakagin.storage.blobs import Blobs


class Quotas:
    """The bounds and what is used of them. A blob counts in every repository it belongs to, but once in all."""

    def __init__(self, quota: Quota, blobs: Blobs, repositories: Repositories) -> None:
        self._total = size_of(quota.total)
        self._patterns = [(pattern, size_of(text)) for pattern, text in quota.repositories.items()]
        self._blobs = blobs
        self._repositories = repositories
        self._lock = threading.Lock()
        self._used: dict[str, int] = {}

    def bound(self, repository: str) -> int:
        """The bytes a repository may have; 0 is no bound."""
        return next((most for pattern, most in self._patterns if fnmatchcase(repository, pattern)), 0)

    def check(self, repository: str, size: int, *, known: bool = False) -> None:
        """Refusal DENIED where `size` bytes more are too many; `known`: the registry has them elsewhere. Long at
        the first time."""
        if (most := self.bound(repository)) and (used := self._of(repository, self._count)) + size > most:
            raise denied(
                f"the quota of {repository} is {most} bytes, and {used} are used",
                {"quota": most, "used": used, "requested": size},
            )
        if self._total and not known and (used := self._of("", self._count_all)) + size > self._total:
            raise denied(
                f"the registry's quota is {self._total} bytes, and {used} are used",
                {"quota": self._total, "used": used, "requested": size},
            )

    def _of(self, key: str, count: Callable[[str], int]) -> int:
        with self._lock:
            if key not in self._used:
                self._used[key] = count(key)
            return self._used[key]

    def _count(self, repository: str) -> int:
        found = self._repositories.get(repository)
        digests = {*found.blobs(), *found.manifests()}
        return sum(self._blobs.size(digest) for digest in digests if self._blobs.exists(digest))

    def _count_all(self, _: str) -> int:
        return sum(self._blobs.size(digest) for digest in self._blobs.all() if self._blobs.exists(digest))

    def added(self, repository: str, size: int, *, known: bool) -> None:
        """A blob has come to belong to a repository."""
        with self._lock:
            for key in (repository,) if known else (repository, ""):
                if key in self._used:
                    self._used[key] += size

    def forget(self) -> None:
        """Something was deleted: count again when asked."""
        with self._lock:
            self._used.clear()
