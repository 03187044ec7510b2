"""What steps made, kept by the content they were made of, so that the same step need not run again."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import msgspec

from nakagin.images.model import StoredLayer, timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nakagin.storage.blobs import Blobs
    from nakagin.storage.layers import Layers
    from nakagin.storage.records import Records

KIND = "build-cache"


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a step. `layer` is None where nothing changed; times are RFC 3339 in UTC."""

    key: str = ""
    chain: str = ""
    layer: StoredLayer | None = None
    text: str = ""
    created: str = ""
    used: str = ""
    uses: int = 0
    parts: tuple[tuple[str, str], ...] = ()
    """What the key was made of, each part by name as a short digest: to say later what has changed."""


_decode = msgspec.json.Decoder(Made).decode


def key_of(parts: object) -> str:
    """A digest of plain data: strings, numbers, lists and dicts."""
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


class Cache:
    """All kept results of one engine."""

    def __init__(self, records: Records, layers: Layers, blobs: Blobs) -> None:
        self._records = records
        self._layers = layers
        self._blobs = blobs
        self.changed = True
        """Whether anything came in since somebody set this to False."""
        self._made = {made.key: made for made in (_decode(data) for _, data in records.all(KIND))}

    def find(self, key: str) -> Made | None:
        """What this step made before, if its layer is still here."""
        made = self._made.get(key)
        if made is None:
            return None
        if made.chain and not self._layers.exists(made.chain):
            return None
        if made.layer is not None and not self._blobs.exists(made.layer.digest):
            return None
        return self._put(msgspec.structs.replace(made, used=timestamp(time.time()), uses=made.uses + 1))

    def get(self, key: str) -> Made | None:
        """What is known of a key, whether its layer is still here or not."""
        return self._made.get(key)

    def keep(self, made: Made) -> Made:
        """Remember a result."""
        self.changed = True
        now = timestamp(time.time())
        return self._put(msgspec.structs.replace(made, created=made.created or now, used=now))

    def _put(self, made: Made) -> Made:
        self._made[made.key] = made
        self._records.put(KIND, made.key, msgspec.json.encode(made))
        return made

    def all(self) -> list[Made]:
        """Every result, the least recently used first."""
        return sorted(self._made.values(), key=lambda made: made.used)

    def forget(self, keys: Iterable[str]) -> None:
        """The next collection of the library then deletes what nothing else needs."""
        for key in keys:
            if self._made.pop(key, None) is not None:
                self._records.delete(KIND, key)

    def forget_layerless(self, *, lost: bool = False) -> None:
        """Forget the steps that made no layer: times, and that nothing changed. With `lost`, only those that stand
        on a layer that is gone."""
        found = [made for made in self._made.values() if made.layer is None]
        self.forget(
            made.key for made in found if not lost or (made.chain and not self._layers.exists(made.chain))
        )

    def needed(self) -> set[str]:
        """The chain IDs and blob digests that must stay."""
        return {
            name
            for made in self._made.values()
            if made.layer is not None
            for name in (made.chain, made.layer.digest)
        }
