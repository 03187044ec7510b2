"""Pulls under way, on record: what they have brought in so far belongs to no image yet and must still stay.

A pull that failed, or whose engine was killed, leaves its entry, so that the next one goes on from there.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import msgspec

from nakagin.storage.boot import boot_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nakagin.storage.records import Records

KIND = "pull"


class Pull(msgspec.Struct, frozen=True):
    """One pull: the digests and chain IDs that it needs, when it began (seconds since the epoch), in which boot."""

    names: tuple[str, ...]
    began: float
    boot: str = ""


_decode = msgspec.json.Decoder(Pull).decode


class Unfinished:
    """What pulls that have not come to their end need. Usable from any thread."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._lock = threading.Lock()
        self._pulls = {id: _decode(data) for id, data in records.all(KIND)}
        # Nobody waited for the disk: after a crash of the machine, blobs may be there by name and not in full.
        for id in [id for id, pull in self._pulls.items() if pull.boot != boot_id()]:
            self.finish(id)

    def begin(self, manifest: str, names: Iterable[str]) -> None:
        """Keep what the pull of a manifest (its digest) needs from now on."""
        pull = Pull((manifest, *names), time.time(), boot_id())
        with self._lock:
            self._records.put(KIND, manifest, msgspec.json.encode(pull))
            self._pulls[manifest] = pull

    def finish(self, manifest: str) -> None:
        """The image is complete, and keeps what it needs by itself."""
        with self._lock:
            self._records.delete(KIND, manifest)
            self._pulls.pop(manifest, None)

    def names(self) -> set[str]:
        """Everything that must stay."""
        with self._lock:
            return {name for pull in self._pulls.values() for name in pull.names}

    def sweep(self, older_than: float = 0.0) -> None:
        """Give up what began so many seconds ago."""
        with self._lock:
            for id, pull in list(self._pulls.items()):
                if time.time() - pull.began >= older_than:
                    self._records.delete(KIND, id)
                    del self._pulls[id]
