"""Online garbage collection: frees what nothing leads to while pushes and pulls go on.

    1. a generation begins: from here on, what anybody uses is remembered (leases)
    2. mark: per repository, its manifests and what they need; too old and unneeded links go
    3. sweep: blobs that no repository has any more go, unless young or used
    4. unfinished uploads that nobody continues go

A push keeps its blobs by their youth (`grace`) until its manifest is there; from then on by the manifest.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from nakagin.errors import Damaged, NakaginError
from nakagin.registry.server import files
from nakagin.registry.server.manifests import Reading
from nakagin.registry.server.metrics import Metrics
from nakagin.registry.server.refusals import Refusal
from nakagin.registry.server.registry import Registry
from nakagin.registry.server.repositories import Repository
from nakagin.registry.server.retention import outdated
from nakagin.registry.server.settings import seconds_of
from nakagin.spec.digest import Digest

log = logging.getLogger("nakagin.registry")


class Report(msgspec.Struct):
    """What a collection did, or would do."""

    tags: list[str] = []
    """Deleted by retention rules, as repository:tag."""
    manifests: list[str] = []
    """As repository@digest."""
    blobs: int = 0
    bytes: int = 0
    uploads: int = 0
    dry_run: bool = False
    seconds: float = 0.0


class _Mark(NamedTuple):
    """One repository's part."""

    needed: set[str]
    unneeded: Sequence[str]
    untagged: Mapping[Digest, str]
    """Manifests that go, with their subjects."""


class Collector:
    """Collects one registry's garbage, one collection at a time."""

    def __init__(self, registry: Registry, metrics: Metrics, clock: Callable[[], float] = time.time) -> None:
        self._registry = registry
        self._metrics = metrics
        self._clock = clock
        self._lock = asyncio.Lock()
        self._grace = seconds_of(registry.settings.gc.grace)
        self._untagged = bool(registry.settings.gc.untagged)

    async def run(self, *, dry_run: bool = False) -> Report:
        """Collect; `dry_run` only says what would be."""
        async with self._lock:
            began = time.monotonic()
            report = Report(dry_run=dry_run)
            with self._registry.leases.generation():
                needed = await self._mark(report)
                await asyncio.to_thread(self._sweep, needed, report)
            report.seconds = round(time.monotonic() - began, 3)
            if not dry_run:
                await asyncio.to_thread(self._tidy, report)
                self._metrics.collections += 1
                self._metrics.collected_blobs += report.blobs
                self._metrics.collected_bytes += report.bytes
            log.info(
                "collected %d tags, %d manifests, %d blobs of %d bytes, %d uploads in %.3f s%s",
                len(report.tags), len(report.manifests), report.blobs, report.bytes, report.uploads,
                report.seconds, " (dry run)" if dry_run else "",
            )  # fmt: skip
            return report

    async def every(self, seconds: float) -> None:
        """Collect again and again, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.run()
            except (OSError, NakaginError, Refusal) as error:
                log.error("the collection failed and comes again: %s", error)

    async def _mark(self, report: Report) -> set[str]:
        needed: set[str] = set()
        for repository in await asyncio.to_thread(lambda: list(self._registry.repositories.all())):
            lock = self._registry.lock(repository.name)
            async with lock:
                gone = await asyncio.to_thread(self._retire, repository, report)
            mark = await asyncio.to_thread(self._mark_one, repository, gone)
            async with lock:
                await asyncio.to_thread(self._unlink, repository, mark, report)
            needed |= mark.needed
        return needed

    def _retire(self, repository: Repository, report: Report) -> set[str]:
        """Delete the tags that the retention rules give up."""
        tags = [(tag, repository.tag_time(tag) or 0.0) for tag in repository.tags()]
        gone = outdated(repository.name, tags, self._registry.settings.retention, self._clock())
        for tag in sorted(gone):
            report.tags.append(f"{repository.name}:{tag}")
            if not report.dry_run:
                repository.delete_tag(tag)
        return gone

    def _mark_one(self, repository: Repository, gone: set[str]) -> _Mark:
        """What the manifests of a repository need, and what nothing needs."""
        manifests = repository.manifests()
        readings: dict[str, Reading] = {}
        for digest in manifests:
            try:
                readings[digest] = self._registry.reading(repository, digest)
            except Damaged as error:
                log.error("nothing of %s is collected: %s", repository.name, error)
                return _Mark({*manifests, *repository.blobs()}, (), {})
            except Refusal:  # deleted meanwhile, or damaged: it leads nowhere
                continue
        living = self._living(repository, readings, gone) if self._untagged else set(manifests)
        needed = {*living, *(each for digest in living & readings.keys() for each in readings[digest].needs)}
        unneeded = [digest for digest in repository.blobs() if digest not in needed]
        gone_too = {
            each: readings[each].subject for each in manifests if each not in living and each in readings
        }
        return _Mark(needed, unneeded, gone_too)

    def _living(self, repository: Repository, readings: dict[str, Reading], gone: set[str]) -> set[str]:
        """The manifests that a tag leads to, that are young, that belong to an index, or refer to one that lives."""
        roots = {repository.tag(tag) for tag in repository.tags() if tag not in gone}
        age = seconds_of(self._registry.settings.gc.untagged)
        living = {
            each for each in readings if each in roots or self._is_young(repository.manifest_time(each), age)
        }
        while True:
            more = {child for digest in living for child in readings[digest].manifests if child in readings}
            more |= {digest for digest, reading in readings.items() if reading.subject in living}
            if more <= living:
                return living
            living |= more

    def _unlink(self, repository: Repository, mark: _Mark, report: Report) -> None:
        """Take out of a repository what nothing in it needs; what has to stay is needed after all."""
        for digest, subject in mark.untagged.items():
            if report.dry_run or self._registry.leases.delete(
                digest, partial(repository.unlink_manifest, digest)
            ):
                report.manifests.append(f"{repository.name}@{digest}")
                if subject and not report.dry_run:
                    repository.drop_referrer(subject, digest)
            else:
                mark.needed.add(digest)
        for blob in mark.unneeded:
            unlink = partial(repository.unlink_blob, blob)
            young = self._is_young(repository.blob_time(blob), self._grace)
            if young or not (report.dry_run or self._registry.leases.delete(blob, unlink)):
                mark.needed.add(blob)

    def _is_young(self, moment: float | None, age: float) -> bool:
        return moment is not None and moment > self._clock() - age

    def _sweep(self, needed: set[str], report: Report) -> None:
        blobs = self._registry.blobs
        for digest in blobs.all():
            if digest in needed:
                continue
            path = blobs.path(digest)
            if self._is_young(files.modified(path), self._grace):
                continue
            size = blobs.size(digest) if blobs.exists(digest) else 0
            if report.dry_run or self._registry.leases.delete(digest, partial(files.remove, path)):
                report.blobs += 1
                report.bytes += size
        if not report.dry_run:
            self._registry.quotas.forget()

    def _tidy(self, report: Report) -> None:
        before = self._clock() - seconds_of(self._registry.settings.gc.uploads)
        report.uploads = self._registry.uploads.expire(before)
        self._registry.repositories.tidy()
