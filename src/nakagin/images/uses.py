"""When images were used last: noted in memory at a container's start, written down now and then."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from nakagin.images.model import moment, timestamp

if TYPE_CHECKING:
    from nakagin.images.index import Index
    from nakagin.images.model import Image


class Uses:
    """The last use of every image of an index."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._noted: dict[str, float] = {}

    def note(self, id: str) -> None:
        """A container starts from the image now."""
        self._noted[id] = time.time()

    def write_down(self) -> None:
        """Put what was noted into the records; the caller holds the library's lock and a transaction."""
        noted, self._noted = self._noted, {}
        for id, seconds in noted.items():
            if image := self._index.find(id):
                record = msgspec.structs.replace(image.record, used=timestamp(seconds))
                self._index.update(id, image.config, record)

    def last(self, image: Image) -> float:
        """Seconds since the epoch: of the last start, or where there was none, of coming in or being named."""
        known = moment(image.record.used)
        if known.year == 1:
            known = max(moment(image.record.added), moment(image.record.tagged))
        return max(known.timestamp(), self._noted.get(image.id, 0.0))
