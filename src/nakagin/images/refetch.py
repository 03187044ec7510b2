"""A damaged or missing blob fetched again from where its image came from: what `fsck` repairs with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nakagin.errors import NakaginError
from nakagin.images.fetch import Origin
from nakagin.registry.model import Descriptor
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.images.arrival import Arrivals
    from nakagin.images.progress import State
    from nakagin.registry.client import Registry
    from nakagin.registry.registries import Registries
    from nakagin.storage.blobs import Blobs

_ANY = "application/octet-stream"


class Refetching:
    """Asks the repositories that an image is known to be in, anonymously: nobody's login is at hand in a check."""

    def __init__(self, blobs: Blobs, registries: Registries, arrivals: Arrivals) -> None:
        self._blobs = blobs
        self._registries = registries
        self._arrivals = arrivals

    async def __call__(self, names: Sequence[str], digest: str, described: Descriptor | None = None) -> bool:
        """Whether the blob (a layer, config, manifest or index) is here again, whole. `names` say the repositories,
        and a layer `described` by a manifest may have URLs. What was damaged stays where it cannot be had."""
        path = self._blobs.path(digest)
        aside = os.path.join(self._blobs.temporary, os.path.basename(path) + ".damaged")
        is_damaged = os.path.exists(path)
        if is_damaged:
            os.rename(path, aside)
        found = False
        try:
            found = await self._fetched(names, digest) or await self._elsewhere(described)
        finally:
            if is_damaged and not found:
                os.rename(aside, path)
            elif is_damaged:
                os.unlink(aside)
        return found

    async def _fetched(self, names: Sequence[str], digest: str) -> bool:
        repositories = {reference.name: reference for reference in map(Reference.parse, names)}
        for reference in repositories.values():
            for source in self._registries.sources(reference.domain):
                try:
                    await self._from(source, reference.path, digest)
                except NakaginError:
                    continue
                return True
        return False

    async def _elsewhere(self, layer: Descriptor | None) -> bool:
        places = self._registries.elsewhere(layer.urls or ()) if layer else ()
        if layer is None or not places:
            return False
        try:
            await self._arrivals.blob(Origin((), "", places), layer, _deaf)
        except NakaginError:
            return False
        return True

    async def _from(self, source: Registry, repository: str, digest: str) -> None:
        size = await source.blob_size(repository, digest)
        if size is not None:
            await self._arrivals.blob(Origin([source], repository), Descriptor(_ANY, digest, size), _deaf)
            return
        content = await source.get_manifest(repository, digest)
        with self._blobs.writer(digest) as writer:
            writer.write(content.data)
            writer.commit()


def _deaf(state: State) -> None:
    """Nobody watches."""
