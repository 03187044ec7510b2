"""Garbage collection while the registry is used; retention."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.registry.server.box import Image, Served, descriptor, digest_of, make_image, make_index

from nakagin.registry.server.collect import Collector, Report
from nakagin.registry.server.metrics import Metrics
from nakagin.spec.image import MEDIA_INDEX


def collect(registry: Served, *, dry_run: bool = False, clock: Callable[[], float] = time.time) -> Report:
    """A collection inside the running registry, at the time the clock says."""
    metrics = Metrics()

    async def run() -> Report:
        door = registry.service.registry
        return await Collector(door, metrics, clock).run(dry_run=dry_run)

    return asyncio.run_coroutine_threadsafe(run(), registry.loop).result(60)


def later(seconds: float) -> Callable[[], float]:
    return lambda: time.time() + seconds


def stored(registry: Served) -> set[str]:
    """The digests of all blobs on disk."""
    root = Path(registry.settings.root) / "blobs"
    return {f"{path.parent.name}:{path.name}" for path in root.glob("*/*")}


def test_only_what_nothing_leads_to_goes(own: Callable[..., Served]) -> None:
    registry = own()
    kept, gone = make_image(), make_image()
    shared = registry.push_blob(b"shared", "one")
    registry.push_blob(b"shared", "two")
    registry.push(kept, "v1", "one")
    registry.push(gone, "v1", "two")
    registry.ask("DELETE", f"/v2/two/manifests/{gone.digest}")
    dry = collect(registry, dry_run=True, clock=later(1))
    assert dry.blobs == 5  # a config, two layers, the manifest, and "shared"
    registry.check(kept, "v1", "one")
    done = collect(registry, clock=later(1))
    assert (done.blobs, done.bytes) == (dry.blobs, dry.bytes)
    assert stored(registry) == {kept.digest, *map(digest_of, kept.blobs)}
    registry.check(kept, "v1", "one")
    registry.get(f"/v2/one/blobs/{shared}").fails(404, "BLOB_UNKNOWN")
    assert collect(registry, clock=later(1)).blobs == 0


def test_after_deleting_everything_the_root_is_empty(own: Callable[..., Served]) -> None:
    registry = own()
    images = [make_image() for _ in range(3)]
    for number, image in enumerate(images):
        registry.push(image, "v1", f"deep/er/{number}")
        registry.ask("DELETE", f"/v2/deep/er/{number}/manifests/{image.digest}")
    registry.begin()
    collect(registry, clock=later(30 * 86400))
    root = Path(registry.settings.root)
    files = [path for path in root.rglob("*") if not path.is_dir() and path.name not in ("lock", "control")]
    assert files == []
    assert not list((root / "repositories").iterdir())
    assert not list((root / "uploads").iterdir())


def test_the_young_stay(own: Callable[..., Served]) -> None:
    registry = own(gc={"grace": "1h", "interval": ""})
    digest = registry.push_blob(b"waiting for its manifest")
    assert collect(registry, clock=later(3500)).blobs == 0
    assert registry.get(f"/v2/app/blobs/{digest}").status == 200
    assert collect(registry, clock=later(3700)).blobs == 1
    registry.get(f"/v2/app/blobs/{digest}").fails(404, "BLOB_UNKNOWN")


def test_who_finds_a_blob_may_rely_on_it(own: Callable[..., Served]) -> None:
    """A client asks first and sends only what is missing: what it found must not go before its manifest comes."""
    registry = own(gc={"grace": "1h", "interval": ""})
    digest = registry.push_blob(b"old")
    root = Path(registry.settings.root)
    for path in root.rglob(digest.partition(":")[2]):
        os.utime(path, (1, 1))
    assert registry.ask("HEAD", f"/v2/app/blobs/{digest}").status == 200
    assert collect(registry).blobs == 0
    for path in root.rglob(digest.partition(":")[2]):
        os.utime(path, (1, 1))
    mounted = registry.ask("POST", f"/v2/other/blobs/uploads/?mount={digest}&from=app")
    assert mounted.status == 201
    collect(registry)
    assert registry.get(f"/v2/other/blobs/{digest}").body == b"old"


def test_manifests_without_a_tag(own: Callable[..., Served]) -> None:
    registry = own(gc={"grace": "0s", "interval": "", "untagged": "1h"})
    tagged, loose, child = make_image(), make_image(), make_image()
    registry.push(tagged, "v1")
    registry.push(loose, "moves")
    registry.push(make_image(), "moves")
    registry.push(child, "child")
    index = make_index(child)
    registry.push_manifest(index, "all", media_type=MEDIA_INDEX)
    registry.ask("DELETE", "/v2/app/manifests/child")
    note = make_image(1, subject=descriptor(tagged.manifest, tagged.media_type))
    stale = make_image(1, subject=descriptor(loose.manifest, loose.media_type))
    for each in (note, stale):
        registry.push(each, "note")
        registry.ask("DELETE", "/v2/app/manifests/note")
    assert collect(registry, clock=later(3500)).manifests == []
    done = collect(registry, clock=later(3700))
    assert set(done.manifests) == {f"app@{loose.digest}", f"app@{stale.digest}"}
    for image in (tagged, child, note):
        registry.check(image)
    assert registry.get(f"/v2/app/referrers/{loose.digest}").json["manifests"] == []
    assert len(registry.get(f"/v2/app/referrers/{tagged.digest}").json["manifests"]) == 1


def test_retention(own: Callable[..., Served]) -> None:
    rules: list[dict[str, Any]] = [
        {"repositories": ["ci/*"], "tags": ["build-*"], "keep": 2, "older_than": "1h"}
    ]
    registry = own(retention=rules, gc={"grace": "0s", "interval": "", "untagged": "1s"})
    image = make_image()
    for number in range(5):
        registry.push(image, f"build-{number}", "ci/app")
    registry.push(image, "stable", "ci/app")
    registry.push(image, "build-0", "other")
    assert collect(registry).tags == []
    assert len(collect(registry, dry_run=True, clock=later(3700)).tags) == 3
    assert collect(registry, clock=later(3700)).tags == [f"ci/app:build-{number}" for number in range(3)]
    assert registry.get("/v2/ci/app/tags/list").json["tags"] == ["build-3", "build-4", "stable"]
    assert registry.get("/v2/other/tags/list").json["tags"] == ["build-0"]
    registry.check(image, "stable", "ci/app")


def test_unfinished_uploads_expire(own: Callable[..., Served]) -> None:
    registry = own(gc={"interval": "", "uploads": "1h"})
    location = registry.begin()
    registry.ask("PATCH", location, b"x" * 100)
    assert collect(registry, clock=later(3500)).uploads == 0
    assert registry.get(location).status == 204
    assert collect(registry, clock=later(3700)).uploads == 1
    registry.get(location).fails(404, "BLOB_UPLOAD_UNKNOWN")


def test_a_damaged_manifest_keeps_its_repository(own: Callable[..., Served]) -> None:
    """Nobody knows what it needs; so nothing of its repository goes, and the others are collected as ever."""
    registry = own()
    image, other = make_image(), make_image()
    registry.push(image, "v1", "damaged")
    registry.push(other, "v1", "sound")
    loose = registry.push_blob(b"loose", "sound")
    blob = Path(registry.settings.root) / "blobs" / image.digest.replace(":", "/")
    blob.write_bytes(b"bit rot")
    assert registry.get("/v2/damaged/manifests/v1").status == 500
    assert collect(registry, clock=later(1)).blobs == 1
    assert {digest_of(data) for data in image.blobs} <= stored(registry)
    registry.check(other, "v1", "sound")
    registry.get(f"/v2/sound/blobs/{loose}").fails(404, "BLOB_UNKNOWN")
    torn = Path(registry.settings.root) / "blobs" / digest_of(image.config).replace(":", "/")
    torn.write_bytes(b"")
    registry.push(image, "v1", "damaged")
    registry.check(image, "v1", "damaged")
    blob.write_bytes(b"again")
    assert registry.ask("DELETE", f"/v2/damaged/manifests/{image.digest}").status == 202


class Pusher(threading.Thread):
    """Pushes images as clients do: asks for each blob first, then mounts or sends it."""

    def __init__(self, registry: Served, seed: int, pool: list[Image], *, patient: bool) -> None:
        super().__init__()
        self.kept: list[tuple[str, Image]] = []
        self.failure: BaseException | None = None
        self._registry = registry
        self._chance = random.Random(seed)
        self._name = f"repository-{seed % 2}"
        self._pool = pool
        self._patient = patient

    def run(self) -> None:
        try:
            for number in range(25):
                new = self._chance.random() < 0.5
                self._push(make_image(2, 3000) if new else self._chance.choice(self._pool), f"t{number}")
        except BaseException as error:  # noqa: BLE001 -- told to the test
            self.failure = error

    def _push(self, image: Image, tag: str) -> None:
        path = f"/v2/{self._name}/blobs/"
        for data in image.blobs:
            digest = digest_of(data)
            if self._registry.ask("HEAD", path + digest).status == 404:
                mount = self._registry.ask("POST", f"{path}uploads/?mount={digest}")
                if mount.status == 202:
                    self._registry.ask("PUT", f"{mount.headers['location']}?digest={digest}", data)
        answer = self._registry.push_manifest(image.manifest, tag, self._name)
        if answer.status == 201:
            self.kept.append((self._name, image))
        else:
            assert not self._patient, answer
            answer.fails(404, "MANIFEST_BLOB_UNKNOWN")


def make_rubbish(registry: Served, stop: threading.Event) -> None:
    """A repository in which everything is deleted again, so that the collector always finds something."""
    while not stop.is_set():
        image = make_image(1)
        for data in image.blobs:
            registry.push_blob(data, "rubbish")
        if registry.push_manifest(image.manifest, "x", "rubbish").status == 201:
            registry.ask("DELETE", f"/v2/rubbish/manifests/{image.digest}")


@pytest.mark.parametrize("grace", ["0s", "1h"])
def test_nothing_is_lost_while_it_collects(own: Callable[..., Served], grace: str) -> None:
    """Pushes, mounts and deletions against a collector that never rests. Without any grace a manifest may be
    refused for want of its blobs, but what is acknowledged is there.

    A collection without grace can spoil a push of each pusher, so a few are enough to leave some of the hundred alone.
    """
    registry = own(gc={"grace": grace, "interval": "", "untagged": "1h"})
    stop = threading.Event()
    pool = [make_image(2, 3000) for _ in range(6)]
    pushers = [Pusher(registry, seed, pool, patient=grace != "0s") for seed in range(4)]
    noise = threading.Thread(target=make_rubbish, args=(registry, stop))
    for thread in (*pushers, noise):
        thread.start()
    collections = 0
    while any(thread.is_alive() for thread in pushers) and (grace != "0s" or collections < 20):
        collect(registry)
        collections += 1
    for thread in pushers:
        thread.join(60)
    stop.set()
    noise.join(30)
    collect(registry, clock=later(1 if grace == "0s" else 0))
    assert [each.failure for each in pushers] == [None] * 4
    assert collections > 2
    kept = [pair for each in pushers for pair in each.kept]
    assert kept
    for name, image in kept:
        registry.check(image, name=name)
