"""What an engine does beside its verbs for its data root: housekeeping, disk usage, the check of the store."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from typing import TYPE_CHECKING, Any

from nakagin.build import cleanup
from nakagin.errors import NakaginError
from nakagin.images.cleanup import make_room
from nakagin.images.fsck import examine, repair
from nakagin.kernel import heap
from nakagin.storage.usage import disk_usage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nakagin.engine import Engine
    from nakagin.images.fsck import Finding, Refetch
    from nakagin.images.model import Image
    from nakagin.images.space import Space

log = logging.getLogger("nakagin.upkeep")

_TIDYING = 1.0  # seconds between looks at the trash
_SETTLING = (
    10  # every how many of them what came in is put on disk, and the disk's high-water mark is looked at
)
_HOUSEKEEPING = (
    60  # and the database's log is written back, unused layers are deleted, free memory is given back
)
_FORGOTTEN = 24 * 3600.0  # seconds after which half a pull that nobody goes on with is given up
_BREATH = 0.05  # how far below the high-water mark a clean-up goes


class Upkeep:
    """One engine's. `refetch` fetches a damaged blob again."""

    def __init__(self, engine: Engine, high_water: float | None, refetch: Refetch) -> None:
        self._refetch = refetch
        self._engine = engine
        self._high_water = high_water

    # --- Housekeeping

    async def run(self) -> None:
        """What waits for the disk is done now and then in a worker thread, never by a verb."""
        for turn in itertools.count(1):
            await asyncio.sleep(_TIDYING)
            try:
                await self._turn(turn)
            except (NakaginError, OSError) as error:
                log.warning("housekeeping failed: %s", error)

    async def _turn(self, turn: int) -> None:
        engine = self._engine
        if not engine.trash.is_empty:
            await asyncio.to_thread(engine.snapshots.empty_trash)
        if not engine.run_trash.is_empty:
            await asyncio.to_thread(engine.run_trash.empty)
        if turn % _SETTLING == 0:
            if engine.images.unsettled:
                await asyncio.to_thread(engine.images.settle)
            await self._watch_disk()
            await asyncio.to_thread(engine.volumes.check_limits)
        if turn % _HOUSEKEEPING == 0:
            engine.partials.sweep(_FORGOTTEN)
            engine.images.unfinished.sweep(_FORGOTTEN)
            engine.images.remember_uses()
            await self._bound_cache()
            await asyncio.to_thread(engine.images.collect)
            await asyncio.to_thread(engine.records.checkpoint)
            heap.trim()

    async def settle(self) -> None:
        """Before the engine ends: everything on disk and written down."""
        images = self._engine.images
        images.remember_uses()
        if images.unsettled:
            await asyncio.to_thread(images.settle)

    async def _watch_disk(self) -> None:
        """Above the high-water mark, what is half fetched goes, then the build cache, then unused images, each the
        longest unused first."""
        mark = self._high_water
        if mark is None or self._fill() < mark:
            return
        self._engine.partials.sweep(0.0)

        def is_enough() -> bool:
            return self._fill() < mark - _BREATH

        cached = await asyncio.to_thread(cleanup.make_room, self._engine.builder, is_enough)
        if cached:
            log.warning(
                "the disk was more than %.0f %% full: removed %d from the build cache",
                mark * 100,
                len(cached),
            )
        if is_enough():
            return
        gone = await asyncio.to_thread(make_room, self._engine.images, is_enough)
        if gone:
            log.warning("the disk was more than %.0f %% full: removed %s", mark * 100, ", ".join(gone))
            for name in gone:
                self._engine.events.publish("image", "delete", name, {"name": name, "reason": "high-water"})
        else:
            log.warning("the disk is more than %.0f %% full, and no image is unused", mark * 100)

    async def _bound_cache(self) -> None:
        """After builds, what `builder.gc` does not let the build cache keep."""
        builder = self._engine.builder
        if not builder.cache.changed:
            return
        builder.cache.changed = False
        space = os.statvfs(self._engine.settings.data_root)
        for limits in self._engine.settings.builder.gc.limits(space.f_blocks * space.f_frsize):
            gone, freed = await asyncio.to_thread(cleanup.prune, builder, limits)
            if gone:
                log.info("the build cache was too large: removed %d things, %d bytes", len(gone), freed)

    def _fill(self) -> float:
        """The share of the disk that is taken, as df(1) shows it."""
        space = os.statvfs(self._engine.settings.data_root)
        taken = space.f_blocks - space.f_bfree
        return taken / max(taken + space.f_bavail, 1)

    # --- Disk usage

    async def disk_usage(self) -> dict[str, Any]:
        """The document of GET /system/df: what du(1) would say. Walks trees in worker threads."""
        engine = self._engine
        containers = await engine.containers.list(all=True, size=True)
        for each in containers:
            each["SizeRw"] = await asyncio.to_thread(self._container_space, each["Id"])
        volumes = await asyncio.to_thread(engine.volumes.disk_usage)
        spaces = await asyncio.to_thread(engine.images.spaces)
        cache = await asyncio.to_thread(cleanup.stored, engine.builder)
        results = cleanup.own_size(each for each in cache if each.type == cleanup.REGULAR)
        stored = await asyncio.to_thread(engine.images.disk_usage) - results
        return {
            "LayersSize": stored + engine.partials.usage(),
            "Images": [
                _image_usage(image, spaces[image.id], containers)
                for image in engine.images.list(hidden=False)
                if image.id in spaces
            ],
            "Containers": containers,
            "Volumes": volumes,
            "BuildCache": [each.document() for each in cache],
            "BuilderSize": cleanup.own_size(cache),
        }

    def _container_space(self, id: str) -> int:
        """Its writable layer, log and settings."""
        root = self._engine.settings.data_root
        return disk_usage(os.path.join(root, "snapshots", id), os.path.join(root, "containers", id))

    # --- The check of the store

    async def fsck(self, *, dry_run: bool) -> AsyncIterator[Finding]:
        """What is wrong with the store, each with what its repair came to (unless `dry_run`). Reads every blob."""
        engine = self._engine
        found = await asyncio.to_thread(examine, engine.images, engine.snapshots, engine.containers.ids())
        for finding in found:
            if dry_run:
                yield finding
            else:
                yield await repair(finding, engine.images, engine.snapshots, self._refetch)


def _image_usage(image: Image, space: Space, containers: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "Id": image.id,
        "ParentId": image.record.parent,
        "RepoTags": list(image.repo_tags),
        "RepoDigests": list(image.repo_digests),
        "Created": int(image.created_at.timestamp()) if image.created_at.year > 1 else 0,
        "Size": space.size,
        "SharedSize": space.shared,
        "Labels": dict(image.labels),
        "Containers": sum(each["ImageID"] == image.id for each in containers),
    }
